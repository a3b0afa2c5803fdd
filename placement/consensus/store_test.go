package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// onDisk gives each server a directory under dir.
func onDisk(dir string, opt func(*Config)) func(*Config) {
	return func(cfg *Config) {
		cfg.Dir = filepath.Join(dir, cfg.Name)
		if opt != nil {
			opt(cfg)
		}
	}
}

// TestRestart: servers stopped and started keep identity, votes and state, from the log
// and from a snapshot.
func TestRestart(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		t.Run(fmt.Sprintf("snapshot=%v", snapshot), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				opt := onDisk(dir, nil)
				c := newCluster(t, 3, opt)
				defer c.close()
				c.bootstrap()
				l := c.leader()
				for i := range 10 {
					c.commit(l, fmt.Sprintf("room-%d", i))
				}
				c.seen("room-9")
				ids := map[string]string{}
				for name, s := range c.up {
					if snapshot {
						if err := s.raft.Snapshot().Error(); err != nil {
							t.Fatal(err)
						}
					}
					ids[name] = s.Incarnation()
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				for _, name := range c.names {
					s := c.start(name, opt)
					if s.Incarnation() != ids[name] || s.Damaged() || !s.Initialised() {
						t.Errorf("%s came back as %s, damaged %v, initialised %v", name, s.Incarnation(), s.Damaged(), s.Initialised())
					}
				}
				l = c.leader()
				c.commit(l, "after")
				c.seen("after")
				for name, s := range c.up {
					if got := s.State().NumRooms(); got != 11 {
						t.Errorf("%s has %d rooms, want 11", name, got)
					}
				}
			})
		})
	}
}

// lone returns the directory of a stopped one-server store with some history.
func lone(t *testing.T, entries int) (dir, id string) {
	dir = t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, onDisk(dir, nil))
		defer c.close()
		c.bootstrap()
		l := c.leader()
		for i := range entries {
			c.commit(l, fmt.Sprintf("room-%d", i))
		}
		id = l.Incarnation()
	})
	return filepath.Join(dir, "n1"), id
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamage: a store that cannot be what this server last wrote comes back as a new
// server, and its old identity is gone.
func TestDamage(t *testing.T) {
	good, id := lone(t, 5)
	other, _ := lone(t, 5)
	db := func(dir string) string { return filepath.Join(dir, dbFile) }
	cases := []struct {
		name   string
		damage func(t *testing.T, dir string)
		ok     bool
	}{
		{"none", func(*testing.T, string) {}, true},
		{"torn progress", func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, progressFile), 7)) }, true},
		{"no progress", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, progressFile))) }, true},
		{"empty file", func(t *testing.T, dir string) { must(t, os.Truncate(db(dir), 0)) }, false},
		{"no file", func(t *testing.T, dir string) { must(t, os.Remove(db(dir))) }, false},
		{"truncated", func(t *testing.T, dir string) { must(t, os.Truncate(db(dir), 9000)) }, false},
		{"noise", func(t *testing.T, dir string) {
			must(t, os.WriteFile(db(dir), bytes.Repeat([]byte("x"), 65536), 0o600))
		}, false},
		{"marker lost", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, incarnationFile))) }, false},
		{"another server's", func(t *testing.T, dir string) {
			b, err := os.ReadFile(db(other))
			must(t, err)
			must(t, os.WriteFile(db(dir), b, 0o600))
		}, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, "n1")
			copyDir(t, good, dir)
			tc.damage(t, dir)
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 1, onDisk(root, nil))
				defer c.close()
				s := c.up["n1"]
				if s.Damaged() == tc.ok || (s.Incarnation() == id) != tc.ok || s.Initialised() != tc.ok {
					t.Errorf("damaged %v, incarnation kept %v, initialised %v", s.Damaged(), s.Incarnation() == id, s.Initialised())
				}
				if !tc.ok {
					return
				}
				if l := c.leader(); l.State().NumRooms() != 5 {
					c.wait("the old rooms", time.Second, func() bool { return l.State().NumRooms() == 5 })
				}
			})
		})
	}
}

// TestOldCopy: a backup put back without its progress record has forgotten entries it
// acknowledged.
func TestOldCopy(t *testing.T) {
	dir, id := lone(t, 3)
	old, err := os.ReadFile(filepath.Join(dir, dbFile))
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, onDisk(filepath.Dir(dir), nil))
		defer c.close()
		c.commit(c.leader(), "newer")
	})
	must(t, os.WriteFile(filepath.Join(dir, dbFile), old, 0o600))
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, onDisk(filepath.Dir(dir), nil))
		defer c.close()
		if s := c.up["n1"]; !s.Damaged() || s.Incarnation() == id {
			t.Error("an old copy was taken for the store")
		}
	})
}

// TestInUse: a store another process holds is not a damaged one.
func TestInUse(t *testing.T) {
	dir, _ := lone(t, 1)
	held, err := openDB(dir, false)
	must(t, err)
	defer held.Close()
	if _, err := openFiles(Config{Dir: dir}); err == nil || errors.Is(err, errCorrupt) {
		t.Errorf("%v, want a plain failure", err)
	}
	if _, err := os.Stat(filepath.Join(dir, damagedDir)); err == nil {
		t.Error("it was set aside")
	}
}

// TestBitFlips: of single flipped bits anywhere in the file, each is noticed or changes
// nothing that is read.
func TestBitFlips(t *testing.T) {
	const flips = 250
	dir, id := lone(t, 100)
	path := filepath.Join(dir, dbFile)
	good, err := os.ReadFile(path)
	must(t, err)
	want := entries(t, dir)
	rng := rand.New(rand.NewPCG(7, 7))
	noticed := 0
	for range flips {
		bit := rng.IntN(len(good) * 8)
		good[bit/8] ^= 1 << (bit % 8)
		must(t, os.WriteFile(path, good, 0o600))
		err := verify(dir, id)
		if err == nil {
			if got := entries(t, dir); got != want {
				t.Fatalf("bit %d: silently other entries", bit)
			}
		} else {
			noticed++
			if !errors.Is(err, errCorrupt) {
				t.Errorf("bit %d: %v", bit, err)
			}
		}
		good[bit/8] ^= 1 << (bit % 8)
	}
	t.Logf("%d of %d noticed, the rest harmless", noticed, flips)
	if noticed == 0 {
		t.Error("no flip was noticed")
	}
}

// entries returns all of a store's log and votes as one string.
func entries(t *testing.T, dir string) string {
	t.Helper()
	db, err := openDB(dir, true)
	must(t, err)
	defer db.Close()
	s := newChecked(db, nil, nil)
	last, err := s.LastIndex()
	must(t, err)
	var b bytes.Buffer
	var l raft.Log
	for i := uint64(1); i <= last; i++ {
		if err := s.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, l.Index, l.Term, l.Type, l.Data)
	}
	for _, key := range []string{keyTerm, "LastVoteTerm", "LastVoteCand", string(keyIncarnation)} {
		v, _ := s.Get([]byte(key))
		fmt.Fprintf(&b, "%s %x\n", key, v)
	}
	return b.String()
}

// TestForgottenVotes: a server that lost its store does not stand in for its old self,
// so the only other survivor of three is no majority with it.
func TestForgottenVotes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		opt := onDisk(dir, nil)
		c := newCluster(t, 3, opt)
		defer c.close()
		c.bootstrap()
		c.commit(c.leader(), "a")
		c.kill("n1")
		c.kill("n2")
		must(t, os.RemoveAll(filepath.Join(dir, "n1", dbFile)))
		c.net.Revive("n1")
		n1 := c.start("n1", opt)
		<-time.After(time.Minute)
		if c.up["n3"].IsLeader() || n1.Initialised() {
			t.Errorf("n3 leads %v, n1 took its old place %v", c.up["n3"].IsLeader(), n1.Initialised())
		}
		c.net.Revive("n2")
		c.start("n2", opt)
		c.wait("a leader of the two that remember", time.Minute, func() bool {
			return c.up["n2"].IsLeader() || c.up["n3"].IsLeader()
		})
	})
}
