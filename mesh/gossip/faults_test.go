package gossip

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"maille/bench/sim"
	"maille/mesh/view"
)

// A host that vanishes is noticed within 3 s at the median, never without a reason.
func TestDeath(t *testing.T) {
	var times []time.Duration
	for trial := range 9 {
		bubble(t, 15*time.Millisecond, func(t *testing.T, c *cluster) {
			c.start(5)
			c.until("convergence", time.Minute, func() bool { return c.sees(1, 0, 1, 2, 3, 4) && c.sees(4, 0, 1, 2, 3, 4) })
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
		c.until("convergence", time.Minute, func() bool { return c.sees(0, 0, 1, 2, 3, 4) })
		for i := range 600 {
			<-time.After(time.Second)
			if !c.sees(0, 0, 1, 2, 3, 4) {
				t.Fatalf("after %d s n0 sees %s", i, describe(c.nodes[0].Snapshot()))
			}
		}
	})
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
				c.until("convergence", time.Minute, all)
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

// Nodes on real sockets find each other, and OnChange ends with Close.
func TestRealSockets(t *testing.T) {
	first, err := Start(Config{Self: view.Node{Name: "n0"}, BindAddr: "127.0.0.1:0", Keys: [][]byte{key1}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	both := make(chan struct{})
	var once sync.Once
	second, err := Start(Config{
		Self: view.Node{Name: "n1"}, BindAddr: "127.0.0.1:0", Seeds: []string{first.Addr()}, Keys: [][]byte{key1}, Log: quiet,
		OnChange: func(s view.Snapshot) {
			if len(s.Nodes) == 2 {
				once.Do(func() { close(both) })
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-both:
	case <-time.After(2 * time.Minute): // real ones
		t.Error("not found")
	}
	var wg sync.WaitGroup
	wg.Go(func() { first.Close() })
	wg.Go(func() { second.Close() })
	wg.Go(func() { second.Close() })
	wg.Wait()
}

// Streams that strangers hold open are bounded, and free again when they end.
func TestStreamsAreBounded(t *testing.T) {
	bubble(t, time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(1)
		stranger := c.net.Host("stranger", "", "10.9.9.9")
		for range maxStreams + 5 {
			s, err := stranger.DialContext(context.Background(), "tcp", c.nodes[0].Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
		}
		<-time.After(time.Second)
		if got := c.nodes[0].Stats().Turned; got != 5 {
			t.Errorf("%d streams turned away, want 5", got)
		}
		<-time.After(2 * streamTimeout)
		c.start(1) // a real one, with the same streams still dialled
		c.until("a node joins afterwards", 20*time.Second, func() bool { return c.sees(0, 0, 1) })
	})
}

// Garbage on the port is counted nowhere dear, and hurts nobody.
func TestGarbage(t *testing.T) {
	bubble(t, time.Millisecond, func(t *testing.T, c *cluster) {
		c.start(2)
		c.until("convergence", time.Minute, func() bool { return c.sees(0, 0, 1) && c.sees(1, 0, 1) })
		u, err := c.net.Host("stranger", "", "10.9.9.9").ListenPacket("udp", "10.9.9.9:9")
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(c.nodes[0].Addr()))
		for i := range 2000 {
			if _, err := u.WriteTo(slices.Repeat([]byte{byte(i)}, i%1200), to); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(30 * time.Second)
		if !c.sees(0, 0, 1) || !c.sees(1, 0, 1) {
			t.Errorf("n0 sees %s", describe(c.nodes[0].Snapshot()))
		}
	})
}
