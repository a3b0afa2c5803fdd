package identity

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Role is what a certificate lets its holder be.
type Role string

const (
	Node     Role = "node"     // takes part in the mesh
	Operator Role = "operator" // speaks to the admin port, never to the mesh
)

// scheme of the URI that binds a certificate to a cluster, a role and a name.
const scheme = "maille"

// maxName is the longest DNS label: names are used as TLS server names.
const maxName = 63

// Peer is who a certificate says is speaking.
type Peer struct {
	Name    string
	Cluster string
	Role    Role
	Region  string // empty for operators
}

// ValidName reports whether s can name a node, an operator or a cluster: 1 to 63
// characters of a-z, 0-9, '-', '_' and '.', starting and ending with a letter or
// digit, and not an IP address (TLS matches those by other rules).
func ValidName(s string) error {
	if s == "" || len(s) > maxName {
		return fmt.Errorf("identity: name %q must have 1 to %d characters", s, maxName)
	}
	for i, c := range s {
		inner := i > 0 && i < len(s)-1
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case inner && (c == '-' || c == '_' || c == '.'):
		default:
			return fmt.Errorf("identity: name %q: use a-z, 0-9, and '-', '_' or '.' inside", s)
		}
	}
	if strings.Contains(s, "..") {
		return fmt.Errorf("identity: name %q: two dots in a row", s)
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return fmt.Errorf("identity: name %q is an IP address", s)
	}
	return nil
}

func (p Peer) uri() *url.URL {
	return &url.URL{Scheme: scheme, Host: p.Cluster, Path: "/" + string(p.Role) + "/" + p.Name}
}

// peerOf reads the identity out of a certificate whose chain was verified.
func peerOf(c *x509.Certificate) (Peer, error) {
	var found *url.URL
	for _, u := range c.URIs {
		if u.Scheme != scheme {
			continue
		}
		if found != nil {
			return Peer{}, fmt.Errorf("identity: certificate of %q has two %s URIs", c.Subject.CommonName, scheme)
		}
		found = u
	}
	if found == nil {
		return Peer{}, fmt.Errorf("identity: certificate of %q is not one of a cluster", c.Subject.CommonName)
	}
	role, name, _ := strings.Cut(strings.TrimPrefix(found.Path, "/"), "/")
	p := Peer{Name: name, Cluster: found.Host, Role: Role(role)}
	if p.Role != Node && p.Role != Operator {
		return Peer{}, fmt.Errorf("identity: unknown role in %s", found)
	}
	if err := ValidName(p.Name); err != nil {
		return Peer{}, fmt.Errorf("%w in %s", err, found)
	}
	if len(c.Subject.OrganizationalUnit) > 0 {
		p.Region = c.Subject.OrganizationalUnit[0]
	}
	return p, nil
}
