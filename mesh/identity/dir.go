package identity

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Files in a certificates directory. ca.key is there only where certificates are
// issued.
const (
	caCert   = "ca.crt"
	caKey    = "ca.key"
	nodeCert = "node.crt"
	nodeKey  = "node.key"
)

// recheck is how often, at most, handshakes look whether the files changed.
const recheck = 5 * time.Second

// LoadDir reads ca.crt, node.crt and node.key. ca.crt may hold several authorities
// of one cluster, so that one can follow another. Files that change later are taken
// up by the next handshake; a bad or half-written set is ignored, and LoadError
// tells why.
func LoadDir(dir string) (*Identity, error) {
	before := stampOf(dir) // what changes while it is read is read again
	m, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	id := &Identity{disk: &disk{dir: dir, stamp: before, checked: time.Now()}}
	id.now.Store(m)
	return id, nil
}

// SaveDir writes ca.crt, node.crt and node.key, each atomically, the key readable by
// its owner alone.
func (id *Identity) SaveDir(dir string) error {
	m := id.now.Load()
	key, ok := m.cert.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("identity: only ECDSA keys can be saved")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	var cas []byte
	for _, ca := range m.cas {
		cas = append(cas, encode("CERTIFICATE", ca.Raw)...)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return errors.Join(
		writeFile(filepath.Join(dir, nodeKey), encode("PRIVATE KEY", der), 0o600),
		writeFile(filepath.Join(dir, nodeCert), encode("CERTIFICATE", m.cert.Leaf.Raw), 0o644),
		writeFile(filepath.Join(dir, caCert), cas, 0o644),
	)
}

// LoadError returns why the newest files on disk are not in use, or nil.
func (id *Identity) LoadError() error {
	if id.disk == nil {
		return nil
	}
	id.disk.mu.Lock()
	defer id.disk.mu.Unlock()
	return id.disk.err
}

// LoadCA reads an authority from ca.crt (the first certificate) and ca.key.
func LoadCA(dir string) (*CA, error) {
	certs, err := readCerts(filepath.Join(dir, caCert))
	if err != nil {
		return nil, err
	}
	key, err := readKey(filepath.Join(dir, caKey))
	if err != nil {
		return nil, err
	}
	cert := certs[0]
	if !cert.IsCA || len(cert.PermittedURIDomains) != 1 {
		return nil, fmt.Errorf("identity: %s is not the authority of a cluster", filepath.Join(dir, caCert))
	}
	if pub, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(key.Public()) {
		return nil, fmt.Errorf("identity: %s is not the key of %s", caKey, caCert)
	}
	return &CA{cluster: cert.PermittedURIDomains[0], cert: cert, key: key}, nil
}

// SaveDir writes ca.crt and ca.key. It never replaces an authority that is there.
func (ca *CA) SaveDir(dir string) error {
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	path := filepath.Join(dir, caKey)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("identity: %s exists already: %w", path, fs.ErrExist)
	}
	return errors.Join(
		writeFile(path, encode("PRIVATE KEY", der), 0o600),
		writeFile(filepath.Join(dir, caCert), encode("CERTIFICATE", ca.cert.Raw), 0o644),
	)
}

// disk watches a directory by looking at it when a handshake needs it: no goroutine,
// no notification service that may lose an event.
type disk struct {
	dir string

	mu      sync.Mutex // guards stamp, checked, err
	stamp   stamp
	checked time.Time
	err     error
}

// refresh stores a new generation in now if the files changed and are good.
func (d *disk) refresh(now *atomic.Pointer[material]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := time.Now()
	if t.Sub(d.checked) < recheck {
		return
	}
	d.checked = t
	s := stampOf(d.dir)
	if s == d.stamp {
		return
	}
	m, err := readDir(d.dir)
	if err == nil && m.peer.Name != now.Load().peer.Name {
		err = fmt.Errorf("identity: %s now names %q, this node is %q: restart to rename", d.dir, m.peer.Name, now.Load().peer.Name)
	}
	d.err = err
	if err != nil {
		return // look again next time: the files may be half replaced
	}
	d.stamp = s
	now.Store(m)
}

// stamp tells one state of the files from another.
type stamp [3]struct {
	size int64
	mod  time.Time
}

func stampOf(dir string) (s stamp) {
	for i, f := range []string{caCert, nodeCert, nodeKey} {
		if fi, err := os.Stat(filepath.Join(dir, f)); err == nil {
			s[i].size, s[i].mod = fi.Size(), fi.ModTime()
		}
	}
	return s
}
