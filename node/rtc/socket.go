package rtc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v4"

	"maille/node/guard"
)

// socket is the media socket as ICE sees it: reads and writes by netip.AddrPort, so
// that a real UDP socket costs no allocation per packet, and bound to the
// unspecified address, which lets one mux serve both address families.
type socket struct {
	net.PacketConn
	udp     *net.UDPConn // nil on a simulated network
	roaming roaming
	refused *guard.Counts
}

func newSocket(c net.PacketConn, refused *guard.Counts) *socket {
	udp, _ := c.(*net.UDPConn)
	return &socket{PacketConn: c, udp: udp, refused: refused}
}

func (s *socket) port() int {
	if a, ok := s.PacketConn.LocalAddr().(*net.UDPAddr); ok {
		return a.Port
	}
	return 0
}

func (s *socket) LocalAddr() net.Addr { return &net.UDPAddr{IP: net.IPv6unspecified, Port: s.port()} }

// ReadFromAddrPort returns the next datagram that may go on.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := s.read(b)
		if err != nil || s.roaming.admits(b[:n], from, time.Now()) {
			return n, from, err
		}
		s.refused.Add(guard.Address)
	}
}

func (s *socket) read(b []byte) (int, netip.AddrPort, error) {
	if s.udp != nil {
		return s.udp.ReadFromUDPAddrPort(b)
	}
	n, from, err := s.PacketConn.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	a, ok := from.(*net.UDPAddr)
	if !ok {
		return n, netip.AddrPort{}, errors.New("rtc: media socket is not UDP")
	}
	return n, a.AddrPort(), nil
}

func (s *socket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if s.udp != nil {
		return s.udp.WriteToUDPAddrPort(b, to)
	}
	return s.PacketConn.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

// mux shows ICE one local candidate per address family, however many addresses the
// host has. Every candidate has a reader of its own on the shared socket, so with
// several, packets would overtake each other; the other addresses are added to the
// SDP by addHosts, and packets to them arrive all the same.
type mux struct {
	*ice.UDPMuxDefault
	locals  []net.Addr
	roaming *roaming
}

// GetConn begins an ICE session's traffic, RemoveConnByUfrag ends it.
func (m *mux) GetConn(ufrag string, a net.Addr) (net.PacketConn, error) {
	m.roaming.add(ufrag)
	return m.UDPMuxDefault.GetConn(ufrag, a)
}

// RemoveConnByUfrag is called when the session's agent closes or restarts.
func (m *mux) RemoveConnByUfrag(ufrag string) {
	m.UDPMuxDefault.RemoveConnByUfrag(ufrag)
	m.roaming.remove(ufrag)
}

func (m *mux) GetListenAddresses() []net.Addr { return m.locals }

func newMux(s *socket, hosts []net.IP, n transport.Net, refused *guard.Counts) *mux {
	m := &mux{roaming: &s.roaming, UDPMuxDefault: ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: s, Logger: scoped{log: discard, refused: refused, scope: scopeMux}, Net: n})}
	var v4, v6 bool
	for _, ip := range hosts {
		is4 := ip.To4() != nil
		if (is4 && v4) || (!is4 && v6) {
			continue
		}
		v4, v6 = v4 || is4, v6 || !is4
		m.locals = append(m.locals, &net.UDPAddr{IP: ip, Port: s.port()})
	}
	return m
}

// hostNet is all that ICE may know of this machine's network: the addresses that
// clients are told. Nothing can be dialled or listened on through it.
type hostNet struct{ ifaces []*transport.Interface }

var errNoNet = errors.New("rtc: ICE may not open sockets")

func newHostNet(hosts []net.IP) *hostNet {
	up := transport.NewInterface(net.Interface{Index: 1, MTU: 1500, Name: "media", Flags: net.FlagUp})
	lo := transport.NewInterface(net.Interface{Index: 2, MTU: 1500, Name: "loopback", Flags: net.FlagUp | net.FlagLoopback})
	for _, ip := range hosts {
		bits := 128
		if ip.To4() != nil {
			ip, bits = ip.To4(), 32
		}
		a := &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)}
		if ip.IsLoopback() {
			lo.AddAddress(a)
		} else {
			up.AddAddress(a)
		}
	}
	return &hostNet{ifaces: []*transport.Interface{up, lo}}
}

func (n *hostNet) Interfaces() ([]*transport.Interface, error) { return n.ifaces, nil }

func (n *hostNet) InterfaceByIndex(i int) (*transport.Interface, error) {
	for _, ifc := range n.ifaces {
		if ifc.Index == i {
			return ifc, nil
		}
	}
	return nil, transport.ErrInterfaceNotFound
}

func (n *hostNet) InterfaceByName(name string) (*transport.Interface, error) {
	for _, ifc := range n.ifaces {
		if ifc.Name == name {
			return ifc, nil
		}
	}
	return nil, transport.ErrInterfaceNotFound
}

func (n *hostNet) ListenPacket(string, string) (net.PacketConn, error) { return nil, errNoNet }

func (n *hostNet) ListenUDP(string, *net.UDPAddr) (transport.UDPConn, error) { return nil, errNoNet }

func (n *hostNet) ListenTCP(string, *net.TCPAddr) (transport.TCPListener, error) {
	return nil, errNoNet
}
func (n *hostNet) Dial(string, string) (net.Conn, error) { return nil, errNoNet }
func (n *hostNet) DialUDP(string, *net.UDPAddr, *net.UDPAddr) (transport.UDPConn, error) {
	return nil, errNoNet
}

func (n *hostNet) DialTCP(string, *net.TCPAddr, *net.TCPAddr) (transport.TCPConn, error) {
	return nil, errNoNet
}
func (n *hostNet) ResolveIPAddr(string, string) (*net.IPAddr, error)   { return nil, errNoNet }
func (n *hostNet) ResolveUDPAddr(string, string) (*net.UDPAddr, error) { return nil, errNoNet }
func (n *hostNet) ResolveTCPAddr(string, string) (*net.TCPAddr, error) { return nil, errNoNet }
func (n *hostNet) CreateDialer(*net.Dialer) transport.Dialer           { return noDialer{} }
func (n *hostNet) CreateListenConfig(*net.ListenConfig) transport.ListenConfig {
	return noListen{}
}

type noDialer struct{}

func (noDialer) Dial(string, string) (net.Conn, error) { return nil, errNoNet }

type noListen struct{}

func (noListen) Listen(context.Context, string, string) (net.Listener, error) { return nil, errNoNet }

func (noListen) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, errNoNet
}
