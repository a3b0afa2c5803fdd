package consensus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"maille/bench/sim"
	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const port = ":7884"

// cluster is servers on a virtual network, each on a host of its own.
type cluster struct {
	t     *testing.T
	net   *sim.Network
	hosts map[string]*sim.Host
	up    map[string]*Consensus
	names []string
}

// newCluster starts n servers, all voters, with 20 ms round trips between them. It must
// be called inside a bubble.
func newCluster(t *testing.T, n int, opt func(*Config)) *cluster {
	c := &cluster{t: t, net: sim.New(1), hosts: map[string]*sim.Host{}, up: map[string]*Consensus{}}
	c.net.Default(sim.Path{Delay: 10 * time.Millisecond})
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		c.hosts[name] = c.net.Host(name, fmt.Sprintf("r%d", i+1), fmt.Sprintf("10.0.0.%d", i+1))
		c.names = append(c.names, name)
		c.start(name, opt)
	}
	return c
}

func (c *cluster) start(name string, opt func(*Config)) *Consensus {
	c.t.Helper()
	host := c.hosts[name]
	ln, err := host.Listen("tcp", host.IP().String()+port)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := Config{
		Name:     name,
		Listener: ln,
		Dial: func(ctx context.Context, node string) (net.Conn, error) {
			return host.DialContext(ctx, "tcp", c.hosts[node].IP().String()+port)
		},
	}
	if os.Getenv("RAFT_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("on", name)
	}
	if opt != nil {
		opt(&cfg)
	}
	s, err := Open(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.up[name] = s
	return s
}

func (c *cluster) bootstrap() {
	c.t.Helper()
	var servers []Server
	for _, n := range c.names {
		servers = append(servers, Server{Name: n, Incarnation: c.up[n].Incarnation(), Voter: true})
	}
	if err := c.up[c.names[0]].Bootstrap(servers); err != nil {
		c.t.Fatal(err)
	}
}

// leader waits for one leader that all servers up agree on.
func (c *cluster) leader() *Consensus {
	c.t.Helper()
	var l *Consensus
	c.wait("a leader", time.Minute, func() bool {
		l = nil
		for _, s := range c.up {
			if s.IsLeader() {
				l = s
			}
		}
		if l == nil {
			return false
		}
		for _, s := range c.up {
			if s.Leader() != l.Name() {
				return false
			}
		}
		return true
	})
	return l
}

func (c *cluster) wait(what string, within time.Duration, cond func() bool) time.Duration {
	c.t.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > within {
			c.t.Fatalf("no %s within %v", what, within)
		}
		<-time.After(10 * time.Millisecond)
	}
	return time.Since(began)
}

// kill ends a server as kill -9 of its host does: the network goes first.
func (c *cluster) kill(name string) {
	c.t.Helper()
	c.net.Kill(name)
	if err := c.up[name].Close(); err != nil {
		c.t.Fatal(err)
	}
	delete(c.up, name)
}

func (c *cluster) close() {
	for _, s := range c.up {
		if err := s.Close(); err != nil {
			c.t.Error(err)
		}
	}
	c.net.Close()
}

func openRoom(name string) *meshpb.Command {
	return &meshpb.Command{Body: &meshpb.Command_OpenRoom{OpenRoom: &meshpb.OpenRoom{
		Name: name, Sid: "RM_" + name, Region: "r1", Node: "n1",
	}}}
}

func (c *cluster) commit(s *Consensus, room string) {
	c.t.Helper()
	res, err := s.Apply(c.t.Context(), openRoom(room))
	if err != nil || !res.GetCreated() {
		c.t.Fatalf("open %s: %v, %v", room, res, err)
	}
}

// seen waits until every server up has applied the room.
func (c *cluster) seen(room string) {
	c.t.Helper()
	c.wait(room+" everywhere", time.Minute, func() bool {
		for _, s := range c.up {
			if s.State().Room(room) == nil {
				return false
			}
		}
		return true
	})
}

func TestReplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, nil)
		defer c.close()
		watched := make(chan int, 16)
		cancel := c.up["n3"].Watch(func(s *state.State) { watched <- s.NumRooms() })
		defer cancel()
		if n := <-watched; n != 0 {
			t.Errorf("first watch call saw %d rooms", n)
		}
		c.bootstrap()
		l := c.leader()
		c.commit(l, "a")
		c.seen("a")
		if n := <-watched; n != 1 {
			t.Errorf("watch saw %d rooms, want 1", n)
		}
		for name, s := range c.up {
			if !s.Quorum() || s.Leaderless() != 0 {
				t.Errorf("%s: quorum %v, leaderless %v", name, s.Quorum(), s.Leaderless())
			}
			if got := len(s.Servers()); got != 3 {
				t.Errorf("%s knows %d servers", name, got)
			}
			if s == l {
				continue
			}
			if _, err := s.Apply(t.Context(), openRoom("b")); err != ErrNotLeader {
				t.Errorf("%s: apply: %v, want ErrNotLeader", name, err)
			}
		}
	})
}

// TestLeaderKilled: over 20 ms links, the survivors commit again within 5 s of a leader
// vanishing without a word. Raft draws its timeouts, and votes may split again and again:
// once in a thousand times it takes longer.
func TestLeaderKilled(t *testing.T) {
	var took []time.Duration
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, 3, nil)
			defer c.close()
			c.bootstrap()
			l := c.leader()
			c.commit(l, "a")
			c.kill(l.Name())
			took = append(took, c.wait("new commit", time.Minute, func() bool {
				for _, s := range c.up {
					if _, err := s.Apply(t.Context(), openRoom("b")); err == nil {
						return true
					}
				}
				return false
			}))
			c.seen("b")
			for _, s := range c.up {
				if a, b := s.State().Room("a"), s.State().Room("b"); a.GetEpoch() != 1 || b.GetEpoch() != 2 {
					t.Errorf("epochs %d and %d, want 1 and 2", a.GetEpoch(), b.GetEpoch())
				}
			}
		})
	}
	slices.Sort(took)
	if t.Logf("%v", took); len(took) == 20 && took[16] > 5*time.Second {
		t.Error("more than three of 20 took over 5 s")
	}
}

// TestNoQuorum: a minority answers, with errors, within the deadline, and recovers.
func TestNoQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, nil)
		defer c.close()
		c.bootstrap()
		l := c.leader()
		c.commit(l, "a")
		for _, n := range c.names {
			if n != l.Name() {
				c.net.Isolate(n)
			}
		}
		began := time.Now()
		if _, err := l.Apply(t.Context(), openRoom("b")); err == nil {
			t.Error("committed without a quorum")
		}
		if d := time.Since(began); d > applyWait {
			t.Errorf("answered after %v", d)
		}
		c.wait("loss of quorum", 3*time.Second, func() bool { return !l.Quorum() })
		<-time.After(10 * time.Second)
		if l.Leaderless() < 5*time.Second || l.State().Room("a") == nil {
			t.Errorf("leaderless for %v, room %v", l.Leaderless(), l.State().Room("a"))
		}
		for _, n := range c.names {
			if n != l.Name() {
				c.net.Rejoin(n)
			}
		}
		c.leader()
	})
}

// TestMembers adds, promotes, demotes and removes a fourth server, and moves the lead.
func TestMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, nil)
		defer c.close()
		c.bootstrap()
		l := c.leader()
		c.commit(l, "a")
		c.hosts["n4"] = c.net.Host("n4", "r4", "10.0.0.4")
		n4 := c.start("n4", nil)
		if n4.Initialised() {
			t.Error("a new server claims a cluster")
		}
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		do(l.AddNonvoter(t.Context(), "n4", n4.Incarnation()))
		c.seen("a")
		if !n4.Initialised() {
			t.Error("an added server knows no cluster")
		}
		do(l.AddVoter(t.Context(), "n4", n4.Incarnation()))
		do(l.Demote(t.Context(), "n4", n4.Incarnation()))
		if s := l.Servers(); len(s) != 4 || s[3].Voter {
			t.Errorf("servers %v", s)
		}
		do(l.RemoveServer(t.Context(), "n4", n4.Incarnation()))
		if s := l.Servers(); len(s) != 3 {
			t.Errorf("servers %v", s)
		}
		var next string
		for _, s := range l.Servers() {
			if s.Name != l.Name() {
				next = s.Name
				do(l.Transfer(t.Context(), s.Name, s.Incarnation))
				break
			}
		}
		delete(c.up, "n4") // it is in no cluster
		defer n4.Close()
		if got := c.leader(); got.Name() != next {
			t.Errorf("%s leads, want %s", got.Name(), next)
		}
	})
}
