package guard

import (
	"net"
	"net/netip"
	"sync"
)

// Listener turns connections away beyond its bounds, before anybody reads from them.
type Listener struct {
	net.Listener
	refused *Counts

	most, each int

	mu    sync.Mutex // guards all below
	total int
	from  map[netip.Addr]int
}

// Listen bounds l to so many connections at once in total and from each address, where
// 0 is no bound.
func Listen(l net.Listener, total, each int, refused *Counts) *Listener {
	return &Listener{Listener: l, most: total, each: each, refused: refused, from: make(map[netip.Addr]int)}
}

// Accept returns the next connection within the bounds.
func (l *Listener) Accept() (net.Conn, error) {
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
		l.refused.Add(Connection)
		_ = c.Close()
	}
}

func (l *Listener) enter(ip netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.most || l.each > 0 && l.from[ip] >= l.each {
		return false
	}
	l.total++
	l.from[ip]++
	return true
}

func (l *Listener) exit(ip netip.Addr) {
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
