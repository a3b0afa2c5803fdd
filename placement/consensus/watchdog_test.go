package consensus

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// gate is a disk that can be made to stall or fail.
type gate struct {
	stalled atomic.Pointer[chan struct{}]
	fails   atomic.Pointer[error]
}

func (g *gate) disk(op string) error {
	if ch := g.stalled.Load(); ch != nil {
		<-*ch
	}
	if err := g.fails.Load(); err != nil && op != "canary" {
		return *err
	}
	return nil
}

func (g *gate) stall() {
	ch := make(chan struct{})
	g.stalled.Store(&ch)
}

func (g *gate) release() {
	if ch := g.stalled.Swap(nil); ch != nil {
		close(*ch)
	}
}

func gated(t *testing.T, dir string, f func(t *testing.T, c *cluster, gates map[string]*gate)) {
	synctest.Test(t, func(t *testing.T) {
		gates := map[string]*gate{}
		c := newCluster(t, 3, onDisk(dir, func(cfg *Config) {
			g := &gate{}
			gates[cfg.Name] = g
			cfg.Disk = g.disk
		}))
		defer c.close()
		defer func() {
			for _, g := range gates {
				g.release()
			}
		}()
		c.bootstrap()
		c.commit(c.leader(), "a")
		f(t, c, gates)
	})
}

func TestShortStallKeepsTheLead(t *testing.T) {
	gated(t, t.TempDir(), func(t *testing.T, c *cluster, gates map[string]*gate) {
		l := c.leader()
		gates[l.Name()].stall()
		<-time.After(time.Second)
		gates[l.Name()].release()
		<-time.After(5 * time.Second)
		if c.leader() != l {
			t.Error("a stall of 1 s cost the lead")
		}
		c.commit(l, "b")
	})
}

// TestStalledLeader: a leader whose disk stalls for good is replaced, new commits are
// made, and it lives on without Raft.
func TestStalledLeader(t *testing.T) {
	gated(t, t.TempDir(), func(t *testing.T, c *cluster, gates map[string]*gate) {
		l := c.leader()
		began := time.Now()
		gates[l.Name()].stall()
		if _, err := l.Apply(t.Context(), openRoom("b")); !errors.Is(err, ErrUncertain) {
			t.Errorf("apply on a stalled disk: %v, want ErrUncertain", err)
		}
		c.wait("commit elsewhere", time.Minute, func() bool {
			for _, s := range c.up {
				if s != l {
					if _, err := s.Apply(t.Context(), openRoom("c")); err == nil {
						return true
					}
				}
			}
			return false
		})
		t.Logf("commits again after %v", time.Since(began))
		c.wait("giving up", 10*time.Second, func() bool { return l.Failed() != nil })
		if l.State().Room("a") == nil {
			t.Error("the state is lost with Raft")
		}
		if _, err := l.Apply(t.Context(), openRoom("d")); !errors.Is(err, ErrStopped) {
			t.Errorf("apply after giving up: %v, want ErrStopped", err)
		}
		if l.IsLeader() || l.Quorum() {
			t.Error("it still claims to lead")
		}
	})
}

// TestMutedLeaderReturns: a stall between the two limits moves the lead and no more. Where
// votes split the others may have none yet when it is back.
func TestMutedLeaderReturns(t *testing.T) {
	kept := 0
	for range 20 {
		gated(t, t.TempDir(), func(t *testing.T, c *cluster, gates map[string]*gate) {
			l := c.leader()
			gates[l.Name()].stall()
			<-time.After(4500 * time.Millisecond)
			gates[l.Name()].release()
			next := c.leader()
			if next == l {
				kept++
			}
			c.commit(next, "b")
			c.seen("b") // on the one that stalled, too
			if err := l.Failed(); err != nil {
				t.Errorf("given up: %v", err)
			}
		})
	}
	if kept > 3 {
		t.Errorf("it kept the lead %d times of 20", kept)
	}
}

// TestFullDisk: raft panics when it cannot save its term; here Raft is given up instead
// and the process lives.
func TestFullDisk(t *testing.T) {
	gated(t, t.TempDir(), func(t *testing.T, c *cluster, gates map[string]*gate) {
		l := c.leader()
		full := error(syscall.ENOSPC)
		for name, g := range gates {
			if name != l.Name() {
				g.fails.Store(&full)
			}
		}
		c.kill(l.Name())
		c.wait("giving up", 10*time.Second, func() bool {
			for _, s := range c.up {
				if errors.Is(s.Failed(), syscall.ENOSPC) {
					return true
				}
			}
			return false
		})
	})
}

// TestCorruptWhileRunning: an entry that does not verify is never applied or sent.
func TestCorruptWhileRunning(t *testing.T) {
	gated(t, t.TempDir(), func(t *testing.T, c *cluster, _ map[string]*gate) {
		l := c.leader()
		last := l.raft.LastIndex()
		bad := &raft.Log{Index: last, Term: 1, Data: []byte("other"), Extensions: []byte{1, 2, 3, 4}}
		if err := l.store.backend.StoreLog(bad); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done) // GetLog ends this goroutine as it would raft's
			l.store.GetLog(last, new(raft.Log))
			t.Error("a corrupt entry was returned")
		}()
		<-done
		if !errors.Is(l.Failed(), errCorrupt) {
			t.Errorf("failed: %v, want errCorrupt", l.Failed())
		}
	})
}
