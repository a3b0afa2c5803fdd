package rtc

import (
	"net"
	"net/netip"
	"sync"

	"maille/node/guard"
)

const (
	// maxTCP bounds ICE-TCP connections, the fallback of clients behind strict firewalls:
	// ten times what a node carries of them.
	maxTCP = 4096
	// maxTCPPerIP leaves room for an office behind one address.
	maxTCPPerIP = 128
)

// boundedListener turns connections away beyond its bounds, before ICE reads from
// them.
type boundedListener struct {
	net.Listener
	refused *guard.Counts

	mu    sync.Mutex // guards all below
	total int
	from  map[netip.Addr]int
}

func newBoundedListener(l net.Listener, refused *guard.Counts) *boundedListener {
	return &boundedListener{Listener: l, refused: refused, from: make(map[netip.Addr]int)}
}

// Accept returns the next connection within the bounds.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var ip netip.Addr
		if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			ip = a.AddrPort().Addr().Unmap()
		}
		if l.enter(ip) {
			return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { l.exit(ip) })}, nil
		}
		l.refused.Add(guard.Connection)
		_ = c.Close()
	}
}

func (l *boundedListener) enter(ip netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= maxTCP || l.from[ip] >= maxTCPPerIP {
		return false
	}
	l.total++
	l.from[ip]++
	return true
}

func (l *boundedListener) exit(ip netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.from[ip]--; l.from[ip] == 0 {
		delete(l.from, ip)
	}
}

type boundedConn struct {
	net.Conn
	leave func()
}

func (c *boundedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
