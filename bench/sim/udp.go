package sim

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// defaultBuffer is a socket's receive buffer: Linux' net.core.rmem_default.
	defaultBuffer = 212992
	// maxBuffer is what SetReadBuffer reaches, the net.core.rmem_max quic-go asks for.
	maxBuffer = 7500 << 10
	// pooledBytes holds any packet of an ordinary path; only larger ones allocate.
	pooledBytes = 2048
)

// datagram is one packet in flight, and then in its receiver's queue.
type datagram struct {
	link *link
	to   netip.AddrPort
	from *net.UDPAddr // shared by all packets of a sender, never written to
	buf  []byte
}

var datagrams = sync.Pool{New: func() any { return &datagram{buf: make([]byte, 0, pooledBytes)} }}

func (d *datagram) release() {
	if cap(d.buf) == pooledBytes {
		d.link, d.from = nil, nil
		datagrams.Put(d)
	}
}

func newDatagram(l *link, from *net.UDPAddr, to netip.AddrPort, b []byte) *datagram {
	d := datagrams.Get().(*datagram)
	d.link, d.from, d.to, d.buf = l, from, to, append(d.buf[:0], b...)
	return d
}

// fire is the arrival at the far host.
func (d *datagram) fire(n *Network) {
	n.mu.Lock()
	l := n.link(d.link.from, d.link.to)
	if !l.open() {
		l.stats.Cut++
	} else if s, ok := lookup(l.to.udp, d.to); !ok || !s.accepts(d.from) {
		l.stats.NoSocket++
	} else if size := uint64(len(d.buf)); !s.put(d) {
		l.stats.Overflow++
	} else {
		l.stats.Delivered++
		l.stats.DeliveredBytes += size
		d = nil
	}
	n.mu.Unlock()
	if d != nil {
		d.release()
	}
}

// udpConn is a datagram socket.
type udpConn struct {
	h      *Host
	bound  netip.AddrPort
	local  *net.UDPAddr
	remote netip.AddrPort // valid when connected
	peer   *net.UDPAddr

	// senders holds the address its packets show, per address of the host; guarded by
	// Network.mu.
	senders map[netip.Addr]*net.UDPAddr

	mu       sync.Mutex // guards what follows; may be taken with Network.mu held
	readable sync.Cond
	queue    []*datagram // a ring: count from head
	head     int
	count    int
	bytes    int
	limit    int
	closed   bool
	deadline deadline
}

func (h *Host) dialUDP(network string, from, to netip.AddrPort) (*udpConn, error) {
	if !from.IsValid() {
		h.n.mu.Lock()
		from = netip.AddrPortFrom(h.source(netip.Addr{}, to.Addr()), 0)
		h.n.mu.Unlock()
	}
	return h.openUDP(network, from, to)
}

func (h *Host) openUDP(network string, at, to netip.AddrPort) (*udpConn, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	at, err := bind(h, h.udp, at)
	if err != nil {
		return nil, opError("listen", network, net.UDPAddrFromAddrPort(at), err)
	}
	c := &udpConn{
		h: h, bound: at, local: net.UDPAddrFromAddrPort(at), remote: to,
		senders: map[netip.Addr]*net.UDPAddr{}, queue: make([]*datagram, 16), limit: defaultBuffer,
	}
	if to.IsValid() {
		c.peer = net.UDPAddrFromAddrPort(to)
	}
	c.readable.L = &c.mu
	h.udp[at] = c
	return c, nil
}

func (c *udpConn) accepts(from *net.UDPAddr) bool {
	return c.peer == nil || c.peer.Port == from.Port && c.peer.IP.Equal(from.IP)
}

// put queues an arrived packet; it returns false when there is no room.
func (c *udpConn) put(d *datagram) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.bytes+len(d.buf) > c.limit {
		return false
	}
	if c.count == len(c.queue) {
		grown := make([]*datagram, 2*len(c.queue))
		for i := range c.count {
			grown[i] = c.queue[(c.head+i)%len(c.queue)]
		}
		c.queue, c.head = grown, 0
	}
	c.queue[(c.head+c.count)%len(c.queue)] = d
	c.count++
	c.bytes += len(d.buf)
	c.readable.Signal()
	return true
}

// read waits for the next packet.
func (c *udpConn) read(b []byte) (int, *net.UDPAddr, error) {
	c.mu.Lock()
	for c.count == 0 || c.closed || c.deadline.passed {
		if err := c.deadline.err(c.closed); err != nil {
			c.mu.Unlock()
			return 0, nil, opError("read", "udp", c.local, err)
		}
		c.readable.Wait()
	}
	d := c.queue[c.head]
	c.queue[c.head] = nil
	c.head = (c.head + 1) % len(c.queue)
	c.count--
	c.bytes -= len(d.buf)
	c.mu.Unlock()
	size, from := copy(b, d.buf), d.from
	d.release()
	return size, from, nil
}

// send hands a packet to the path.
func (c *udpConn) send(b []byte, to netip.AddrPort) (int, error) {
	n := c.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.h.udp[c.bound] != c {
		return 0, opError("write", "udp", c.local, net.ErrClosed)
	}
	host := c.h.find(to.Addr())
	if host == nil {
		return len(b), nil
	}
	l := n.link(c.h, host)
	l.stats.Sent++
	l.stats.SentBytes += uint64(len(b))
	if to.Addr().IsUnspecified() {
		to = netip.AddrPortFrom(localhost, to.Port())
	}
	from := c.sender(to.Addr())
	if n.drop != nil && n.drop(from.AddrPort(), to, b) {
		l.stats.Dropped++
		return len(b), nil
	}
	size := len(b) + overheadIPv4
	if to.Addr().Is6() {
		size = len(b) + overheadIPv6
	}
	copies := 1
	if l.pipe.Duplicate > 0 && l.rng.Float64() < l.pipe.Duplicate {
		copies = 2
	}
	now := n.now()
	for range copies {
		if at, ok := l.carry(now, size); ok {
			n.schedule(at, newDatagram(l, from, to, b))
		}
	}
	return len(b), nil
}

func (c *udpConn) sender(to netip.Addr) *net.UDPAddr {
	ip := c.h.source(c.bound.Addr(), to)
	a := c.senders[ip]
	if a == nil {
		a = net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, c.bound.Port()))
		c.senders[ip] = a
	}
	return a
}

// end closes the socket towards its owner.
func (c *udpConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.deadline.stop()
	for ; c.count > 0; c.count-- {
		c.queue[c.head].release()
		c.queue[c.head] = nil
		c.head = (c.head + 1) % len(c.queue)
	}
	c.readable.Broadcast()
}

func (c *udpConn) Close() error {
	c.h.n.mu.Lock()
	open := c.h.udp[c.bound] == c
	if open {
		delete(c.h.udp, c.bound)
	}
	c.h.n.mu.Unlock()
	c.end()
	if !open {
		return opError("close", "udp", c.local, net.ErrClosed)
	}
	return nil
}

func (c *udpConn) LocalAddr() net.Addr { return c.local }

func (c *udpConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return opError("set", "udp", c.local, net.ErrClosed)
	}
	c.deadline.set(t, &c.readable)
	return nil
}

// SetReadBuffer sets how many bytes wait unread before arrivals are dropped.
func (c *udpConn) SetReadBuffer(bytes int) error {
	c.mu.Lock()
	c.limit = min(bytes, maxBuffer)
	c.mu.Unlock()
	return nil
}
