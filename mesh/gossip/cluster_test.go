package gossip

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/sim"
	"maille/mesh/view"
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
