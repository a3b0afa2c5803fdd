package bwe

import (
	"math/rand/v2"
	"testing"
	"time"
)

// trace is a fluid path in steps of 5 ms: a sender that wants to send `offered` and is
// held to the estimator's cap, a bottleneck, other traffic through it, random loss, and
// reports every 25 ms.
type trace struct {
	e        Estimator
	now      int64
	rtt      int64
	rate     float64 // bytes per second of the bottleneck
	offered  float64
	others   float64 // bytes per second of traffic that does not yield
	filler   bool    // traffic that keeps others' queue at 150 ms, as a bulk flow does
	loss     float64
	jitter   float64
	standing float64 // bytes queued
	frozen   int64   // nothing arrives before
	rx       stalls  // of the receiver, reading is what a datagram takes it
	reading  int64
	latest   int64
	pending  []Sample
	rng      *rand.Rand

	sent, arrived float64
	worst         time.Duration
}

const (
	stepNS   = int64(5 * time.Millisecond)
	reportNS = int64(25 * time.Millisecond)
	datagram = 1228
)

func newTrace(rate, offered float64) *trace {
	return &trace{rtt: int64(100 * time.Millisecond), rate: rate, offered: offered, rng: rand.New(rand.NewPCG(1, 2))}
}

func (t *trace) run(d time.Duration) {
	t.sent, t.arrived, t.worst = 0, 0, 0
	credit := 0.0
	for end := t.now + int64(d); t.now < end; t.now += stepNS {
		pace := t.offered
		if c := t.e.Cap(); c > 0 {
			pace = min(pace, c)
		}
		credit += pace * float64(stepNS) / 1e9
		t.standing = max(0, t.standing-(t.rate-t.others)*float64(stepNS)/1e9)
		if t.filler {
			t.standing = max(t.standing, 0.15*t.rate)
		}
		for ; credit >= datagram; credit -= datagram {
			t.sent += datagram
			if t.rng.Float64() < t.loss {
				continue
			}
			t.standing += datagram
			t.arrived += datagram
			delay := float64(t.rtt/2) + t.standing/t.rate*1e9 + t.rng.ExpFloat64()*t.jitter
			at := max(t.now+int64(delay), t.frozen)
			if len(t.rx) > 0 {
				at = max(t.latest+t.reading, t.rx.at(at))
				t.latest = at
			}
			t.pending = append(t.pending, Sample{Sent: t.now, Arrived: at + 1e15, Size: datagram})
		}
		t.worst = max(t.worst, time.Duration(t.standing/t.rate*1e9))
		if t.now%reportNS == 0 {
			t.report()
		}
	}
}

// report tells of what arrived a half round trip ago.
func (t *trace) report() {
	var due, rest []Sample
	for _, s := range t.pending {
		if s.Arrived-1e15 <= t.now-t.rtt/2 {
			due = append(due, s)
		} else {
			rest = append(rest, s)
		}
	}
	t.pending = rest
	t.e.Report(t.now, t.loss, due)
}

func TestRandomLossIsNotCongestion(t *testing.T) {
	tr := newTrace(1e9, 3e6)
	tr.loss, tr.jitter = 0.2, 3e6
	tr.run(20 * time.Second)
	if tr.e.Cap() != 0 {
		t.Errorf("capped to %.0f by random loss and jitter", tr.e.Cap())
	}
}

func TestBottleneckIsFilledWithoutAQueue(t *testing.T) {
	for name, loss := range map[string]float64{"clean": 0, "lossy": 0.05} {
		t.Run(name, func(t *testing.T) {
			tr := newTrace(1.25e6, 3e6)
			tr.loss = loss
			tr.run(2 * time.Second)
			tr.run(20 * time.Second)
			if use := tr.arrived / (20 * tr.rate); use < .85 {
				t.Errorf("only %.0f%% used", use*100)
			}
			if tr.worst > 120*time.Millisecond {
				t.Errorf("queue of %v after the start", tr.worst)
			}
		})
	}
}

func TestStepsDownAndUp(t *testing.T) {
	tr := newTrace(2.5e6, 3e6)
	tr.run(10 * time.Second)
	tr.rate = 0.6e6
	tr.run(2 * time.Second)
	tr.run(5 * time.Second)
	if tr.worst > 150*time.Millisecond {
		t.Errorf("queue of %v two seconds after the path shrank", tr.worst)
	}
	tr.rate = 2.5e6
	tr.run(8 * time.Second)
	tr.run(5 * time.Second)
	if use := tr.arrived / (5 * tr.rate); use < .8 {
		t.Errorf("%.0f%% used thirteen seconds after the path grew", use*100)
	}
}

func TestDemandBelowThePathIsNotHeld(t *testing.T) {
	tr := newTrace(1.25e6, 3e6)
	tr.run(3 * time.Second)
	tr.offered = 0.3e6
	tr.run(20 * time.Second)
	tr.offered = 0.9e6 // below what the path was seen to carry
	tr.run(time.Second)
	tr.run(time.Second)
	if got := tr.arrived; got < .85*tr.offered {
		t.Errorf("%.0f bytes of %.0f passed", got, tr.offered)
	}
}

// A flow that fills any queue must not push us off the path.
func TestQueueOfOthersIsNotYieldedToForever(t *testing.T) {
	tr := newTrace(2.5e6, 2e6)
	tr.run(3 * time.Second)
	tr.filler, tr.others = true, 1.25e6
	tr.run(10 * time.Second)
	tr.run(10 * time.Second)
	if share := tr.arrived / (10 * 1.25e6); share < .3 {
		t.Errorf("left with %.0f%% of a fair share", share*100)
	}
	tr.filler, tr.others = false, 0
	tr.run(10 * time.Second)
	tr.run(2 * time.Second)
	if got := tr.arrived / (2 * tr.offered); got < .9 {
		t.Errorf("%.0f%% passed after the other flow ended", got*100)
	}
}

// A path that freezes for half a second and then delivers everything is not a small one.
func TestFreezeIsForgiven(t *testing.T) {
	tr := newTrace(2.5e6, 1.5e6)
	tr.run(3 * time.Second)
	tr.frozen = tr.now + int64(500*time.Millisecond)
	tr.run(5 * time.Second)
	tr.run(2 * time.Second)
	if got := tr.arrived / (2 * tr.offered); got < .9 {
		t.Errorf("%.0f%% passed five seconds after a freeze", got*100)
	}
}

func TestReportAllocatesNothing(t *testing.T) {
	var e Estimator
	samples := make([]Sample, 50)
	now := int64(0)
	if n := testing.AllocsPerRun(100, func() {
		now += reportNS
		for i := range samples {
			samples[i] = Sample{Sent: now, Arrived: now + 1e6, Size: 1200}
		}
		e.Report(now, 0, samples)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzReports feeds reports that no honest peer sends: the cap must stay a number
// within bounds, and nothing may panic.
func FuzzReports(f *testing.F) {
	f.Add(uint64(1), int64(1e6), int64(1e6))
	f.Add(uint64(2), int64(-1e18), int64(1))
	f.Fuzz(func(t *testing.T, seed uint64, spread, step int64) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var e Estimator
		now := int64(0)
		for range 50 {
			now += step & 0xfffffff
			var samples []Sample
			for range rng.IntN(20) {
				samples = append(samples, Sample{Sent: now - rng.Int64N(1e9), Arrived: rng.Int64N(1e12) * (spread % 1000), Size: rng.IntN(2000), Held: rng.IntN(3) == 0})
			}
			e.Report(now, 0, samples)
			if c := e.Cap(); c != 0 && !(c >= minCap && c < 1e18) {
				t.Fatalf("cap %v", c)
			}
		}
	})
}

func TestUnlimitTakesBackOnlyLimit(t *testing.T) {
	var e Estimator
	now := int64(time.Second)
	report := func(delay int64) {
		now += int64(25 * time.Millisecond)
		e.Report(now, 0, []Sample{{Sent: now - delay, Arrived: now, Size: 1200}})
	}
	for range 40 {
		report(int64(20 * time.Millisecond))
	}
	e.Limit(now)
	if e.Cap() == 0 {
		t.Fatal("not limited")
	}
	if e.Unlimit(); e.Cap() != 0 {
		t.Error("still limited")
	}
	e.Limit(now)
	for range 40 {
		report(int64(200 * time.Millisecond))
	}
	if e.Unlimit(); e.Cap() == 0 {
		t.Error("a queue's cap taken back")
	}
}
