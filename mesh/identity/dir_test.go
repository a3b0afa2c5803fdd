package identity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestSaveAndLoad(t *testing.T) {
	ca := mustCA(t, "prod")
	dir, caDir := t.TempDir(), t.TempDir()
	if err := ca.SaveDir(caDir); err != nil {
		t.Fatal(err)
	}
	if err := ca.SaveDir(caDir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second authority was written over the first: %v", err)
	}
	again, err := LoadCA(caDir)
	if err != nil || again.Cluster() != "prod" {
		t.Fatalf("LoadCA: %v", err)
	}
	id := mustGrant(t, again, Grant{Name: "paris-1", Region: "paris"})
	if err := id.SaveDir(dir); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(filepath.Join(dir, nodeKey)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", fi.Mode(), err)
	}
	got, err := LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Self() != id.Self() || got.Self().Region != "paris" {
		t.Errorf("loaded %+v, saved %+v", got.Self(), id.Self())
	}
	lyon := mustGrant(t, ca, Grant{Name: "lyon-1"})
	if _, cerr, serr := shake(got.ClientTLS("lyon-1", alpn), lyon.ServerTLS(alpn)); cerr != nil || serr != nil {
		t.Errorf("loaded identity: %v, %v", cerr, serr)
	}
}

func TestLoadRefuses(t *testing.T) {
	ca := mustCA(t, "prod")
	good := func(t *testing.T) string {
		dir := t.TempDir()
		if err := mustGrant(t, ca, Grant{Name: "paris-1"}).SaveDir(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	write := func(t *testing.T, dir, file string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"no key":      func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, nodeKey)) },
		"empty cert":  func(t *testing.T, dir string) { write(t, dir, nodeCert, nil) },
		"garbage key": func(t *testing.T, dir string) { write(t, dir, nodeKey, []byte("no key")) },
		"huge file":   func(t *testing.T, dir string) { write(t, dir, caCert, make([]byte, maxFile+1)) },
		"key of another": func(t *testing.T, dir string) {
			other := t.TempDir()
			mustGrant(t, ca, Grant{Name: "lyon-1"}).SaveDir(other)
			b, _ := os.ReadFile(filepath.Join(other, nodeKey))
			write(t, dir, nodeKey, b)
		},
		"another authority": func(t *testing.T, dir string) {
			write(t, dir, caCert, encode("CERTIFICATE", mustCA(t, "prod").cert.Raw))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := good(t)
			spoil(t, dir)
			if _, err := LoadDir(dir); err == nil {
				t.Error("loaded")
			}
		})
	}
}

// New files are taken up by the next handshake; bad ones are not, and are told.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := mustCA(t, "prod")
		dir := t.TempDir()
		save := func(ttl time.Duration) {
			if err := mustGrant(t, ca, Grant{Name: "paris-1", TTL: ttl}).SaveDir(dir); err != nil {
				t.Fatal(err)
			}
		}
		save(time.Hour)
		paris, err := LoadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		lyon := mustGrant(t, ca, Grant{Name: "lyon-1"})
		server := paris.ServerTLS(alpn) // made once, as a listener does
		call := func() error {
			_, cerr, _ := shake(lyon.ClientTLS("paris-1", alpn), server)
			return cerr
		}
		if err := call(); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Hour)
		if err := call(); err == nil {
			t.Fatal("an expired certificate was accepted")
		}
		save(DefaultTTL)
		<-time.After(recheck)
		if err := call(); err != nil {
			t.Fatalf("after renewal: %v", err)
		}
		if err := os.WriteFile(filepath.Join(dir, nodeCert), []byte("half a f"), 0o600); err != nil {
			t.Fatal(err)
		}
		<-time.After(recheck)
		if err := call(); err != nil {
			t.Fatalf("with a damaged file: %v", err)
		}
		if paris.LoadError() == nil {
			t.Error("the damaged file is not told")
		}
		if err := mustGrant(t, ca, Grant{Name: "nice-1"}).SaveDir(dir); err != nil {
			t.Fatal(err)
		}
		<-time.After(recheck)
		if paris.Name() != "paris-1" || paris.LoadError() == nil {
			t.Errorf("a running node was renamed to %q (%v)", paris.Name(), paris.LoadError())
		}
	})
}

// Two authorities overlap while one follows the other.
func TestAuthorityRotation(t *testing.T) {
	old, next := mustCA(t, "prod"), mustCA(t, "prod")
	both := append(encode("CERTIFICATE", old.cert.Raw), encode("CERTIFICATE", next.cert.Raw)...)
	load := func(ca *CA, name string) *Identity {
		dir := t.TempDir()
		if err := mustGrant(t, ca, Grant{Name: name}).SaveDir(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, caCert), both, 0o600); err != nil {
			t.Fatal(err)
		}
		id, err := LoadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	a, b := load(old, "paris-1"), load(next, "lyon-1")
	if _, cerr, serr := shake(a.ClientTLS("lyon-1", alpn), b.ServerTLS(alpn)); cerr != nil || serr != nil {
		t.Errorf("old calls new: %v, %v", cerr, serr)
	}
	if _, cerr, serr := shake(b.ClientTLS("paris-1", alpn), a.ServerTLS(alpn)); cerr != nil || serr != nil {
		t.Errorf("new calls old: %v, %v", cerr, serr)
	}
}
