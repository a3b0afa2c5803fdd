package sim

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"maille/mesh"
)

var _ mesh.Net = (*Host)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inBubble runs f on a network with hosts a and b in regions paris and lyon.
func inBubble(t *testing.T, p Path, f func(t *testing.T, n *Network, a, b *Host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		defer n.Close()
		n.Path("paris", "lyon", p)
		f(t, n, n.Host("a", "paris", "10.0.0.1"), n.Host("b", "lyon", "10.0.1.1"))
	})
}

// wait lets virtual time pass.
func wait(d time.Duration) { <-time.After(d) }

func listenUDP(t *testing.T, h *Host, addr string) *udpConn {
	t.Helper()
	c, err := h.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*udpConn)
}

// flood sends count packets of the given size from a to b, one per gap, and returns the
// arrivals as packet number and time taken.
type arrival struct {
	number int
	took   time.Duration
}

func flood(t *testing.T, a, b *Host, count, size int, gap time.Duration) []arrival {
	t.Helper()
	from, to := listenUDP(t, a, ":0"), listenUDP(t, b, ":7000")
	if err := to.SetReadBuffer(maxBuffer); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	got := make(chan []arrival)
	go func() {
		var all []arrival
		buf := make([]byte, 1<<16)
		for {
			n, _, err := to.ReadFrom(buf)
			if err != nil {
				got <- all
				return
			}
			if n != size {
				t.Errorf("read %d bytes, want %d", n, size)
			}
			number := int(buf[0])<<16 | int(buf[1])<<8 | int(buf[2])
			all = append(all, arrival{number, time.Since(start) - time.Duration(number)*gap})
		}
	}()
	packet := make([]byte, size)
	for i := range count {
		packet[0], packet[1], packet[2] = byte(i>>16), byte(i>>8), byte(i)
		if _, err := from.WriteTo(packet, &net.UDPAddr{IP: b.IP(), Port: 7000}); err != nil {
			t.Fatal(err)
		}
		if gap > 0 {
			wait(gap)
		}
	}
	wait(5 * time.Second)
	to.Close()
	from.Close()
	return <-got
}

func TestDelayIsExact(t *testing.T) {
	inBubble(t, Path{Delay: 37 * time.Millisecond}, func(t *testing.T, n *Network, a, b *Host) {
		all := flood(t, a, b, 100, 1200, time.Millisecond)
		if len(all) != 100 {
			t.Fatalf("%d of 100 arrived", len(all))
		}
		for i, x := range all {
			if x.number != i || x.took != 37*time.Millisecond {
				t.Fatalf("packet %d came as number %d after %v", x.number, i, x.took)
			}
		}
		s := n.Stats("paris", "lyon")
		if s.Sent != 100 || s.Delivered != 100 || s.DeliveredBytes != 120000 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestJitterKeepsOrderAndReorderDoesNot(t *testing.T) {
	inBubble(t, Path{Delay: 10 * time.Millisecond, Jitter: 8 * time.Millisecond}, func(t *testing.T, n *Network, a, b *Host) {
		all := flood(t, a, b, 2000, 100, time.Millisecond)
		least, most := time.Hour, time.Duration(0)
		for i, x := range all {
			if x.number != i {
				t.Fatalf("packet %d overtaken", x.number)
			}
			least, most = min(least, x.took), max(most, x.took)
		}
		if least < 10*time.Millisecond || most >= 18*time.Millisecond || most < 16*time.Millisecond {
			t.Errorf("between %v and %v", least, most)
		}
	})
	inBubble(t, Path{Delay: 10 * time.Millisecond, Reorder: 0.2}, func(t *testing.T, n *Network, a, b *Host) {
		all, late := flood(t, a, b, 2000, 100, time.Millisecond), 0
		for i := 1; i < len(all); i++ {
			if all[i].number < all[i-1].number {
				late++
			}
		}
		if len(all) != 2000 || late < 100 || late > 500 {
			t.Errorf("%d of %d overtaken", late, len(all))
		}
	})
}

func TestLossShareAndBursts(t *testing.T) {
	for _, test := range []struct {
		path   Path
		burst  float64
		within float64
	}{
		{Path{Loss: 0.05}, 1 / 0.95, 0.1},
		{Path{Loss: 0.05, Burst: 8}, 8, 1.5},
	} {
		inBubble(t, test.path, func(t *testing.T, n *Network, a, b *Host) {
			const count = 40000
			all := flood(t, a, b, count, 50, 100*time.Microsecond)
			lost := count - len(all)
			if share := float64(lost) / count; share < 0.042 || share > 0.058 {
				t.Errorf("%+v: lost %.4f", test.path, share)
			}
			runs, expect := 0, 0
			for _, x := range all {
				if x.number != expect {
					runs++
				}
				expect = x.number + 1
			}
			if mean := float64(lost) / float64(runs); mean < test.burst-test.within || mean > test.burst+test.within {
				t.Errorf("%+v: mean burst %.2f", test.path, mean)
			}
			if s := n.Stats("a", "b"); int(s.Lost) != lost {
				t.Errorf("counted %d lost of %d", s.Lost, lost)
			}
		})
	}
}

func TestSameSeedSameFate(t *testing.T) {
	run := func() (all []arrival) {
		inBubble(t, Path{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.1}, func(t *testing.T, n *Network, a, b *Host) {
			all = flood(t, a, b, 1000, 50, time.Millisecond)
		})
		return
	}
	first, second := run(), run()
	if len(first) != len(second) {
		t.Fatalf("%d and %d arrived", len(first), len(second))
	}
	for i := range first {
		if first[i] != second[i] {
			t.Fatalf("arrival %d: %v and %v", i, first[i], second[i])
		}
	}
}

func TestDuplicate(t *testing.T) {
	inBubble(t, Path{Duplicate: 0.5}, func(t *testing.T, n *Network, a, b *Host) {
		if all := flood(t, a, b, 1000, 50, time.Millisecond); len(all) < 1400 || len(all) > 1600 {
			t.Errorf("%d copies of 1000 arrived", len(all))
		}
	})
}

func TestRateAndQueue(t *testing.T) {
	// 1 Mbit/s moves 125 packets of 1000 bytes a second; the queue holds 100 ms of them.
	inBubble(t, Path{Rate: 1e6, Queue: 12500}, func(t *testing.T, n *Network, a, b *Host) {
		all := flood(t, a, b, 2500, 972, 4*time.Millisecond)
		if len(all) < 1250 || len(all) > 1266 {
			t.Errorf("%d passed in 10 s, want 1250 and what the queue held", len(all))
		}
		for _, x := range all {
			if x.took > 101*time.Millisecond || x.took < 8*time.Millisecond {
				t.Fatalf("packet %d took %v", x.number, x.took)
			}
		}
		if s := n.Stats("", "b"); int(s.Queue) != 2500-len(all) {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestRegionsShareABottleneckHostsDoNot(t *testing.T) {
	inBubble(t, Path{Rate: 1e6, Queue: 12500}, func(t *testing.T, n *Network, a, b *Host) {
		c := n.Host("c", "lyon", "10.0.1.2")
		count := func() int {
			x := listenUDP(t, c, ":7001")
			x.SetReadBuffer(maxBuffer)
			defer x.Close()
			go func() {
				from := listenUDP(t, a, ":0")
				defer from.Close()
				for range 250 {
					from.WriteTo(make([]byte, 972), &net.UDPAddr{IP: c.IP(), Port: 7001})
					wait(4 * time.Millisecond)
				}
			}()
			flood(t, a, b, 250, 972, 4*time.Millisecond)
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.count
		}
		if got := count(); got > 130 {
			t.Errorf("%d passed beside another flow", got)
		}
		n.Path("a", "c", Path{Rate: 10e6})
		if got := count(); got != 250 {
			t.Errorf("%d of 250 passed on a path of their own", got)
		}
	})
}

func TestMTU(t *testing.T) {
	inBubble(t, Path{MTU: 1400}, func(t *testing.T, n *Network, a, b *Host) {
		for size, want := range map[int]int{1372: 1, 1373: 0} {
			if got := len(flood(t, a, b, 1, size, 0)); got != want {
				t.Errorf("%d of size %d arrived", got, size)
			}
		}
		if s := n.Stats("a", "b"); s.TooBig != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestCutHealAndRules(t *testing.T) {
	inBubble(t, Path{Delay: time.Millisecond}, func(t *testing.T, n *Network, a, b *Host) {
		from, to := listenUDP(t, a, ":7000"), listenUDP(t, b, ":7000")
		passes := func(from, to *udpConn) bool {
			from.WriteTo([]byte{1}, &net.UDPAddr{IP: to.h.IP(), Port: 7000})
			to.SetReadDeadline(time.Now().Add(time.Second))
			_, _, err := to.ReadFrom(make([]byte, 10))
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			return err == nil
		}
		for _, step := range []struct {
			name         string
			do           func()
			there, again bool
		}{
			{"open", func() {}, true, true},
			{"regions cut", func() { n.Cut("paris", "lyon") }, false, false},
			{"healed", func() { n.Heal("lyon", "paris") }, true, true},
			{"one way", func() { n.CutOneWay("a", "lyon") }, false, true},
			{"healed again", func() { n.Heal("a", "lyon") }, true, true},
			{"isolated", func() { n.Isolate("b") }, false, false},
			{"rejoined", func() { n.Rejoin("b") }, true, true},
			{"dropped", func() {
				n.Drop(func(from, to netip.AddrPort, b []byte) bool {
					return from.Addr() == netip.MustParseAddr("10.0.0.1") && b[0] == 1
				})
			}, false, true},
		} {
			step.do()
			if got := passes(from, to); got != step.there {
				t.Errorf("%s: a to b %v", step.name, got)
			}
			if got := passes(to, from); got != step.again {
				t.Errorf("%s: b to a %v", step.name, got)
			}
		}
	})
}

func TestCutTakesPacketsInFlight(t *testing.T) {
	inBubble(t, Path{Delay: time.Second}, func(t *testing.T, n *Network, a, b *Host) {
		go func() { wait(500 * time.Millisecond); n.Cut("a", "b") }()
		if all := flood(t, a, b, 1, 10, 0); len(all) != 0 {
			t.Error("a packet crossed a cut path")
		}
	})
}
