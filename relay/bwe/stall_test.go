package bwe

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"
	"time"
)

// stalls are times in which a machine does not run: nothing is read, nothing leaves.
type stalls []span

// at is when what is due at a time gets done.
func (l stalls) at(now int64) int64 {
	i := sort.Search(len(l), func(i int) bool { return l[i].last > now })
	if i < len(l) && l[i].first <= now {
		return l[i].last
	}
	return now
}

// stalling makes stalls of least to most, one in every so much time, from a time on: at
// random, or of the same length and distance if they are all alike.
func stalling(rng *rand.Rand, from int64, least, most, every time.Duration, random bool) (l stalls) {
	for at := from; at < from+int64(2*time.Minute); at += int64(every) {
		long := most
		begins := at
		if random {
			long = least + time.Duration(rng.Int64N(int64(most-least)+1))
			begins += rng.Int64N(int64(every-long) + 1)
		}
		begins -= begins % tickNS
		l = append(l, span{begins, begins + int64(long.Truncate(time.Millisecond))})
	}
	return l
}

// stalled is a plan of stalls: where they are, how long, and whether at random.
type stalled struct {
	where  string
	long   time.Duration
	random bool
}

func (s stalled) String() string {
	how := "alike"
	if s.random {
		how = "at random"
	}
	return fmt.Sprintf("%s %v %s", s.where, s.long, how)
}

// plans are stalls of a fifth of the time, of the client, of the node, of both.
func plans() (out []stalled) {
	for _, where := range []string{"client", "node", "both"} {
		for _, ms := range []int{20, 50, 100, 200, 400} {
			for _, random := range []bool{false, true} {
				out = append(out, stalled{where, time.Duration(ms) * time.Millisecond, random})
			}
		}
	}
	return out
}

// starve lets the stalls begin.
func (c *client) starve(s stalled) {
	every := max(5*s.long, 150*time.Millisecond)
	if s.where != "node" {
		c.rx = stalling(c.rng, c.now, s.long/4, s.long, every, s.random)
		c.reading = 300 * time.Microsecond
	}
	if s.where != "client" {
		c.tx = stalling(c.rng, c.now, s.long/4, s.long, every+7*time.Millisecond, s.random)
	}
}

// A machine that stands still is no narrow path: the budget stays above all that is sent.
func TestStallsTakeNothingOfAWidePath(t *testing.T) {
	for _, air := range []time.Duration{0, 20 * time.Millisecond} {
		for _, plan := range plans() {
			t.Run(fmt.Sprintf("%s, airtime %v", plan, air), func(t *testing.T) {
				c := newClient(100 * mbit)
				c.airtime = air
				c.run(10 * time.Second)
				c.starve(plan)
				c.run(15 * time.Second)
				if all := c.ladder[len(c.ladder)-1]; c.floor < all || c.arrived < c.offered {
					t.Errorf("budget down to %.0f kbit/s of %.0f, %.0f bytes of %.0f", c.floor*8/1e3, all*8/1e3, c.arrived, c.offered)
				}
			})
		}
	}
}

// Beside a path that is narrow, stalls cost a part of it at most.
func TestStallsBesideABottleneck(t *testing.T) {
	for rate, least := range map[float64]float64{.5: .14, 2: .75, 10: 5.5} {
		for _, air := range []time.Duration{0, 20 * time.Millisecond} {
			for _, plan := range plans() {
				t.Run(fmt.Sprintf("%.1f Mbit/s, %s, airtime %v", rate, plan, air), func(t *testing.T) {
					c := newClient(rate * mbit)
					c.airtime = air
					c.run(10 * time.Second)
					c.starve(plan)
					c.check(t, "stalled", 30*time.Second, bounds{atLeast: least * 1e6})
				})
			}
		}
	}
}

// A path that becomes narrow while the machine stalls is found all the same.
func TestStallsHideNoBottleneck(t *testing.T) {
	for _, plan := range plans() {
		t.Run(plan.String(), func(t *testing.T) {
			c := newClient(5 * mbit)
			c.run(10 * time.Second)
			c.starve(plan)
			c.run(5 * time.Second)
			c.rate = .5 * mbit
			c.run(3 * time.Second)
			c.check(t, "half a Mbit/s, after 3 s", 10*time.Second, bounds{atLeast: 100e3, atMost: 490e3, queue: 200})
		})
	}
}

// A policer shows by its losses, stalls or not.
func TestStallsBesideAPolicer(t *testing.T) {
	for _, plan := range plans() {
		t.Run(plan.String(), func(t *testing.T) {
			c := newClient(1 * mbit)
			c.buffer = 5000
			c.run(8 * time.Second)
			c.starve(plan)
			c.check(t, "policed", 20*time.Second, bounds{atLeast: 200e3})
		})
	}
}

// A link whose far node stands still is not capped below what is sent: its reports come
// while what waited is still being read.
func TestStallsDoNotCapALink(t *testing.T) {
	for _, plan := range plans() {
		if plan.where != "client" {
			continue // a datagram is stamped as it leaves
		}
		t.Run(plan.String(), func(t *testing.T) {
			tr := newTrace(1e9, 3e6)
			tr.jitter = 1e6
			tr.reading = int64(60 * time.Microsecond)
			tr.run(3 * time.Second)
			tr.rx = stalling(tr.rng, tr.now, plan.long/4, plan.long, 5*plan.long, plan.random)
			for range 200 {
				tr.run(100 * time.Millisecond)
				if cap := tr.e.Cap(); cap != 0 && cap < tr.offered {
					t.Fatalf("%.1f Mbit/s of %.1f", cap/mbit, tr.offered/mbit)
				}
			}
		})
	}
}

// A probe that meets the path's limit ends at once: what waits does not leave at its pace.
func TestPaceOfAProbeEndsWithIt(t *testing.T) {
	s := NewSender()
	s.estimate.ready, s.estimate.proof.disappointed, s.estimate.cap = true, true, 50_000
	s.probe = probe{active: true, rate: 100_000, until: int64(ProbeFor)}
	if got := s.Pace(1); got != 100_000 {
		t.Errorf("%.0f in the probe", got)
	}
	if got := s.Pace(int64(ProbeFor) + 1); got != 50_000 {
		t.Errorf("%.0f after it, without a report", got)
	}
	s.estimate.queue = 2 * probeQueue
	if got := s.Pace(1); got != 50_000 {
		t.Errorf("%.0f with a queue", got)
	}
}

// arrivals gives a silence packets at given gaps and delays, in milliseconds.
func arrivals(s *silence, now *int64, list ...[2]float64) {
	for _, a := range list {
		*now += int64(a[0] * 1e6)
		s.came(*now, a[1]*1e6, 1200)
	}
}

func TestSilenceTellsAStallFromAQueue(t *testing.T) {
	calm := [][2]float64{{10, 0}, {10, 1}, {10, 0}, {10, 1}}
	for name, c := range map[string]struct {
		then    [][2]float64
		pace    float64
		excused bool
	}{
		"a stall, of which one packet is read":  {[][2]float64{{110, 100}}, 120_000, true},
		"a stall, half of it read":              {[][2]float64{{110, 100}, {.1, 90}, {.1, 80}, {.1, 70}}, 120_000, true},
		"a stall on top of a queue":             {[][2]float64{{10, 60}, {10, 120}, {10, 122}, {10, 124}, {300, 400}, {.1, 390}}, 120_000, true},
		"a path that became narrow":             {[][2]float64{{30, 20}, {20, 40}, {20, 60}, {20, 80}}, 120_000, false},
		"a path that became very narrow":        {[][2]float64{{60, 40}, {40, 80}, {40, 120}}, 120_000, false},
		"a stall, and then a queue":             {[][2]float64{{110, 100}, {.1, 95}, {20, 110}, {20, 125}}, 120_000, false},
		"a radio that sends now and then":       {[][2]float64{{20, 40}, {0, 35}, {0, 30}, {20, 45}, {0, 40}, {0, 35}, {20, 50}, {0, 45}, {0, 40}}, 120_000, false},
		"what comes no faster than it was sent": {[][2]float64{{110, 100}, {10, 99}, {10, 98}}, 120_000, false},
	} {
		t.Run(name, func(t *testing.T) {
			var s silence
			now := int64(1e12)
			arrivals(&s, &now, calm...)
			arrivals(&s, &now, c.then...)
			queue, excused := s.excuse(now, c.pace, s.delay, 1e6)
			if excused != c.excused || excused && queue != 1e6 || !excused && queue != s.delay {
				t.Errorf("excused %v, queue %.0f ms", excused, queue/1e6)
			}
		})
	}
}

// The rate after a stall is told from its beginning on, for as long as what came at once
// after it fills shorter windows.
func TestRateOverASilence(t *testing.T) {
	var s silence
	now := int64(1e12)
	if _, ok := s.rate(); ok {
		t.Error("a rate before there was a silence")
	}
	arrivals(&s, &now, [2]float64{10, 0}, [2]float64{90, 80}, [2]float64{.1, 70}, [2]float64{9.9, 60})
	if rate, ok := s.rate(); !ok || int(rate) != 36_000 { // three packets in 100 ms
		t.Errorf("%.0f, %v", rate, ok)
	}
	arrivals(&s, &now, [2]float64{100, 0})
	if _, ok := s.rate(); ok {
		t.Error("still told from a silence long ago")
	}
}

// A clock that was far ahead once excuses nothing after it.
func TestSilenceAfterAClockWentBack(t *testing.T) {
	var s silence
	now := int64(1e12)
	arrivals(&s, &now, [2]float64{10, 0})
	s.came(now+1e12, 1e12, 1200)
	arrivals(&s, &now, [2]float64{10, 0}, [2]float64{60, 40}, [2]float64{40, 80}, [2]float64{40, 120})
	if _, excused := s.excuse(now, 120_000, s.delay, 0); excused {
		t.Error("a queue is excused")
	}
}

// On a slow path a few packets that are under way are no queue that others left.
func TestSlowPathThatDrainsForgetsItsCuts(t *testing.T) {
	e := Estimator{proof: proof{start: senderStart}, ready: true, limit: queueLimit, settled: 60_000, queue: 20e6, cuts: yieldAfter}
	if e.decide(0, 0); e.cuts != 0 {
		t.Errorf("%d decreases are remembered", e.cuts)
	}
}

// What a decrease takes for the path is no more than was sent, however close together a
// client says that it came, and what arrived before is of another path.
func TestDecreaseIsToldFromWhatWasSent(t *testing.T) {
	e := Estimator{proof: proof{start: senderStart, least: senderLeast, most: senderMost}, ready: true, limit: queueLimit, cap: 100_000, usual: 90_000}
	for i := range int64(100) {
		e.pace.add(1e12+i*10e6, 1000)
		e.rate.add(1e12+i*1e6, 1000)
	}
	e.cut(2e12)
	if e.settled > stretch*100_000*1.01 {
		t.Errorf("%.0f taken for the path of 100,000 sent", e.settled)
	}
	e.settled, e.cuts, e.usual = 100_000, 0, 1e6
	for i := range int64(100) {
		e.pace.add(2e12+i*10e6, 1000)
		e.rate.add(2e12+i*20e6, 1000)
	}
	if e.cut(3e12); e.usual > e.settled {
		t.Errorf("%.0f arrive on a path of %.0f", e.usual, e.settled)
	}
}

func TestSilenceExcusesForABoundedTime(t *testing.T) {
	var s silence
	now := int64(1e12)
	arrivals(&s, &now, [2]float64{10, 0}, [2]float64{110, 100})
	for range 10 {
		if _, excused := s.excuse(now, 1, s.delay, 0); !excused {
			t.Fatal("not excused")
		}
		now += excusedMost / 10
	}
	if _, excused := s.excuse(now+1, 1, s.delay, 0); excused {
		t.Error("excused for ever")
	}
}

// Whoever reports silences and clumps that there were not is sent no more than whoever
// reports no delay at all: half as much again as was sent.
func TestFakedClumpsGainNothing(t *testing.T) {
	const sent = 20 * 1200 / .05 // see lie
	for name, step := range map[string]time.Duration{"short": 60 * time.Millisecond, "half a second": 500 * time.Millisecond, "long": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			c := newClient(5 * mbit)
			for range 20 {
				c.lie(t, time.Second, func(at int64) int64 { return at - at%int64(step) + int64(step) })
				if b := c.s.Budget(c.now); b > max(leap*sent*1.05, senderStart) {
					t.Fatalf("budget %.0f kbit/s for %.0f sent", b*8/1e3, sent*8/1e3)
				}
			}
		})
	}
}
