package identity

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Identity is what a node shows to others and what it accepts from them. It is safe
// for concurrent use.
type Identity struct {
	now  atomic.Pointer[material]
	disk *disk // nil when made in memory
}

// material is one immutable generation of certificate, key and roots.
type material struct {
	cert  tls.Certificate
	peer  Peer
	roots *x509.CertPool
	cas   []*x509.Certificate
}

func newIdentity(cert *x509.Certificate, key crypto.Signer, cas []*x509.Certificate) (*Identity, error) {
	m, err := newMaterial(cert, key, cas)
	if err != nil {
		return nil, err
	}
	id := &Identity{}
	id.now.Store(m)
	return id, nil
}

func newMaterial(cert *x509.Certificate, key crypto.Signer, cas []*x509.Certificate) (*material, error) {
	peer, err := peerOf(cert)
	if err != nil {
		return nil, err
	}
	pub, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(key.Public()) {
		return nil, fmt.Errorf("identity: the key is not that of the certificate of %q", peer.Name)
	}
	roots := x509.NewCertPool()
	for _, ca := range cas {
		roots.AddCert(ca)
	}
	return &material{
		cert:  tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
		peer:  peer,
		roots: roots,
		cas:   cas,
	}, nil
}

// Self returns who this identity says it is.
func (id *Identity) Self() Peer { return id.current().peer }

// Name returns the node's name.
func (id *Identity) Name() string { return id.Self().Name }

// Expires returns when the certificate ends.
func (id *Identity) Expires() time.Time { return id.current().cert.Leaf.NotAfter }

// current returns the newest good generation.
func (id *Identity) current() *material {
	if id.disk != nil {
		id.disk.refresh(&id.now)
	}
	return id.now.Load()
}

// ErrPeer is in the chain of every error that refuses a peer whose certificate is
// valid but says the wrong thing: another cluster, role or name.
var ErrPeer = errors.New("identity: peer refused")

// ServerTLS returns settings to accept nodes of the same cluster, and no one else.
// Certificates and roots are read anew for every handshake.
func (id *Identity) ServerTLS(alpn ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: alpn,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return id.server(Node, alpn), nil
		},
	}
}

// OperatorTLS returns settings to accept operators of the same cluster, for the
// admin port.
func (id *Identity) OperatorTLS(alpn ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: alpn,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return id.server(Operator, alpn), nil
		},
	}
}

func (id *Identity) server(role Role, alpn []string) *tls.Config {
	m := id.current()
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   alpn,
		Certificates: []tls.Certificate{m.cert},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    m.roots,
		// A resumed session would outlive the certificate that opened it.
		SessionTicketsDisabled: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := m.check(cs, role)
			return err
		},
	}
}

// ClientTLS returns settings to call the named node, and no other. The roots are
// those of now: ask again for every dial.
func (id *Identity) ClientTLS(peer string, alpn ...string) *tls.Config {
	m := id.current()
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: alpn,
		ServerName: peer,
		RootCAs:    m.roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &id.current().cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			p, err := m.check(cs, Node)
			if err == nil && p.Name != peer {
				err = fmt.Errorf("%w: called %q, answered %q", ErrPeer, peer, p.Name)
			}
			return err
		},
	}
}

// check reads the other end's identity. The chain was verified by crypto/tls.
func (m *material) check(cs tls.ConnectionState, role Role) (Peer, error) {
	if len(cs.PeerCertificates) == 0 || len(cs.VerifiedChains) == 0 {
		return Peer{}, fmt.Errorf("%w: no verified certificate", ErrPeer)
	}
	p, err := peerOf(cs.PeerCertificates[0])
	switch {
	case err != nil:
		return Peer{}, fmt.Errorf("%w: %w", ErrPeer, err)
	case p.Cluster != m.peer.Cluster:
		return Peer{}, fmt.Errorf("%w: %q is of cluster %q, not %q", ErrPeer, p.Name, p.Cluster, m.peer.Cluster)
	case p.Role != role:
		return Peer{}, fmt.Errorf("%w: %q is %s, not %s", ErrPeer, p.Name, p.Role, role)
	}
	return p, nil
}

// Peer returns who the other end of a connection is. It fails unless the
// certificate was verified and is one of a node of this cluster.
func (id *Identity) Peer(cs tls.ConnectionState) (Peer, error) {
	return id.now.Load().check(cs, Node)
}

// PeerName returns the name of the node at the other end of a connection.
func (id *Identity) PeerName(cs tls.ConnectionState) (string, error) {
	p, err := id.Peer(cs)
	return p.Name, err
}
