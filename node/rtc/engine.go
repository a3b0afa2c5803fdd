package rtc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"maille/node/guard"
	"maille/relay"
)

const (
	// disconnectedAfter without a packet tells the client's people that it may be gone;
	// browsers check consent every 5 s at most (RFC 7675), so two of them were missed.
	disconnectedAfter = 10 * time.Second
	// failedAfter is how much longer a silent client is waited for.
	failedAfter = 5 * time.Second
	keepalive   = 2 * time.Second

	// replayWindow in packets: 20 % reordering of a 30 Mbit/s stream over 100 ms fits,
	// and so do Firefox's probes with old packets.
	replayWindow = 1024

	// A TCP client that reads slower than its video loses packets once this much waits.
	tcpBacklog = 512 << 10
	// tcpFirstWithin is the time an accepted TCP connection has to show who it is.
	tcpFirstWithin = 10 * time.Second

	certificateLife = 10 * 365 * 24 * time.Hour
)

// Config is what an Engine stands on. The engine closes both sockets.
type Config struct {
	// UDP carries all clients' media. A *net.UDPConn is used without allocation per
	// packet; any other must deliver *net.UDPAddr.
	UDP net.PacketConn
	// TCP accepts ICE-TCP connections (RFC 6544, passive); nil for none.
	TCP net.Listener
	// HostIPs are the addresses that clients are told, best first. When empty they are
	// what UDP is bound to: one address, or the machine's own and with AllowLoopback
	// 127.0.0.1. With HostIPs given no interface is looked at.
	HostIPs []net.IP
	// AllowLoopback serves clients on this machine.
	AllowLoopback bool
	// Now is the clock of Packet.Arrived; relay.Now when nil.
	Now func() int64
	Log *slog.Logger // slog.Default() when nil
	// Refused counts what clients were refused; nil when nobody wants to know.
	Refused *guard.Counts
}

// Engine owns the node's media sockets and certificate; all Peers live on it.
type Engine struct {
	hosts   []net.IP
	port    int
	now     func() int64
	log     *slog.Logger
	refused *guard.Counts
	cert    webrtc.Certificate
	terms   map[apiKind]apiTerms
	udp     *mux
	tcp     *ice.TCPMuxDefault
	byID    sync.Map // pion's name of a connection to its *Peer

	mu     sync.Mutex // guards all below
	peers  map[*Peer]struct{}
	closed bool
}

var discard = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))

// NewEngine starts serving on the sockets of cfg.
func NewEngine(cfg Config) (*Engine, error) {
	if cfg.UDP == nil {
		return nil, errors.New("rtc: Config.UDP is required")
	}
	e := &Engine{hosts: cfg.HostIPs, now: cfg.Now, log: cfg.Log, refused: cfg.Refused, peers: make(map[*Peer]struct{})}
	if e.now == nil {
		e.now = relay.Now
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	var err error
	if len(e.hosts) == 0 {
		if e.hosts, err = ownAddresses(cfg.UDP.LocalAddr(), cfg.AllowLoopback); err != nil {
			return nil, err
		}
	}
	if e.cert, err = newCertificate(); err != nil {
		return nil, fmt.Errorf("rtc: certificate: %w", err)
	}
	s, n := newSocket(cfg.UDP, e.refused), newHostNet(e.hosts)
	e.port = s.port()
	e.udp = newMux(s, e.hosts, n, e.refused)
	settings := webrtc.SettingEngine{LoggerFactory: bridge{e.log, e.refused}}
	settings.SetNet(n)
	types := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if cfg.TCP != nil {
		e.tcp = ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: guard.Listen(cfg.TCP, maxTCP, maxTCPPerIP, e.refused), Logger: scoped{log: e.log}, ReadBufferSize: 64,
			WriteBufferSize: tcpBacklog, FirstStunBindTimeout: tcpFirstWithin, AliveDurationForConnFromStun: tcpFirstWithin,
		})
		types = append(types, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	settings.SetNetworkTypes(types)
	if err := harden(&settings, cfg.AllowLoopback); err != nil {
		return nil, errors.Join(err, e.closeSockets())
	}
	e.terms = make(map[apiKind]apiTerms)
	for _, k := range []apiKind{{Uplink, false}, {Downlink, false}, {Duplex, false}, {Downlink, true}, {Duplex, true}} {
		m, err := mediaEngine(k.role, k.playout)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("rtc: codec table: %w", err), e.closeSockets())
		}
		reg := &interceptor.Registry{}
		if k.role.receives() {
			receiving(e, reg)
		}
		e.terms[k] = apiTerms{m, reg, settings}
	}
	return e, nil
}

// apiKind names what connections differ in: playout ones tell clients of a Playout.
type apiKind struct {
	role    Role
	playout bool
}

// apiTerms are what the connections of a kind have in common.
type apiTerms struct {
	media        *webrtc.MediaEngine
	interceptors *interceptor.Registry
	settings     webrtc.SettingEngine
}

// connection makes a peer's PeerConnection; pion copies what is shared.
func (e *Engine) connection(p *Peer) (*webrtc.PeerConnection, error) {
	t := e.terms[apiKind{p.role, p.role.sends() && p.playout != Playout{}}]
	t.settings.BufferFactory = p.inbox
	t.settings.SetICEUDPMux(tappedUDP{e.udp, p.tap})
	if e.tcp != nil {
		t.settings.SetICETCPMux(tappedTCP{e.tcp, p.tap})
	}
	t.settings.SetDTLSServerHelloMessageHook(p.tap.serverHello)
	t.settings.SetDTLSKeyLogWriter(p.tap)
	api := webrtc.NewAPI(webrtc.WithMediaEngine(t.media), webrtc.WithInterceptorRegistry(t.interceptors), webrtc.WithSettingEngine(t.settings))
	return api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{e.cert}})
}

// harden sets what keeps clients in their place: they can make this node send to no
// address that has not proven itself, and only with current cryptography.
func harden(s *webrtc.SettingEngine, loopback bool) error {
	s.SetLite(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.DisableActiveTCP(true)
	s.SetIncludeLoopbackCandidate(loopback)
	s.SetRemoteIPFilter(func(ip net.IP) bool { return clientAddress(ip, loopback) })
	s.SetICETimeouts(disconnectedAfter, failedAfter, keepalive)
	s.SetSRTPReplayProtectionWindow(replayWindow)
	s.SetSRTCPReplayProtectionWindow(replayWindow)
	s.SetDTLSCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.SetReceiveMTU(relay.BufferSize)
	s.SetFireOnTrackBeforeFirstRTP(true)
	s.SetSCTPMaxReceiveBufferSize(sctpReceive)
	s.SetSCTPMaxMessageSize(maxMessage)
	// A client's goodbye ends the peer through its SCTP association (see NewPeer), not
	// inside pion: there it waits 200 ms for an abort nobody reads, holding a mutex that
	// the association's reader needs.
	s.DisableCloseByDTLS(true)
	// As DTLS server this node chooses the SRTP profile, and so the cheap one.
	return s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer)
}

// clientAddress reports whether a media client may be at ip. Link-local IPv4 is where
// cloud hosts keep their metadata service.
func clientAddress(ip net.IP, loopback bool) bool {
	switch {
	case ip.IsLoopback():
		return loopback
	case ip.IsUnspecified(), ip.IsMulticast(), ip.Equal(net.IPv4bcast):
		return false
	case ip.To4() != nil && ip.IsLinkLocalUnicast():
		return false
	}
	return true
}

// ownAddresses are where clients reach a socket bound to a: its own address, or all of
// the machine's if it is bound to none.
func ownAddresses(a net.Addr, loopback bool) ([]net.IP, error) {
	bound, _ := a.(*net.UDPAddr)
	if bound != nil && !bound.IP.IsUnspecified() && len(bound.IP) > 0 {
		return []net.IP{bound.IP}, nil
	}
	only4 := bound != nil && bound.IP.To4() != nil
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("rtc: own addresses: %w", err)
	}
	var out []net.IP
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && (!only4 || n.IP.To4() != nil) {
			out = append(out, n.IP)
		}
	}
	if loopback {
		out = append(out, net.IPv4(127, 0, 0, 1).To4())
	}
	if len(out) == 0 {
		return nil, errors.New("rtc: this machine has no address that clients could reach")
	}
	return out, nil
}

func newCertificate() (webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return webrtc.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return webrtc.Certificate{}, err
	}
	now := time.Now()
	c, err := webrtc.NewCertificate(key, x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "maille"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(certificateLife),
	})
	if err != nil {
		return webrtc.Certificate{}, err
	}
	return *c, nil
}

// Close closes every peer, then the sockets, and waits for both.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	peers := make([]*Peer, 0, len(e.peers))
	for p := range e.peers {
		peers = append(peers, p)
	}
	e.mu.Unlock()
	var all sync.WaitGroup
	for _, p := range peers {
		all.Go(func() { p.Close() })
	}
	all.Wait()
	return e.closeSockets()
}

func (e *Engine) closeSockets() error {
	err := e.udp.Close()
	if e.tcp != nil {
		err = errors.Join(err, e.tcp.Close())
	}
	return err
}

func (e *Engine) add(p *Peer) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	e.peers[p] = struct{}{}
	e.byID.Store(p.pc.ID(), p)
	return nil
}

func (e *Engine) remove(p *Peer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.peers, p)
	e.byID.Delete(p.pc.ID())
}

func itoa[T ~uint8 | ~uint32 | ~int](n T) string { return strconv.FormatUint(uint64(n), 10) }
