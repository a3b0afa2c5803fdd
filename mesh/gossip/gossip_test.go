package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"maille/bench/sim"
	"maille/mesh"
	"maille/mesh/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	quiet = slog.New(slog.DiscardHandler)
	key1  = []byte("0123456789abcdef0123456789abcdef")
	key2  = []byte("fedcba9876543210fedcba9876543210")
)

// cluster is a set of nodes in one bubble, named n0, n1, ... each in its own region.
type cluster struct {
	t     *testing.T
	net   *sim.Network
	nodes []*Gossip
	hosts []*sim.Host
}

// bubble runs f in virtual time. Paths between regions have the given delay one way.
func bubble(t *testing.T, delay time.Duration, f func(t *testing.T, c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t, net: sim.New(1)}
		c.net.Default(sim.Path{Delay: delay})
		defer func() {
			for _, g := range c.nodes {
				if g == nil {
					continue // it failed to start
				}
				if err := g.Close(); err != nil {
					t.Error(err)
				}
			}
			c.net.Close()
		}()
		f(t, c)
	})
}

func (c *cluster) host() *sim.Host {
	i := len(c.hosts)
	h := c.net.Host(hostName(i), fmt.Sprintf("r%d", i), ip(i))
	c.hosts = append(c.hosts, h)
	return h
}

func hostName(i int) string { return fmt.Sprintf("h%d", i) }
func ip(i int) string       { return fmt.Sprintf("10.0.0.%d", i+1) }
func name(i int) string     { return fmt.Sprintf("n%d", i) }

// config of node i on its host; every node knows the first three as seeds.
func (c *cluster) config(i int, h *sim.Host) Config {
	return Config{
		Self: view.Node{
			Name: name(i), Incarnation: "i1", Region: fmt.Sprintf("r%d", i), Version: "1.0",
			Link: ip(i) + ":7883", Cluster: ip(i) + ":7884", Signal: "https://" + name(i) + ".example", Voter: i < 3,
			Started: time.Now(),
		},
		Cluster: "prod", Net: h, BindAddr: ip(i) + ":7946", Keys: [][]byte{key1}, Log: quiet,
		Seeds: []string{ip(0) + ":7946", ip(1) + ":7946", ip(2) + ":7946"},
	}
}

// start brings up n nodes at once, as after a power cut.
func (c *cluster) start(n int) {
	c.t.Helper()
	first := len(c.nodes)
	c.nodes = append(c.nodes, make([]*Gossip, n)...)
	var wg sync.WaitGroup
	for i := first; i < first+n; i++ {
		cfg := c.config(i, c.host())
		wg.Go(func() {
			g, err := Start(cfg)
			if err != nil {
				c.t.Error(err)
				return
			}
			c.nodes[i] = g
		})
	}
	wg.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// until waits for a condition, in virtual time, and returns how long it took.
func (c *cluster) until(what string, limit time.Duration, ok func() bool) time.Duration {
	c.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			for _, g := range c.nodes {
				c.t.Logf("%s sees %s", g.cfg.Self.Name, describe(g.Snapshot()))
			}
			c.t.Fatalf("%s: not within %v", what, limit)
		}
		<-time.After(10 * time.Millisecond)
	}
	return time.Since(start)
}

func describe(s view.Snapshot) string {
	var out []string
	for _, n := range s.Nodes {
		out = append(out, n.Name+"="+n.State.String())
	}
	return fmt.Sprint(out)
}

// sees reports whether node i sees exactly the given nodes serving.
func (c *cluster) sees(i int, want ...int) bool {
	var got, names []string
	for _, n := range c.nodes[i].Snapshot().Nodes {
		if n.State == view.Serving {
			got = append(got, n.Name)
		}
	}
	for _, w := range want {
		names = append(names, name(w))
	}
	return slices.Equal(got, names)
}

func TestConverge(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(3)
		took := c.until("three nodes know each other", 5*time.Second, func() bool {
			return c.sees(0, 0, 1, 2) && c.sees(1, 0, 1, 2) && c.sees(2, 0, 1, 2)
		})
		t.Logf("converged %v after Start", took)
		for i := range c.nodes {
			for j := range c.nodes {
				got, ok := c.nodes[i].Snapshot().Node(name(j))
				if want := c.nodes[j].cfg.Self; !ok || !cmp.Equal(got, want) {
					t.Errorf("%s sees %s as: %s", name(i), name(j), cmp.Diff(want, got))
				}
			}
		}
	})
}

// A host that vanishes is noticed within 3 s at the median, never without a reason.
func TestDeath(t *testing.T) {
	var times []time.Duration
	for trial := range 9 {
		bubble(t, 15*time.Millisecond, func(t *testing.T, c *cluster) {
			c.start(5)
			c.until("convergence", 10*time.Second, func() bool { return c.sees(1, 0, 1, 2, 3, 4) && c.sees(4, 0, 1, 2, 3, 4) })
			<-time.After(time.Duration(trial) * 333 * time.Millisecond)
			c.net.Kill(hostName(2))
			times = append(times, c.until("death seen by all", 10*time.Second, func() bool {
				return c.sees(0, 0, 1, 3, 4) && c.sees(1, 0, 1, 3, 4) && c.sees(3, 0, 1, 3, 4) && c.sees(4, 0, 1, 3, 4)
			}))
		})
	}
	slices.Sort(times)
	t.Logf("death seen by all after %v", times)
	if p50 := times[len(times)/2]; p50 > 3500*time.Millisecond {
		t.Errorf("median %v", p50)
	}
	if worst := times[len(times)-1]; worst > 6*time.Second {
		t.Errorf("worst %v", worst)
	}
}

// Datagrams lost in numbers kill nobody: streams speak up for them.
func TestLossKillsNobody(t *testing.T) {
	bubble(t, 0, func(t *testing.T, c *cluster) {
		c.net.Default(sim.Path{Delay: 30 * time.Millisecond, Loss: 0.2})
		c.start(5)
		c.until("convergence", 10*time.Second, func() bool { return c.sees(0, 0, 1, 2, 3, 4) })
		for i := range 600 {
			<-time.After(time.Second)
			if !c.sees(0, 0, 1, 2, 3, 4) {
				t.Fatalf("after %d s n0 sees %s", i, describe(c.nodes[0].Snapshot()))
			}
		}
	})
}

// A node that leaves is shown as left, then forgotten; it may come back.
func TestLeave(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(3)
		c.until("convergence", 5*time.Second, func() bool { return c.sees(0, 0, 1, 2) && c.sees(1, 0, 1, 2) && c.sees(2, 0, 1, 2) })
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := c.nodes[1].Leave(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.nodes[1].Leave(ctx); err != nil {
			t.Errorf("second Leave: %v", err)
		}
		c.nodes[1].Close()
		state := func(i int) view.State {
			n, ok := c.nodes[i].Snapshot().Node("n1")
			if !ok {
				return 99
			}
			return n.State
		}
		c.until("n1 is left", time.Second, func() bool { return state(0) == view.Left && state(2) == view.Left })
		for range 60 { // it must not turn into a dead or an alive node later
			<-time.After(time.Second)
			if state(0) != view.Left || state(2) != view.Left {
				t.Fatalf("n0 sees %s, n2 sees %s", describe(c.nodes[0].Snapshot()), describe(c.nodes[2].Snapshot()))
			}
		}
		again, err := Start(c.config(1, c.hosts[1]))
		if err != nil {
			t.Fatal(err)
		}
		c.nodes[1] = again
		c.until("n1 is back", 5*time.Second, func() bool { return c.sees(0, 0, 1, 2) && c.sees(2, 0, 1, 2) && c.sees(1, 0, 1, 2) })
		again.Leave(context.Background())
		again.Close()
		c.until("n1 is forgotten", leftKept+time.Minute, func() bool { return state(0) == 99 && state(2) == 99 })
	})
}

func TestKeyMismatch(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(2)
		c.until("convergence", 5*time.Second, func() bool { return c.sees(0, 0, 1) && c.sees(1, 0, 1) })
		stranger := func(change func(*Config)) *Gossip {
			i := len(c.hosts)
			cfg := c.config(i, c.host())
			change(&cfg)
			g, err := Start(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		for what, g := range map[string]*Gossip{
			"another key":     stranger(func(cfg *Config) { cfg.Keys = [][]byte{key2} }),
			"no key":          stranger(func(cfg *Config) { cfg.Keys, cfg.Plaintext = nil, true }),
			"another cluster": stranger(func(cfg *Config) { cfg.Cluster = "staging" }),
		} {
			<-time.After(20 * time.Second)
			if n := len(g.Snapshot().Nodes); n != 1 {
				t.Errorf("%s: it learned of %d nodes", what, n-1)
			}
			if !c.sees(0, 0, 1) || !c.sees(1, 0, 1) {
				t.Errorf("%s: it got in: %s", what, describe(c.nodes[0].Snapshot()))
			}
			g.Close()
		}
	})
}

func TestStartRefuses(t *testing.T) {
	bubble(t, 0, func(t *testing.T, c *cluster) {
		h := c.host()
		try := func(change func(*Config)) error {
			cfg := c.config(0, h)
			change(&cfg)
			g, err := Start(cfg)
			if err == nil {
				g.Close()
			}
			return err
		}
		if err := try(func(cfg *Config) { cfg.Keys = nil }); !errors.Is(err, ErrNoKey) {
			t.Errorf("no key: %v", err)
		}
		for what, change := range map[string]func(*Config){
			"a key of 5 bytes": func(cfg *Config) { cfg.Keys = [][]byte{[]byte("short")} },
			"no name":          func(cfg *Config) { cfg.Self.Name = "" },
			"no port":          func(cfg *Config) { cfg.BindAddr = "10.0.0.1" },
			"not our address":  func(cfg *Config) { cfg.BindAddr = "10.9.9.9:7946" },
			"facts too large":  func(cfg *Config) { cfg.Self.Link = string(slices.Repeat([]byte("x"), 600)) },
			"a line break":     func(cfg *Config) { cfg.Self.Region = "paris\nlyon" },
		} {
			if err := try(change); err == nil {
				t.Errorf("%s: started", what)
			}
		}
	})
}

func TestPortInUse(t *testing.T) {
	cfg := Config{Self: view.Node{Name: "n0"}, BindAddr: "127.0.0.1:0", Keys: [][]byte{key1}, Log: quiet}
	g, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	cfg.BindAddr = g.Addr()
	_, err = Start(cfg)
	var taken *mesh.PortInUseError
	if !errors.As(err, &taken) {
		t.Errorf("second on %s: %v", g.Addr(), err)
	}
}

// What a node says of itself arrives, and OnChange tells.
func TestUpdates(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		var mu sync.Mutex
		var told []view.Snapshot
		c.start(2)
		cfg := c.config(2, c.host())
		cfg.OnChange = func(s view.Snapshot) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, s)
		}
		g, err := Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, g)
		last := func() view.Node {
			mu.Lock()
			defer mu.Unlock()
			if len(told) == 0 {
				return view.Node{}
			}
			n, _ := told[len(told)-1].Node("n0")
			return n
		}
		c.until("first told", 5*time.Second, func() bool { return last().Name == "n0" })

		if err := c.nodes[0].Update(func(n *view.Node) { n.State, n.Voter = view.Draining, false }); err != nil {
			t.Fatal(err)
		}
		took := c.until("draining", 2*time.Second, func() bool { return last().State == view.Draining && !last().Voter })
		t.Logf("facts arrived after %v", took)

		load := view.Load{CPU: 0.5, Rooms: 3, Participants: 40, Tracks: 80, BitsIn: 2e7, BitsOut: 9e8}
		if err := c.nodes[0].Update(func(n *view.Node) { n.Load = load }); err != nil {
			t.Fatal(err)
		}
		took = c.until("load", 4*time.Second, func() bool { return last().Load == load })
		t.Logf("load arrived after %v", took)
		if last().State != view.Draining {
			t.Error("a load undid the facts")
		}

		// A newcomer gets loads that no longer travel.
		<-time.After(30 * time.Second)
		c.start(1)
		c.until("load of old at a newcomer", 2*time.Second, func() bool {
			n, _ := c.nodes[3].Snapshot().Node("n0")
			return n.Load == load && n.State == view.Draining
		})

		// A restarted node carries nothing of its former load.
		c.nodes[0].Close()
		<-time.After(100 * time.Millisecond)
		again, err := Start(c.config(0, c.hosts[0]))
		if err != nil {
			t.Fatal(err)
		}
		c.nodes[0] = again
		c.until("restart seen", 10*time.Second, func() bool { return last().State == view.Serving && last().Load == view.Load{} })

		if err := again.Update(func(n *view.Node) { n.Link = "no port" }); err == nil {
			t.Error("a bad address was taken")
		}
		if n, _ := again.Snapshot().Node("n0"); n.Link != ip(0)+":7883" {
			t.Errorf("a refused update left %q", n.Link)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, s := range told {
			if s.Self != "n2" || !slices.IsSortedFunc(s.Nodes, func(a, b view.Node) int { return cmpString(a.Name, b.Name) }) {
				t.Fatalf("told %+v", s)
			}
		}
		if len(told) > 200 {
			t.Errorf("told %d times: not coalesced", len(told))
		}
	})
}

func cmpString(a, b string) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// Two halves that buried each other find each other again, by seeds and without.
func TestSplitAndHeal(t *testing.T) {
	for _, seeds := range []bool{true, false} {
		t.Run(fmt.Sprintf("seeds=%v", seeds), func(t *testing.T) {
			bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
				c.start(4)
				all := func() bool {
					return c.sees(0, 0, 1, 2, 3) && c.sees(1, 0, 1, 2, 3) && c.sees(2, 0, 1, 2, 3) && c.sees(3, 0, 1, 2, 3)
				}
				c.until("convergence", 5*time.Second, all)
				if !seeds {
					for _, g := range c.nodes {
						g.cfg.Seeds = nil
					}
				}
				for _, a := range []int{0, 1} {
					for _, b := range []int{2, 3} {
						c.net.Cut(hostName(a), hostName(b))
					}
				}
				took := c.until("split", 20*time.Second, func() bool {
					return c.sees(0, 0, 1) && c.sees(1, 0, 1) && c.sees(2, 2, 3) && c.sees(3, 2, 3)
				})
				t.Logf("split seen after %v", took)
				<-time.After(10 * time.Minute) // far past memberlist's own patience
				for _, a := range []int{0, 1} {
					for _, b := range []int{2, 3} {
						c.net.Heal(hostName(a), hostName(b))
					}
				}
				t.Logf("healed after %v", c.until("healed", time.Minute, all))
			})
		})
	}
}

func TestNameTaken(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(3)
		c.until("convergence", 5*time.Second, func() bool { return c.sees(0, 0, 1, 2) && c.sees(1, 0, 1, 2) && c.sees(2, 0, 1, 2) })
		cfg := c.config(3, c.host())
		cfg.Self.Name = "n1"
		_, err := Start(cfg)
		var taken *NameTakenError
		if !errors.As(err, &taken) || taken.Addr != ip(1)+":7946" {
			t.Fatalf("second n1: %v", err)
		}
		for range 10 {
			<-time.After(time.Second)
			if n, _ := c.nodes[0].Snapshot().Node("n1"); n.Link != ip(1)+":7883" || !c.sees(1, 0, 1, 2) {
				t.Fatalf("the name was taken over: %+v", n)
			}
		}
		// The name of a dead node is free for another address, after a while.
		c.net.Kill(hostName(1))
		c.until("n1 dead", 10*time.Second, func() bool { return c.sees(0, 0, 2) && c.sees(2, 0, 2) })
		<-time.After(reclaimAfter)
		g, err := Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, g)
		c.until("n1 at its new address", 10*time.Second, func() bool {
			n, _ := c.nodes[0].Snapshot().Node("n1")
			return n.Link == ip(3)+":7883"
		})
	})
}

func TestAdmit(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(2)
		cfg := c.config(2, c.host())
		var asked view.Node
		cfg.Admit = func(n view.Node) error {
			if n.Name == "n1" {
				asked = n
				return errors.New("not in the list")
			}
			return nil
		}
		g, err := Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, g)
		<-time.After(20 * time.Second)
		if !c.sees(2, 0, 2) || !c.sees(0, 0, 1, 2) {
			t.Errorf("n2 sees %s, n0 sees %s", describe(g.Snapshot()), describe(c.nodes[0].Snapshot()))
		}
		if asked.Link != ip(1)+":7883" {
			t.Errorf("asked about %+v", asked)
		}
		if g.Stats().Refused == 0 {
			t.Error("refusals are not counted")
		}
	})
}

func TestKeyRotation(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(3)
		all := func() bool { return c.sees(0, 0, 1, 2) && c.sees(1, 0, 1, 2) && c.sees(2, 0, 1, 2) }
		c.until("convergence", 5*time.Second, all)
		for _, keys := range [][][]byte{{key1, key2}, {key2, key1}, {key2}} {
			for _, g := range c.nodes {
				if err := g.SetKeys(keys); err != nil {
					t.Fatal(err)
				}
				for range 5 { // roll slowly: nodes differ meanwhile
					<-time.After(time.Second)
					if !all() {
						t.Fatalf("%d keys: n0 sees %s", len(keys), describe(c.nodes[0].Snapshot()))
					}
				}
			}
		}
		if err := c.nodes[0].SetKeys(nil); !errors.Is(err, ErrNoKey) {
			t.Errorf("no keys: %v", err)
		}
	})
}

// Distances to others are measured; those between two others estimated.
func TestRoundTripTimes(t *testing.T) {
	bubble(t, 0, func(t *testing.T, c *cluster) {
		oneWay := map[[2]int]time.Duration{{0, 1}: 5 * time.Millisecond, {0, 2}: 20 * time.Millisecond, {1, 2}: 22 * time.Millisecond, {0, 3}: 40 * time.Millisecond, {1, 3}: 42 * time.Millisecond, {2, 3}: 30 * time.Millisecond}
		c.start(4)
		for pair, d := range oneWay {
			c.net.Path(hostName(pair[0]), hostName(pair[1]), sim.Path{Delay: d})
		}
		<-time.After(5 * time.Minute)
		rtt := c.nodes[0].Snapshot().RTT
		for pair, d := range oneWay {
			got, ok := rtt[view.Pair(name(pair[0]), name(pair[1]))]
			want := 2 * d
			slack := want / 3
			if pair[0] == 0 {
				slack = want / 50
			}
			if !ok || got < want-slack || got > want+slack {
				t.Errorf("%v: %v, %v, want %v +- %v", pair, got, ok, want, slack)
			}
		}
		if len(rtt) != len(oneWay) {
			t.Errorf("%d pairs", len(rtt))
		}
	})
}

// A seed's name may stand for several addresses, and may not resolve at first.
func TestSeedNames(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		cfg := c.config(0, c.host())
		cfg.Seeds = nil
		first, err := Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, first)
		cfg = c.config(1, c.host())
		cfg.Seeds = []string{"nodes.example:7946"}
		var up bool
		var mu sync.Mutex
		cfg.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
			mu.Lock()
			defer mu.Unlock()
			if !up || host != "nodes.example" {
				return nil, errors.New("no such host")
			}
			return []netip.Addr{netip.MustParseAddr("10.0.0.99"), netip.MustParseAddr(ip(0))}, nil
		}
		g, err := Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, g)
		<-time.After(5 * time.Second)
		if !c.sees(1, 1) {
			t.Fatal("found without a name")
		}
		mu.Lock()
		up = true
		mu.Unlock()
		c.until("found by name", 20*time.Second, func() bool { return c.sees(1, 0, 1) && c.sees(0, 0, 1) })
	})
}
