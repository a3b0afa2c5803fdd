package sim

import (
	"context"
	"net"
	"net/netip"

	"github.com/pion/transport/v4"
)

// Pion returns the host as pion's network, for webrtc.SettingEngine.SetNet. Switch mDNS
// off there: nothing here speaks multicast.
func (h *Host) Pion() transport.Net { return pionNet{h} }

type pionNet struct{ h *Host }

func (p pionNet) ListenPacket(network, addr string) (net.PacketConn, error) {
	return p.h.ListenPacket(network, addr)
}

func (p pionNet) ListenUDP(network string, at *net.UDPAddr) (transport.UDPConn, error) {
	var from netip.AddrPort
	if at != nil {
		from = at.AddrPort()
	}
	c, err := p.h.openUDP(network, p.local(network, from), netip.AddrPort{})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (p pionNet) ListenTCP(network string, at *net.TCPAddr) (transport.TCPListener, error) {
	var from netip.AddrPort
	if at != nil {
		from = at.AddrPort()
	}
	l, err := p.h.openListener(network, p.local(network, from))
	if err != nil {
		return nil, err
	}
	return pionListener{l}, nil
}

// local turns "no address" into the wildcard.
func (p pionNet) local(network string, at netip.AddrPort) netip.AddrPort {
	ip := at.Addr().Unmap().WithZone("")
	if !ip.IsValid() {
		p.h.n.mu.Lock()
		ip = p.h.anyAddr(network)
		p.h.n.mu.Unlock()
	}
	return netip.AddrPortFrom(ip, at.Port())
}

func (p pionNet) Dial(network, addr string) (net.Conn, error) {
	return p.h.DialContext(context.Background(), network, addr)
}

func (p pionNet) DialUDP(network string, from, to *net.UDPAddr) (transport.UDPConn, error) {
	var at netip.AddrPort
	if from != nil {
		at = p.local(network, from.AddrPort())
	}
	c, err := p.h.dialUDP(network, at, unmapped(to.AddrPort()))
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (p pionNet) DialTCP(network string, from, to *net.TCPAddr) (transport.TCPConn, error) {
	var at netip.AddrPort
	if from != nil {
		at = unmapped(from.AddrPort())
	}
	s, err := p.h.dialTCP(context.Background(), network, at, unmapped(to.AddrPort()))
	if err != nil {
		return nil, err
	}
	return s, nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

func (p pionNet) ResolveIPAddr(network, addr string) (*net.IPAddr, error) {
	a, err := p.h.resolve(network, net.JoinHostPort(addr, "0"))
	if err != nil {
		return nil, err
	}
	return &net.IPAddr{IP: a.Addr().AsSlice()}, nil
}

func (p pionNet) ResolveUDPAddr(network, addr string) (*net.UDPAddr, error) {
	a, err := p.h.resolve(network, addr)
	if err != nil {
		return nil, err
	}
	return net.UDPAddrFromAddrPort(a), nil
}

func (p pionNet) ResolveTCPAddr(network, addr string) (*net.TCPAddr, error) {
	a, err := p.h.resolve(network, addr)
	if err != nil {
		return nil, err
	}
	return net.TCPAddrFromAddrPort(a), nil
}

// Interfaces lists a loopback interface and one that carries the host's addresses.
func (p pionNet) Interfaces() ([]*transport.Interface, error) {
	lo := transport.NewInterface(net.Interface{
		Index: 1, MTU: loopbackMTU, Name: "lo", Flags: net.FlagUp | net.FlagLoopback | net.FlagRunning,
	})
	lo.AddAddress(&net.IPNet{IP: net.IPv4(127, 0, 0, 1).To4(), Mask: net.CIDRMask(8, 32)})
	eth := transport.NewInterface(net.Interface{
		Index: 2, MTU: defaultMTU, Name: "eth0", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1},
		Flags: net.FlagUp | net.FlagBroadcast | net.FlagRunning,
	})
	p.h.n.mu.Lock()
	defer p.h.n.mu.Unlock()
	for _, ip := range p.h.ips {
		bits := ip.BitLen()
		eth.AddAddress(&net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(bits-8, bits)})
	}
	return []*transport.Interface{lo, eth}, nil
}

func (p pionNet) InterfaceByIndex(index int) (*transport.Interface, error) {
	return p.find(func(i *transport.Interface) bool { return i.Index == index })
}

func (p pionNet) InterfaceByName(name string) (*transport.Interface, error) {
	return p.find(func(i *transport.Interface) bool { return i.Name == name })
}

func (p pionNet) find(match func(*transport.Interface) bool) (*transport.Interface, error) {
	all, err := p.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if match(i) {
			return i, nil
		}
	}
	return nil, transport.ErrInterfaceNotFound
}

func (p pionNet) CreateDialer(d *net.Dialer) transport.Dialer { return pionDialer{p.h, d} }

func (p pionNet) CreateListenConfig(*net.ListenConfig) transport.ListenConfig {
	return pionListenConfig(p)
}

// pionDialer honours a net.Dialer's Timeout and Deadline.
type pionDialer struct {
	h *Host
	d *net.Dialer
}

func (d pionDialer) Dial(network, addr string) (net.Conn, error) {
	ctx := context.Background()
	if d.d != nil && d.d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.d.Timeout)
		defer cancel()
	}
	if d.d != nil && !d.d.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d.d.Deadline)
		defer cancel()
	}
	return d.h.DialContext(ctx, network, addr)
}

type pionListenConfig struct{ h *Host }

func (c pionListenConfig) Listen(_ context.Context, network, addr string) (net.Listener, error) {
	return c.h.Listen(network, addr)
}

func (c pionListenConfig) ListenPacket(_ context.Context, network, addr string) (net.PacketConn, error) {
	return c.h.ListenPacket(network, addr)
}

type pionListener struct{ *listener }

func (l pionListener) AcceptTCP() (transport.TCPConn, error) {
	s, err := l.accept()
	if err != nil {
		return nil, err
	}
	return s, nil
}
