package link

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"maille/relay"
	"maille/relay/track"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testCA signs node certificates for a test's cluster.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTestCA(t testing.TB) *testCA {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	return &testCA{cert, key}
}

// testIdentity is a node's certificate; nil cert is a node without one.
type testIdentity struct {
	ca   *testCA
	cert *tls.Certificate
}

func (ca *testCA) issue(t testing.TB, name string) *testIdentity {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return &testIdentity{ca: ca, cert: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

func (i *testIdentity) config(alpn []string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(i.ca.cert)
	c := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: alpn, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert,
	}
	if i.cert != nil {
		c.Certificates = []tls.Certificate{*i.cert}
	}
	return c
}

func (i *testIdentity) ServerTLS(alpn ...string) *tls.Config { return i.config(alpn) }

func (i *testIdentity) ClientTLS(peer string, alpn ...string) *tls.Config {
	c := i.config(alpn)
	c.ServerName = peer
	return c
}

func (i *testIdentity) PeerName(st tls.ConnectionState) (string, error) {
	if len(st.PeerCertificates) == 0 {
		return "", errors.New("no certificate")
	}
	return st.PeerCertificates[0].Subject.CommonName, nil
}

// node is an endpoint with a handler that serves the tracks it is given and notes what
// it is told.
type node struct {
	t    testing.TB
	name string
	host *host
	*Endpoint

	mu       sync.Mutex
	tracks   map[relay.TrackID]*track.Track
	ups      []*Session
	downs    []error
	messages map[string][]string
	onUp     func(*Session)
	gates    map[string]chan struct{} // of rooms that serve when theirs is closed
}

func startNode(t testing.TB, n *network, id Identity, name, ip string, change ...func(*Config)) *node {
	nd := &node{
		t: t, name: name, host: n.host(ip),
		tracks: make(map[relay.TrackID]*track.Track), messages: make(map[string][]string),
	}
	cfg := Config{Self: name, Conn: nd.host, TLS: id, Handler: nd}
	for _, f := range change {
		f(&cfg)
	}
	e, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	nd.Endpoint = e
	return nd
}

func (n *node) stop() {
	if err := n.Endpoint.Close(); err != nil {
		n.t.Error(err)
	}
	n.host.Close()
}

func (n *node) Up(s *Session) {
	n.mu.Lock()
	n.ups = append(n.ups, s)
	f := n.onUp
	n.mu.Unlock()
	if f != nil {
		f(s)
	}
}

func (n *node) Down(s *Session, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.downs = append(n.downs, err)
}

func (n *node) Message(s *Session, channel string, msg []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.messages[channel] = append(n.messages[channel], string(msg))
}

func (n *node) Serve(s *Session, ref TrackRef) (*track.Track, error) {
	n.mu.Lock()
	gate := n.gates[ref.Room]
	n.mu.Unlock()
	if gate != nil {
		<-gate
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if tr := n.tracks[ref.ID]; tr != nil {
		return tr, nil
	}
	return nil, errors.New("unknown track")
}

func (n *node) counts() (ups, downs int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.ups), len(n.downs)
}

// pair is two connected nodes, a and b.
type pair struct {
	*network
	a, b *node
}

func newPair(t testing.TB, c conditions, change ...func(*Config)) *pair {
	n := newNetwork(1)
	ca := newTestCA(t)
	p := &pair{network: n}
	p.a = startNode(t, n, ca.issue(t, "a"), "a", "10.0.0.1", change...)
	p.b = startNode(t, n, ca.issue(t, "b"), "b", "10.0.0.2", change...)
	n.both(p.a.host, p.b.host, c)
	p.a.Peer("b", "10.0.0.2:7883")
	p.b.Peer("a", "10.0.0.1:7883")
	return p
}

func (p *pair) stop() {
	p.a.stop()
	p.b.stop()
	p.network.close()
}

// sessions waits until both sides have one.
func (p *pair) sessions(t testing.TB) (a, b *Session) {
	for range 100 {
		settle(100 * time.Millisecond)
		if a, b := p.a.Session("b"), p.b.Session("a"); a != nil && b != nil {
			return a, b
		}
	}
	t.Fatal("no session within 10 s")
	return nil, nil
}

// source notes what a track asks of its publisher.
type source struct {
	mu        sync.Mutex
	demand    relay.LayerSet
	keyframes []uint8
	resends   []uint16
}

func (s *source) Demand(l relay.LayerSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.demand = l
}

func (s *source) Keyframe(spatial uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keyframes = append(s.keyframes, spatial)
}

func (s *source) Resend(_ uint8, seqs []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resends = append(s.resends, seqs...)
}

// sink keeps what a track gives it.
type sink struct {
	mu      sync.Mutex
	packets []*relay.Packet
	clocks  []relay.Clock
	closed  bool
}

func (s *sink) Push(p *relay.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Retain()
	s.packets = append(s.packets, p)
}

func (s *sink) Clock(c relay.Clock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clocks = append(s.clocks, c)
}

func (s *sink) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *sink) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.packets)
}

// fill makes a packet with payload bytes of its own number.
func fill(seq uint16, size int) *relay.Packet {
	p := relay.NewPacket()
	p.Seq, p.Timestamp, p.SSRC, p.PayloadType = seq, uint32(seq)*3000, 0xabcd, 96
	p.Payload = p.Buffer()[:size]
	for i := range p.Payload {
		p.Payload[i] = byte(seq) + byte(i)
	}
	p.Arrived = relay.Now()
	return p
}

// pass lets the bubble's time pass.
func pass(d time.Duration) { <-time.After(d) }

// settle lets time pass and then everything come to rest. Only the test's own goroutine
// may call it.
func settle(d time.Duration) {
	pass(d)
	synctest.Wait()
}
