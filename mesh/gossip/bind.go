package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"maille/mesh"
)

// bindTries is how often port 0 is tried until a port is free for both TCP and UDP.
const bindTries = 16

// bind opens the same port for streams and datagrams.
func (t *transport) bind(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("gossip: bind address: %w", err)
	}
	for try := 1; ; try++ {
		t.streams, err = t.net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		_, got, err := net.SplitHostPort(t.streams.Addr().String())
		if err == nil {
			t.packets, err = t.net.ListenPacket("udp", net.JoinHostPort(host, got))
		}
		if err == nil {
			return nil
		}
		t.streams.Close()
		var taken *mesh.PortInUseError
		if port != "0" || try == bindTries || !errors.As(err, &taken) {
			return err
		}
	}
}

// public finds the address that others reach this node at.
func (t *transport) public(ctx context.Context, cfg Config) (netip.AddrPort, error) {
	bound, err := netip.ParseAddrPort(t.streams.Addr().String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gossip: bound address: %w", err)
	}
	bound = netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	if cfg.Advertise != "" {
		addrs, err := resolve(ctx, cfg.Resolve, cfg.Advertise)
		if err != nil || len(addrs) == 0 {
			return netip.AddrPort{}, fmt.Errorf("gossip: address to advertise %q: %w", cfg.Advertise, err)
		}
		if addrs[0].Port() == 0 {
			return netip.AddrPortFrom(addrs[0].Addr(), bound.Port()), nil
		}
		return addrs[0], nil
	}
	if !bound.Addr().IsUnspecified() {
		return bound, nil
	}
	for _, seed := range cfg.Seeds {
		// Connecting a datagram socket sends nothing; it asks the routing table.
		c, err := t.net.DialContext(ctx, "udp", seed)
		if err != nil {
			continue
		}
		local, err := netip.ParseAddrPort(c.LocalAddr().String())
		c.Close()
		if err == nil {
			return netip.AddrPortFrom(local.Addr().Unmap(), bound.Port()), nil
		}
	}
	if len(cfg.Seeds) > 0 {
		return netip.AddrPort{}, fmt.Errorf("gossip: bound to every address and no seed can be routed to: set the address to advertise")
	}
	return netip.AddrPortFrom(hostAddr(), bound.Port()), nil
}

// hostAddr is the best guess for a first node without seeds: an address of this host
// that is not loopback, or else loopback.
func hostAddr() netip.Addr {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			return p.Addr()
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}
