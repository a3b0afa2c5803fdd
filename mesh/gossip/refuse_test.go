package gossip

import (
	"errors"
	"slices"
	"testing"
	"time"

	"maille/mesh"
	"maille/mesh/view"
)

func TestKeyMismatch(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(2)
		c.until("convergence", time.Minute, func() bool { return c.sees(0, 0, 1) && c.sees(1, 0, 1) })
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

func TestNameTaken(t *testing.T) {
	bubble(t, 10*time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(3)
		c.until("convergence", time.Minute, func() bool { return c.sees(0, 0, 1, 2) && c.sees(1, 0, 1, 2) && c.sees(2, 0, 1, 2) })
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
