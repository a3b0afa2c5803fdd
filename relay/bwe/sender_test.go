package bwe

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"maille/relay/twcc"
)

// bounds are what a stretch of a plan must keep to; rates in bit/s, queues in
// milliseconds.
type bounds struct {
	atLeast, atMost float64 // of what arrives
	queue           float64 // 95th percentile
	queueMost       float64
}

func (c *client) check(t *testing.T, what string, d time.Duration, b bounds) {
	t.Helper()
	c.run(d)
	got := c.arrived / d.Seconds() * 8
	say := t.Logf
	if got < b.atLeast || b.atMost > 0 && got > b.atMost || b.queue > 0 && c.queued(.95) > b.queue || b.queueMost > 0 && c.queued(1) > b.queueMost {
		say = t.Errorf
	}
	say("%s: %.0f kbit/s arrive of %.0f, queue p95 %.0f ms, most %.0f; budget %.0f to %.0f, %d changes of layers; want %+v",
		what, got/1e3, c.offered/d.Seconds()*8/1e3, c.queued(.95), c.queued(1), c.floor*8/1e3, c.peak*8/1e3, c.switches, b)
}

// The path is good, then bad, then good: a little is soon found to be too much, and a
// lot is used again soon after it is there. Near and far.
func TestPathShrinksAndGrows(t *testing.T) {
	for _, rtt := range []int{10, 50, 100, 200, 300} {
		t.Run(fmt.Sprintf("%d ms", rtt), func(t *testing.T) {
			c := newClient(5 * mbit)
			c.rtt = time.Duration(rtt) * time.Millisecond
			c.check(t, "begin", 3*time.Second, bounds{atLeast: 1.8e6, queue: 120})
			c.check(t, "5 Mbit/s", 15*time.Second, bounds{atLeast: 2.5e6, queue: 130})
			c.rate = .5 * mbit
			c.run(3 * time.Second)
			c.check(t, "half a Mbit/s, after 3 s", 20*time.Second, bounds{atLeast: 120e3, atMost: 480e3, queue: 180})
			c.rate = 5 * mbit
			c.run(15 * time.Second)
			c.check(t, "again 5 Mbit/s, after 15 s", 15*time.Second, bounds{atLeast: 1.6e6, queue: 150})
		})
	}
}

// Loss that does not depend on the rate costs no more than itself.
func TestRandomLossIsBorne(t *testing.T) {
	for _, loss := range []float64{.02, .05, .1, .2} {
		t.Run(fmt.Sprintf("%.0f %%", loss*100), func(t *testing.T) {
			c := newClient(20 * mbit)
			c.loss = loss
			c.check(t, "begin", 5*time.Second, bounds{atLeast: 1e6})
			c.check(t, "then", 30*time.Second, bounds{atLeast: 4.5e6 * (1 - loss) * .9})
		})
	}
}

// A queue of three seconds is not filled.
func TestBufferbloatIsLeftAlone(t *testing.T) {
	c := newClient(1 * mbit)
	c.buffer = 3 * mbit
	c.run(4 * time.Second)
	c.check(t, "1 Mbit/s", 30*time.Second, bounds{atLeast: 400e3, queue: 100, queueMost: 400})
	c.rate = .3 * mbit
	c.run(4 * time.Second)
	c.check(t, "300 kbit/s", 30*time.Second, bounds{atLeast: 100e3, queue: 150, queueMost: 600})
}

// A policer drops what is too much and shows no queue.
func TestPolicerIsRespected(t *testing.T) {
	c := newClient(1 * mbit)
	c.buffer = 5000
	c.run(8 * time.Second)
	c.check(t, "policed", 30*time.Second, bounds{atLeast: 300e3})
	if lost := 1 - c.arrived/c.offered; lost > .1 {
		t.Errorf("%.0f %% lost", lost*100)
	}
}

// On a narrow path each change of layers costs a keyframe of half a second: it neither
// stands in the path's queue nor is taken for a path that became narrower still.
func TestKeyframesFitNarrowPath(t *testing.T) {
	c := newClient(5 * mbit)
	c.keyframe = 30_000
	c.run(10 * time.Second)
	c.rate = .5 * mbit
	c.run(3 * time.Second)
	c.check(t, "half a Mbit/s, after 3 s", 30*time.Second, bounds{atLeast: 120e3, queue: 150, queueMost: 400})
	if c.floor < .15*mbit || c.switches > 10 {
		t.Errorf("budget down to %.0f kbit/s, %d changes of layers", c.floor*8/1e3, c.switches)
	}
}

// A rate that was too much once is tried again once the path carries nearly that.
func TestPathThatWidensIsFound(t *testing.T) {
	c := newClient(.5 * mbit)
	c.ladder = []float64{0, .15 * mbit, .35 * mbit, 1 * mbit, 2 * mbit}
	c.run(20 * time.Second)
	c.s.probe.burnt = burnt{rate: .4 * mbit, until: c.now + int64(time.Minute)}
	c.rate = 5 * mbit
	c.run(10 * time.Second)
	c.check(t, "5 Mbit/s, after 10 s", 5*time.Second, bounds{atLeast: 1.5e6})
}

// A loss asks for less, never for more than a queue had left.
func TestLossRaisesNothing(t *testing.T) {
	c := newClient(5 * mbit)
	c.run(10 * time.Second)
	c.rate = .5 * mbit
	for c.s.estimate.cuts == 0 {
		c.run(10 * time.Millisecond)
	}
	before := c.s.estimate.cap
	c.s.estimate.Limit(c.now)
	if got := c.s.estimate.cap; got > before {
		t.Errorf("%.0f bytes per second, %.0f before", got, before)
	}
}

// What a queue lost as it overflowed is no reason to lower again once it has drained.
func TestOverflowIsNoLossOfThePath(t *testing.T) {
	c := newClient(5 * mbit)
	c.buffer = 15_000
	c.run(10 * time.Second)
	c.rate = .5 * mbit
	for c.s.estimate.cuts == 0 {
		c.run(10 * time.Millisecond)
	}
	held := c.s.estimate.held
	c.run(5 * time.Second)
	if c.s.tells(twcc.Packet{Sent: held - 1}) || !c.s.tells(twcc.Packet{Sent: c.now}) {
		t.Error("losses from before a decrease count")
	}
	if c.s.Loss() > lossLimit {
		t.Errorf("%.0f %% lost", 100*c.s.Loss())
	}
}

// Others take most of the path for a while.
func TestOthersComeAndGo(t *testing.T) {
	c := newClient(4 * mbit)
	c.check(t, "alone", 15*time.Second, bounds{atLeast: 1.5e6, queue: 120})
	c.others = 3 * mbit
	c.run(4 * time.Second)
	c.check(t, "with others", 20*time.Second, bounds{atLeast: 250e3, queue: 130})
	c.others = 0
	c.run(15 * time.Second)
	c.check(t, "alone again", 10*time.Second, bounds{atLeast: 1.6e6, queue: 120})
}

func TestJitterIsNotCongestion(t *testing.T) {
	c := newClient(20 * mbit)
	c.jitter = 8 * time.Millisecond
	c.run(5 * time.Second)
	c.check(t, "jitter", 30*time.Second, bounds{atLeast: 4e6})
}

// Reports that are lost, doubled or out of order change little.
func TestBadReports(t *testing.T) {
	for name, f := range map[string]func(*client){
		"lost":         func(c *client) { c.lose = .3 },
		"doubled":      func(c *client) { c.double = .5 },
		"out of order": func(c *client) { c.swap = .2 },
		"rare":         func(c *client) { c.every = 250 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(4 * mbit)
			f(c)
			c.check(t, "begin", 5*time.Second, bounds{atLeast: 1.4e6})
			c.check(t, "then", 20*time.Second, bounds{atLeast: 1.6e6, queue: 130})
			c.rate = .5 * mbit
			c.run(4 * time.Second)
			c.check(t, "half a Mbit/s", 20*time.Second, bounds{atLeast: 100e3, queue: 200})
		})
	}
}

// Without probes the path is tried out step by step.
func TestWithoutProbes(t *testing.T) {
	c := newClient(.5 * mbit)
	c.noProbe = true
	c.run(20 * time.Second)
	c.rate = 5 * mbit
	c.run(40 * time.Second)
	c.check(t, "after 40 s", 10*time.Second, bounds{atLeast: 1.4e6, queue: 120})
}

// A client that takes no probes, as it knows their stream not, is not left with nothing for
// ever once there is too little for any picture.
func TestProbesThatAreNeverHeard(t *testing.T) {
	c := newClient(5 * mbit)
	c.ladder = []float64{0, .15 * mbit, .35 * mbit, 1 * mbit, 2 * mbit}
	c.run(10 * time.Second)
	c.unheard, c.rate = true, .02*mbit
	c.run(10 * time.Second)
	c.rate = 5 * mbit
	c.check(t, "nothing", time.Second, bounds{atMost: 10e3})
	c.run(40 * time.Second)
	c.check(t, "after 40 s", 10*time.Second, bounds{atLeast: 300e3, queue: 120})
}

// A client that falls silent is sent less and less, and soon as much again when it is
// back.
func TestSilentClient(t *testing.T) {
	c := newClient(5 * mbit)
	c.run(10 * time.Second)
	before := c.s.Budget(c.now)
	c.lose = 1
	c.run(10 * time.Second)
	if got := c.s.Budget(c.now); got > before/4 {
		t.Errorf("%.0f kbit/s after 10 s of silence, %.0f before", got*8/1e3, before*8/1e3)
	}
	c.lose = 0
	c.run(10 * time.Second)
	c.check(t, "back", 10*time.Second, bounds{atLeast: 1.4e6})
}

// A client that reports nothing at all is held to the start for a moment only.
func TestClientWithoutReports(t *testing.T) {
	c := newClient(50 * mbit)
	c.lose = 1
	c.run(5 * time.Second)
	if got := c.s.Budget(c.now); got < 1e12 {
		t.Errorf("budget %v", got)
	}
}

// After nothing was sent for a while, something may be.
func TestRestRecovers(t *testing.T) {
	c := newClient(1 * mbit)
	c.run(10 * time.Second)
	c.rate = .1 * mbit
	c.run(5 * time.Second)
	c.rate = 1 * mbit
	ladder := c.ladder
	c.ladder, c.layer = ladder[:1], 0
	c.run(4 * time.Second)
	c.ladder = ladder
	c.run(10 * time.Second)
	c.check(t, "again", 10*time.Second, bounds{atLeast: 400e3})
}

// liar reports on packets in ways no path does.
func (c *client) lie(t *testing.T, d time.Duration, arrival func(i int64) int64) {
	t.Helper()
	for end := c.now + int64(d); c.now < end; c.now += int64(50 * time.Millisecond) {
		var got []arrivalOf
		for i := range int64(20) {
			c.s.History.Sent(c.seq, c.now+i, 1200, false)
			got = append(got, arrivalOf{c.seq, arrival(c.now + i)})
			c.seq++
		}
		_ = c.s.Feedback(c.now+int64(20*time.Millisecond), encode(got, got[0].seq, true, 0))
		if b := c.s.Budget(c.now); !(b >= senderLeast && b <= senderMost) {
			t.Fatalf("budget %v", b)
		}
	}
}

// TWCC lies (reliability.md 2.2): the budget stays within its bounds, and an honest
// client is served again after it lied.
func TestLiesStayWithinBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for name, arrival := range map[string]func(int64) int64{
		"perfect":         func(sent int64) int64 { return sent + 1e6 },
		"at once":         func(int64) int64 { return 5e9 },
		"backwards":       func(sent int64) int64 { return 1e15 - sent },
		"far jumps":       func(int64) int64 { return rng.Int64N(1 << 50) },
		"deltas to 8 s":   func(sent int64) int64 { return sent + rng.Int64N(16e9) - 8e9 },
		"slower and more": func(sent int64) int64 { return sent * 3 },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(5 * mbit)
			c.lie(t, 20*time.Second, arrival)
		})
	}
}

// Packets that were never sent prove nothing.
func TestUnsentPacketsAreIgnored(t *testing.T) {
	s := NewSender()
	for i := range 100 {
		now := int64(i) * 50e6
		var got []arrivalOf
		for k := range 50 {
			got = append(got, arrivalOf{uint16(i*50 + k), now})
		}
		if err := s.Feedback(now, encode(got, got[0].seq, true, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if s.Reports() || s.Delivered() != 0 {
		t.Errorf("%v bytes per second delivered", s.Delivered())
	}
}

// FuzzFeedback gives arbitrary reports between honest sends.
func FuzzFeedback(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 0, 0, 1, 0, 0x20, 3, 4, 4, 4}, uint16(3), int64(1e6))
	f.Add([]byte{0, 1, 0x0f, 0xff, 0xff, 0xff, 0xff, 9, 0x0f, 0xff}, uint16(3000), int64(-5))
	f.Add([]byte{0, 0, 0, 2, 0x7f, 0xff, 0xff, 0, 0xd4, 0, 0x80, 0, 0x7f, 0xff}, uint16(9), int64(1e12))
	f.Fuzz(func(t *testing.T, report []byte, sent uint16, step int64) {
		s := NewSender()
		now, seq := int64(1e12), uint16(0)
		for i := range 30 {
			for range sent % 512 {
				s.History.Sent(seq, now, int(seq%1500), seq%9 == 0)
				seq++
			}
			now += step & 0xfffffff
			b := append([]byte(nil), report...)
			if len(b) >= 8 && i%2 == 0 { // where its packets are
				binary.BigEndian.PutUint16(b, seq-sent%512)
			}
			if err := s.Feedback(now, b); err != nil {
				return
			}
			s.Tick(now, uint64(seq))
			rate, due := s.Probe(now, 1e6)
			if budget := s.Budget(now); !(budget >= senderLeast && (budget <= senderMost || !s.Reports())) || due && !(rate > 0 && rate <= senderMost) {
				t.Fatalf("budget %v, probe at %v", budget, rate)
			}
			if s.Loss() < 0 || s.Loss() > 1 {
				t.Fatalf("loss %v", s.Loss())
			}
		}
	})
}

func TestFeedbackAllocatesNothing(t *testing.T) {
	s := NewSender()
	now, seq := int64(1e12), uint16(0)
	got := make([]arrivalOf, 50)
	for i := range got {
		got[i] = arrivalOf{uint16(i), now}
	}
	body := encode(got, 0, true, 0)
	step := func() {
		binary.BigEndian.PutUint16(body, seq)
		for range 50 {
			s.History.Sent(seq, now, 1200, false)
			seq++
		}
		now += 50e6
		if err := s.Feedback(now, body); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFeedback50(b *testing.B) {
	s := NewSender()
	now, seq := int64(1e12), uint16(0)
	got := make([]arrivalOf, 50)
	for i := range got {
		got[i] = arrivalOf{uint16(i), now + int64(i)*1e6}
	}
	body := encode(got, 0, true, 0)
	for b.Loop() {
		binary.BigEndian.PutUint16(body, seq)
		for range 50 {
			s.History.Sent(seq, now, 1200, false)
			seq++
		}
		now += 50e6
		_ = s.Feedback(now, body)
	}
}
