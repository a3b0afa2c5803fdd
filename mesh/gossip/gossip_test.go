package gossip

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"maille/bench/sim"
	"maille/mesh/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	quiet = slog.New(slog.DiscardHandler)
	key1  = []byte("0123456789abcdef0123456789abcdef")
	key2  = []byte("fedcba9876543210fedcba9876543210")
)

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

// A node that leaves is shown as left, then forgotten; it may come back.
func TestLeave(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(3)
		c.until("convergence", time.Minute, func() bool { return c.sees(0, 0, 1, 2) && c.sees(1, 0, 1, 2) && c.sees(2, 0, 1, 2) })
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

func TestKeyRotation(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(3)
		all := func() bool { return c.sees(0, 0, 1, 2) && c.sees(1, 0, 1, 2) && c.sees(2, 0, 1, 2) }
		c.until("convergence", time.Minute, all)
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
