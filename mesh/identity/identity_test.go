package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const alpn = "test/1"

func mustCA(t testing.TB, cluster string) *CA {
	t.Helper()
	ca, err := NewCA(cluster, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func mustGrant(t testing.TB, ca *CA, g Grant) *Identity {
	t.Helper()
	id, err := ca.Grant(g)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// shake runs a handshake over a pipe and returns both ends' errors and what the
// server saw.
func shake(client, server *tls.Config) (cs tls.ConnectionState, clientErr, serverErr error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	s := tls.Server(b, server)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			cs = s.ConnectionState()
			_, err = s.Write([]byte{1})
		} else {
			b.Close()
		}
		done <- err
	}()
	c := tls.Client(a, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		// In TLS 1.3 the client learns of its own refusal with the first read.
		_, clientErr = c.Read(make([]byte, 1))
	}
	a.Close()
	return cs, clientErr, <-done
}

func TestHandshake(t *testing.T) {
	ca, other := mustCA(t, "prod"), mustCA(t, "staging")
	impostor := mustCA(t, "prod") // same cluster name, another key
	paris := mustGrant(t, ca, Grant{Name: "paris-1", Region: "paris", Hosts: []string{"10.0.0.1", "paris.example"}})
	lyon := mustGrant(t, ca, Grant{Name: "lyon-1", Region: "lyon"})

	tests := []struct {
		name   string
		client func() *tls.Config
		server func() *tls.Config
		refuse string // "" = accepted, else who refuses
		kind   error  // in the chain of the refusal, if one of ours
	}{
		{name: "two nodes"},
		{
			name: "another node answers", refuse: "client",
			client: func() *tls.Config { return paris.ClientTLS("marseille-1", alpn) },
		},
		{
			name: "client of another cluster", refuse: "server",
			client: func() *tls.Config {
				return trust(mustGrant(t, other, Grant{Name: "paris-1"}).ClientTLS("lyon-1", alpn), ca)
			},
		},
		{
			name: "server of another cluster", refuse: "client",
			server: func() *tls.Config { return mustGrant(t, other, Grant{Name: "lyon-1"}).ServerTLS(alpn) },
		},
		{
			name: "authority with the same name", refuse: "client",
			server: func() *tls.Config { return mustGrant(t, impostor, Grant{Name: "lyon-1"}).ServerTLS(alpn) },
		},
		{
			name: "operator as node", refuse: "server", kind: ErrPeer,
			client: func() *tls.Config {
				return mustGrant(t, ca, Grant{Name: "alice", Role: Operator}).ClientTLS("lyon-1", alpn)
			},
		},
		{
			name: "node as operator", refuse: "server", kind: ErrPeer,
			server: func() *tls.Config { return lyon.OperatorTLS(alpn) },
		},
		{
			name: "operator as operator",
			client: func() *tls.Config {
				return mustGrant(t, ca, Grant{Name: "alice", Role: Operator}).ClientTLS("lyon-1", alpn)
			},
			server: func() *tls.Config { return lyon.OperatorTLS(alpn) },
		},
		{
			name: "no certificate", refuse: "server",
			client: func() *tls.Config {
				c := paris.ClientTLS("lyon-1", alpn)
				c.GetClientCertificate = nil
				return c
			},
		},
		{
			name: "TLS 1.2 client", refuse: "server",
			client: func() *tls.Config {
				c := paris.ClientTLS("lyon-1", alpn)
				c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
				return c
			},
		},
		{
			name: "TLS 1.2 server", refuse: "client",
			server: func() *tls.Config {
				s := lyon.server(Node, []string{alpn})
				s.MinVersion, s.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
				return s
			},
		},
		{
			name: "other protocol", refuse: "server",
			client: func() *tls.Config { return paris.ClientTLS("lyon-1", "else/1") },
		},
		{
			name: "expired client", refuse: "server",
			client: func() *tls.Config {
				return mustGrant(t, ca, Grant{Name: "paris-1", TTL: -time.Second}).ClientTLS("lyon-1", alpn)
			},
		},
		{
			name: "expired server", refuse: "client",
			server: func() *tls.Config {
				return mustGrant(t, ca, Grant{Name: "lyon-1", TTL: -time.Second}).ServerTLS(alpn)
			},
		},
		{
			name: "certificate without our URI", refuse: "server", kind: ErrPeer,
			client: func() *tls.Config {
				return withURIs(t, ca, paris.ClientTLS("lyon-1", alpn))
			},
		},
		{
			name: "two URIs", refuse: "server", kind: ErrPeer,
			client: func() *tls.Config {
				return withURIs(t, ca, paris.ClientTLS("lyon-1", alpn), "maille://prod/node/paris-1", "maille://prod/node/lyon-1")
			},
		},
		{
			name: "authority speaks for another cluster", refuse: "server",
			client: func() *tls.Config {
				return withURIs(t, ca, paris.ClientTLS("lyon-1", alpn), "maille://staging/node/paris-1")
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, server := paris.ClientTLS("lyon-1", alpn), lyon.ServerTLS(alpn)
			if tt.client != nil {
				client = tt.client()
			}
			if tt.server != nil {
				server = tt.server()
			}
			cs, cerr, serr := shake(client, server)
			switch tt.refuse {
			case "":
				if cerr != nil || serr != nil {
					t.Fatalf("client: %v, server: %v", cerr, serr)
				}
				if cs.Version != tls.VersionTLS13 || cs.DidResume {
					t.Errorf("version %x, resumed %v", cs.Version, cs.DidResume)
				}
			case "client":
				if cerr == nil {
					t.Fatal("the client accepted")
				}
			case "server":
				if serr == nil || cerr == nil {
					t.Fatalf("client: %v, server: %v, want both to fail", cerr, serr)
				}
				if tt.kind != nil && !errors.Is(serr, tt.kind) {
					t.Errorf("server says %v, want %v", serr, tt.kind)
				}
			}
		})
	}
}

// trust makes a client accept servers of an authority, so that what is tested is the
// server's refusal.
func trust(c *tls.Config, ca *CA) *tls.Config {
	c.RootCAs = x509.NewCertPool()
	c.RootCAs.AddCert(ca.cert)
	c.VerifyConnection = nil
	return c
}

// withURIs replaces the client's certificate by one the authority would never issue.
func withURIs(t *testing.T, ca *CA, c *tls.Config, uris ...string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "odd"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, DNSNames: []string{"paris-1"},
	}
	for _, s := range uris {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		tmpl.URIs = append(tmpl.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
	}
	return c
}

func TestPeerOfConnection(t *testing.T) {
	ca := mustCA(t, "prod")
	paris := mustGrant(t, ca, Grant{Name: "paris-1", Region: "paris"})
	lyon := mustGrant(t, ca, Grant{Name: "lyon-1", Region: "lyon"})
	cs, cerr, serr := shake(paris.ClientTLS("lyon-1", alpn), lyon.ServerTLS(alpn))
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	p, err := lyon.Peer(cs)
	if want := (Peer{Name: "paris-1", Cluster: "prod", Role: Node, Region: "paris"}); err != nil || p != want {
		t.Errorf("Peer = %+v, %v, want %+v", p, err, want)
	}
	if name, err := lyon.PeerName(cs); err != nil || name != "paris-1" {
		t.Errorf("PeerName = %q, %v", name, err)
	}
	cs.VerifiedChains = nil
	if name, err := lyon.PeerName(cs); !errors.Is(err, ErrPeer) {
		t.Errorf("unverified certificate gave %q, %v", name, err)
	}
	if _, err := lyon.PeerName(tls.ConnectionState{}); !errors.Is(err, ErrPeer) {
		t.Errorf("no certificate gave %v", err)
	}
}

// A certificate that was good at the start is refused once its year is over.
func TestExpiryInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := mustCA(t, "prod")
		paris := mustGrant(t, ca, Grant{Name: "paris-1"})
		lyon := mustGrant(t, ca, Grant{Name: "lyon-1", TTL: 2 * DefaultTTL})
		client, server := paris.ClientTLS("lyon-1", alpn), lyon.ServerTLS(alpn)
		if got := time.Until(paris.Expires()); got < DefaultTTL-time.Hour || got > DefaultTTL {
			t.Fatalf("expires in %v", got)
		}
		<-time.After(DefaultTTL - time.Hour)
		if _, cerr, serr := shake(client, server); cerr != nil || serr != nil {
			t.Fatalf("an hour before the end: %v, %v", cerr, serr)
		}
		<-time.After(2 * time.Hour)
		if _, _, serr := shake(client, server); serr == nil {
			t.Fatal("accepted an hour after the end")
		}
	})
}

func TestValidName(t *testing.T) {
	for name, ok := range map[string]bool{
		"paris": true, "paris-1": true, "a": true, "node.dc1": true, "n_1": true, strings.Repeat("a", 63): true,
		"": false, "Paris": false, "-a": false, "a-": false, "a/b": false, "a b": false, "é": false,
		strings.Repeat("a", 64): false, "10.0.0.1": false, "a..b": false, "*": false, "a\n": false,
	} {
		if err := ValidName(name); (err == nil) != ok {
			t.Errorf("ValidName(%q) = %v", name, err)
		}
	}
	if _, err := mustCA(t, "prod").Issue("Bad Name", "", nil, 0); err == nil {
		t.Error("issued a certificate for a bad name")
	}
	if _, err := NewCA("Bad Name", 0); err == nil {
		t.Error("made an authority for a bad name")
	}
}

// A key made on the node is certified without leaving it.
func TestSignForeignKey(t *testing.T) {
	ca := mustCA(t, "prod")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Sign(key.Public(), Grant{Name: "lyon-1"})
	if err != nil {
		t.Fatal(err)
	}
	id, err := newIdentity(cert, key, []*x509.Certificate{ca.cert})
	if err != nil || id.Name() != "lyon-1" {
		t.Fatalf("%v, %v", id, err)
	}
	stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if _, err := newIdentity(cert, stranger, []*x509.Certificate{ca.cert}); err == nil {
		t.Error("accepted a key that is not the certificate's")
	}
}
