package sim

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// This file is the rest of what net.UDPConn offers, for pion's transport.UDPConn.

func (c *udpConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.read(b)
	if err != nil {
		return 0, nil, err
	}
	return n, from, nil
}

func (c *udpConn) ReadFromUDP(b []byte) (int, *net.UDPAddr, error) { return c.read(b) }

func (c *udpConn) ReadMsgUDP(b, _ []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	n, addr, err = c.read(b)
	return n, 0, 0, addr, err
}

func (c *udpConn) Read(b []byte) (int, error) {
	n, _, err := c.read(b)
	return n, err
}

func (c *udpConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if c.peer != nil {
		return 0, opError("write", "udp", addr, net.ErrWriteToConnected)
	}
	to, err := udpTarget(addr)
	if err != nil {
		return 0, opError("write", "udp", addr, err)
	}
	return c.send(b, to)
}

func udpTarget(addr net.Addr) (netip.AddrPort, error) {
	if a, ok := addr.(*net.UDPAddr); ok {
		if a == nil {
			return netip.AddrPort{}, os.NewSyscallError("sendto", syscall.EDESTADDRREQ)
		}
		to := a.AddrPort()
		return netip.AddrPortFrom(to.Addr().Unmap().WithZone(""), to.Port()), nil
	}
	return netip.ParseAddrPort(addr.String())
}

func (c *udpConn) WriteToUDP(b []byte, addr *net.UDPAddr) (int, error) { return c.WriteTo(b, addr) }

func (c *udpConn) WriteMsgUDP(b, _ []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	if addr == nil {
		n, err = c.Write(b)
	} else {
		n, err = c.WriteTo(b, addr)
	}
	return n, 0, err
}

func (c *udpConn) Write(b []byte) (int, error) {
	if c.peer == nil {
		return 0, opError("write", "udp", c.local, os.NewSyscallError("write", syscall.EDESTADDRREQ))
	}
	return c.send(b, c.remote)
}

func (c *udpConn) RemoteAddr() net.Addr {
	if c.peer == nil {
		return nil
	}
	return c.peer
}

func (c *udpConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline does nothing: sending a datagram never waits.
func (c *udpConn) SetWriteDeadline(time.Time) error { return nil }

func (c *udpConn) SetWriteBuffer(int) error { return nil }
