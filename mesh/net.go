package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Net opens sockets. Networks and addresses are those of package net. All methods
// are safe for concurrent use.
type Net interface {
	// ListenPacket opens a datagram socket ("udp").
	ListenPacket(network, addr string) (net.PacketConn, error)
	// Listen opens a stream listener ("tcp").
	Listen(network, addr string) (net.Listener, error)
	// DialContext opens a connection. No proxy is ever used.
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// OS is the host's own network. Listen and ListenPacket tell a port that is taken
// (*PortInUseError) and one that needs privileges (*PortDeniedError) from other
// failures, because an operator can mend those two alone.
var OS Net = osNet{}

// PortInUseError says that another process holds an address.
type PortInUseError struct {
	Network string // "udp" or "tcp"
	Addr    string // as asked for
	Err     error
}

func (e *PortInUseError) Error() string {
	return fmt.Sprintf("%s %s is already in use", e.Network, e.Addr)
}

func (e *PortInUseError) Unwrap() error { return e.Err }

// Port returns the port number asked for, without the host.
func (e *PortInUseError) Port() string { return port(e.Addr) }

// PortDeniedError says that this process may not open an address: on most systems
// a port under 1024 without privileges.
type PortDeniedError struct {
	Network string
	Addr    string
	Err     error
}

func (e *PortDeniedError) Error() string {
	return fmt.Sprintf("not allowed to listen on %s %s", e.Network, e.Addr)
}

func (e *PortDeniedError) Unwrap() error { return e.Err }

// Port returns the port number asked for, without the host.
func (e *PortDeniedError) Port() string { return port(e.Addr) }

type osNet struct{}

func (osNet) ListenPacket(network, addr string) (net.PacketConn, error) {
	c, err := net.ListenPacket(network, addr)
	if err != nil {
		return nil, listenError(network, addr, err)
	}
	return c, nil
}

func (osNet) Listen(network, addr string) (net.Listener, error) {
	l, err := net.Listen(network, addr)
	if err != nil {
		return nil, listenError(network, addr, err)
	}
	return l, nil
}

func (osNet) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

func listenError(network, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &PortInUseError{Network: network, Addr: addr, Err: err}
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return &PortDeniedError{Network: network, Addr: addr, Err: err}
	}
	return fmt.Errorf("listen %s %s: %w", network, addr, err)
}

func port(addr string) string {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return p
}
