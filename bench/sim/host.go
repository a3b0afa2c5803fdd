package sim

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// firstEphemeral is where ports chosen by the host begin (RFC 6335 section 6).
const firstEphemeral = 49152

// Host is one machine. It is a mesh.Net.
type Host struct {
	n            *Network
	name, region string

	// Guarded by Network.mu. The tables are keyed by the bound address, which is
	// unspecified for wildcard sockets.
	ips       []netip.Addr
	down      bool
	isolated  bool
	links     map[*Host]*link
	udp       map[netip.AddrPort]*udpConn
	listeners map[netip.AddrPort]*listener
	streams   map[*stream]struct{}
	nextPort  uint16
}

var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Name returns the host's name, which its peers may also use as an address.
func (h *Host) Name() string { return h.name }

// Region returns the region the host stands in.
func (h *Host) Region() string { return h.region }

// IP returns the host's first address.
func (h *Host) IP() net.IP {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	return h.ips[0].AsSlice()
}

// AddIP gives the host one more address.
func (h *Host) AddIP(ip string) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	h.addIP(ip)
}

func (h *Host) addIP(ip string) {
	a := netip.MustParseAddr(ip).Unmap()
	if h.n.byIP[a] != nil || a.IsLoopback() || a.IsUnspecified() {
		panic(fmt.Sprintf("sim: address %s is taken or not a host's", ip))
	}
	h.ips = append(h.ips, a)
	h.n.byIP[a] = h
}

// ListenPacket opens a datagram socket. An empty or unspecified host binds every address
// of the host, port 0 a free port.
func (h *Host) ListenPacket(network, addr string) (net.PacketConn, error) {
	at, err := h.resolve(network, addr)
	if err != nil {
		return nil, opError("listen", network, nil, err)
	}
	c, err := h.openUDP(network, at, netip.AddrPort{})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Listen opens a stream listener.
func (h *Host) Listen(network, addr string) (net.Listener, error) {
	at, err := h.resolve(network, addr)
	if err != nil {
		return nil, opError("listen", network, nil, err)
	}
	l, err := h.openListener(network, at)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// DialContext opens a stream, or a datagram socket with one peer.
func (h *Host) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	to, err := h.resolve(network, addr)
	if err != nil {
		return nil, opError("dial", network, nil, err)
	}
	if strings.HasPrefix(network, "udp") {
		c, err := h.dialUDP(network, netip.AddrPort{}, to)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	s, err := h.dialTCP(ctx, network, netip.AddrPort{}, to)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// resolve reads "host:port". The host may be an address, a host's name, "localhost" or
// empty, which is unspecified.
func (h *Host) resolve(network, addr string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil && port != "" {
		return netip.AddrPort{}, &net.AddrError{Err: "invalid port", Addr: addr}
	}
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	var ip netip.Addr
	switch {
	case host == "localhost":
		ip = localhost
	case host == "":
		ip = h.anyAddr(network)
	case h.n.hosts[host] != nil:
		ip = h.n.hosts[host].ips[0]
	default:
		if ip, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
	}
	return netip.AddrPortFrom(ip.Unmap().WithZone(""), uint16(number)), nil
}

// anyAddr is the wildcard that a real host would report: IPv6 where it has it.
func (h *Host) anyAddr(network string) netip.Addr {
	if !strings.HasSuffix(network, "4") {
		for _, ip := range h.ips {
			if ip.Is6() {
				return netip.IPv6Unspecified()
			}
		}
	}
	return netip.IPv4Unspecified()
}

// owns reports whether a socket of this host may bind the address.
func (h *Host) owns(ip netip.Addr) bool {
	return ip.IsUnspecified() || ip.IsLoopback() || h.n.byIP[ip] == h
}

// find returns the host behind an address as this host sees it. n.mu is held.
func (h *Host) find(ip netip.Addr) *Host {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return h
	}
	return h.n.byIP[ip]
}

// source is the address that packets to a peer carry when the socket has none of its own.
func (h *Host) source(bound, to netip.Addr) netip.Addr {
	if !bound.IsUnspecified() && bound.IsValid() {
		return bound
	}
	if to.IsLoopback() || to.IsUnspecified() {
		return localhost
	}
	for _, ip := range h.ips {
		if ip.Is4() == to.Is4() {
			return ip
		}
	}
	return h.ips[0]
}

// bind settles the address of a new socket: the port is free and the host has the address.
// n.mu is held.
func bind[S any](h *Host, table map[netip.AddrPort]S, at netip.AddrPort) (netip.AddrPort, error) {
	switch {
	case h.down || h.n.closed:
		return at, os.NewSyscallError("bind", syscall.ENETDOWN)
	case !h.owns(at.Addr()):
		return at, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
	case at.Port() != 0:
		if taken(table, at) {
			return at, os.NewSyscallError("bind", syscall.EADDRINUSE)
		}
		return at, nil
	}
	for range 1<<16 - firstEphemeral {
		at = netip.AddrPortFrom(at.Addr(), h.nextPort)
		if h.nextPort++; h.nextPort == 0 {
			h.nextPort = firstEphemeral
		}
		if !taken(table, at) {
			return at, nil
		}
	}
	return at, os.NewSyscallError("bind", syscall.EADDRINUSE)
}

func taken[S any](table map[netip.AddrPort]S, at netip.AddrPort) bool {
	if at.Addr().IsUnspecified() {
		for other := range table {
			if other.Port() == at.Port() {
				return true
			}
		}
		return false
	}
	_, ok := lookup(table, at)
	return ok
}

// lookup finds the socket that packets to an address reach.
func lookup[S any](table map[netip.AddrPort]S, at netip.AddrPort) (S, bool) {
	if s, ok := table[at]; ok {
		return s, true
	}
	if s, ok := table[netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())]; ok {
		return s, true
	}
	s, ok := table[netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())]
	return s, ok
}

func opError(op, network string, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Addr: addr, Err: err}
}
