package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"
)

// Lifetimes unless others are asked for. The authority outlives ten generations of
// certificates, so rotating it is a rare, planned act.
const (
	DefaultTTL = 365 * 24 * time.Hour
	CATTL      = 10 * DefaultTTL
)

// skew is how far two hosts' clocks may differ without a fresh certificate being
// refused.
const skew = 5 * time.Minute

// CA issues certificates for one cluster. Its key belongs on a node the operator
// names issuer, or off the cluster altogether.
type CA struct {
	cluster string
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
}

// Grant is what a certificate is asked to say.
type Grant struct {
	Name   string
	Role   Role // Node if empty
	Region string
	Hosts  []string      // further DNS names and IP addresses, for tools that check them
	TTL    time.Duration // DefaultTTL if 0
}

// NewCA makes an authority for the cluster, in memory. ttl 0 is CATTL.
func NewCA(cluster string, ttl time.Duration) (*CA, error) {
	if err := ValidName(cluster); err != nil {
		return nil, err
	}
	if ttl == 0 {
		ttl = CATTL
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "maille cluster " + cluster},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(ttl),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		// The authority cannot vouch for another cluster, even by mistake.
		PermittedDNSDomainsCritical: true,
		PermittedURIDomains:         []string{cluster},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return &CA{cluster: cluster, cert: cert, key: key}, nil
}

// Cluster returns the name of the cluster the authority speaks for.
func (ca *CA) Cluster() string { return ca.cluster }

// Issue makes a key and a certificate for a node. ttl 0 is DefaultTTL.
func (ca *CA) Issue(node, region string, hosts []string, ttl time.Duration) (*Identity, error) {
	return ca.Grant(Grant{Name: node, Region: region, Hosts: hosts, TTL: ttl})
}

// Grant makes a key and a certificate.
func (ca *CA) Grant(g Grant) (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	cert, err := ca.Sign(key.Public(), g)
	if err != nil {
		return nil, err
	}
	return newIdentity(cert, key, []*x509.Certificate{ca.cert})
}

// Sign certifies a key that was made elsewhere, so that a node's key never leaves it.
func (ca *CA) Sign(pub crypto.PublicKey, g Grant) (*x509.Certificate, error) {
	if g.Role == "" {
		g.Role = Node
	}
	if g.TTL == 0 {
		g.TTL = DefaultTTL
	}
	if err := ValidName(g.Name); err != nil {
		return nil, err
	}
	peer := Peer{Name: g.Name, Cluster: ca.cluster, Role: g.Role, Region: g.Region}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: g.Name},
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(g.TTL),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		// Every node is client and server of every other. An operator only calls.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{peer.uri()},
		DNSNames:    []string{g.Name},
	}
	if g.Role == Node {
		tmpl.ExtKeyUsage = append(tmpl.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if g.Region != "" {
		tmpl.Subject.OrganizationalUnit = []string{g.Region}
	}
	for _, h := range g.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else if h != g.Name {
			tmpl.DNSNames = append(tmpl.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, pub, ca.key)
	if err != nil {
		return nil, fmt.Errorf("identity: certificate for %q: %w", g.Name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("identity: certificate for %q: %w", g.Name, err)
	}
	return cert, nil
}

// serial is random so that two authorities for one cluster never collide (RFC 5280
// 4.1.2.2 wants a positive number of at most 20 bytes).
func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand never fails since Go 1.24
	}
	return n.Add(n, big.NewInt(1))
}
