package rtc

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"

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
	if quick, ok := c.(ice.AddrPortReaderWriter); ok {
		return &quickConn{tapConn{PacketConn: c, tap: m.tap}, quick}, nil
	}
	return &tapConn{PacketConn: c, tap: m.tap}, nil
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
	return &tapConn{PacketConn: c, tap: m.tap, tcp: true}, nil
}

// errPath says that what a packet was to be sent on is gone. ICE takes it for a loss, as
// all errors of sending but io.ErrClosedPipe. That one it hands to DTLS and SCTP, which
// end for good, and pion's muxes return it as soon as they have no connection: while ICE
// restarts or has failed, and when a client's TCP connection has ended, all of which a
// session is to outlive.
var errPath = errors.New("rtc: no path to the client")

// lost makes of an error of sending what it is to ICE.
func lost(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return errPath
	}
	return err
}

// tapConn shows the DTLS of a connection to a tap.
type tapConn struct {
	net.PacketConn
	tap *tap
	tcp bool
}

func (c *tapConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err == nil && isDTLS(b[:n]) && !c.tap.passes(b[:n]) || c.tcp && one(err) {
			continue
		}
		return n, from, err
	}
}

// one tells that a single TCP connection of a client has ended, of those that a session's
// packets come by. Others may follow; ICE, told of it, would never read them.
func one(err error) bool {
	return err != nil && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, os.ErrDeadlineExceeded)
}

func (c *tapConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if isDTLS(b) {
		c.tap.sent(b)
	}
	n, err := c.PacketConn.WriteTo(b, to)
	return n, lost(err)
}

// quickConn is a tapConn of which pion can read without allocating.
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
	n, err := c.quick.WriteToAddrPort(b, to)
	return n, lost(err)
}
