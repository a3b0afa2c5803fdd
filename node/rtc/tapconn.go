package rtc

import (
	"net"
	"net/netip"

	"github.com/pion/ice/v4"
)

// tappedUDP and tappedTCP are the node's sockets as one peer's ICE sees them.
type tappedUDP struct {
	*mux
	tap *tap
}

func (m tappedUDP) GetConn(ufrag string, a net.Addr) (net.PacketConn, error) {
	c, err := m.mux.GetConn(ufrag, a)
	if err != nil {
		return nil, err
	}
	return tapped(c, m.tap), nil
}

type tappedTCP struct {
	*ice.TCPMuxDefault
	tap *tap
}

func (m tappedTCP) GetConnByUfrag(ufrag string, ipv6 bool, local net.IP) (net.PacketConn, error) {
	c, err := m.TCPMuxDefault.GetConnByUfrag(ufrag, ipv6, local)
	if err != nil {
		return nil, err
	}
	return tapped(c, m.tap), nil
}

// tapped shows the DTLS of a connection to a tap. What pion can do without allocating
// stays possible.
func tapped(c net.PacketConn, t *tap) net.PacketConn {
	if quick, ok := c.(ice.AddrPortReaderWriter); ok {
		return &quickConn{tapConn{c, t}, quick}
	}
	return &tapConn{c, t}
}

type tapConn struct {
	net.PacketConn
	tap *tap
}

func (c *tapConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil || !isDTLS(b[:n]) || c.tap.passes(b[:n]) {
			return n, from, err
		}
	}
}

func (c *tapConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if isDTLS(b) {
		c.tap.sent(b)
	}
	return c.PacketConn.WriteTo(b, to)
}

type quickConn struct {
	tapConn
	quick ice.AddrPortReaderWriter
}

func (c *quickConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := c.quick.ReadFromAddrPort(b)
		if err != nil || !isDTLS(b[:n]) || c.tap.passes(b[:n]) {
			return n, from, err
		}
	}
}

func (c *quickConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if isDTLS(b) {
		c.tap.sent(b)
	}
	return c.quick.WriteToAddrPort(b, to)
}
