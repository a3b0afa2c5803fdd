package bwe

import (
	"time"

	"maille/relay/twcc"
)

const (
	// ProbeFor is how long a probe is sent at most: longer than a policer's bucket of a few
	// packets hides it. It ends when a report tells of a queue.
	ProbeFor = 200 * time.Millisecond
	// probeAbove the rate that is wanted, for what follows varies.
	probeAbove = 1.1
	// probeMost is the largest step, in caps.
	probeMost  = 1.5
	probeUsual = 1.75 // of what arrives, before the path's limit was ever met
	// probeWithin is when a probe without reports is given up.
	probeWithin = int64(time.Second)
	// A probe passed if it arrived at probePace of its own pace, and left no queue.
	probePace  = 0.9
	probeQueue = 20e6
	probeLoss  = 0.1
	// probeCalm is the time since the last decrease.
	probeCalm = int64(1500 * time.Millisecond)
	// Probes that failed wait longer each time.
	probeFirst = int64(300 * time.Millisecond)
	probeWait  = int64(2 * time.Second)
	probeLong  = int64(8 * time.Second)
	// probeTrust is how long a passed probe has to prove true. A rate that did not is left
	// alone for burntFirst, and then for longer, but no longer than leaves time to use a path
	// that is free again within fifteen seconds.
	probeTrust = int64(5 * time.Second)
	burntFirst = int64(6 * time.Second)
	burntLong  = int64(10 * time.Second)
	burntShare = 0.85
	// Once so much of that rate arrives and nothing queues, the path has become another.
	burntRefuted = 0.85
	probeLeast   = 5 // packets
	// unheardMost probes of which nothing came are enough: a client may drop packets of a
	// stream that it does not know, and the path is tried out without them.
	unheardMost = 3
)

// probe is one measurement: more than is needed is sent for a moment, on trial.
type probe struct {
	active       bool
	rate         float64
	began, until int64 // departures
	next         int64 // no probe before
	wait         int64
	passed       int64 // when the last one passed, 0 if it failed
	proven       float64
	burnt        burnt

	packets, bytes      int
	lost, lostBytes     int
	sent, arrived       span
	firstSize, lastSize int
	before              float64 // queue
	late                int64   // least delay at its end
	over                bool    // something later was reported
}

// burnt is a rate that passed its probe and was too much all the same.
type burnt struct {
	rate        float64
	until, wait int64
}

// span is from the first to the last.
type span struct{ first, last int64 }

func (s *span) add(v int64, begins bool) {
	if begins {
		*s = span{v, v}
		return
	}
	s.first, s.last = min(s.first, v), max(s.last, v)
}

// Probe tells whether to probe now for a rate that is wanted, and at which rate: so
// much in all is to be sent for ProbeFor.
func (s *Sender) Probe(now int64, want float64) (rate float64, due bool) {
	e, p := &s.estimate, &s.probe
	if s.unheard >= unheardMost {
		s.Assume(now, want)
		return 0, false
	}
	if !e.ready || p.active || now < p.next || !e.calm() || want <= e.cap ||
		e.proof.disappointed && now-e.cutAt < probeCalm || e.cap < 0.95*e.settled {
		return 0, false
	}
	rate = min(probeAbove*want, probeMost*e.cap, e.proof.most)
	if !e.proof.disappointed { // the cap is little more than a hope
		rate = min(rate, max(probeUsual*e.usual, probeMost*e.proof.start, probeMost*p.proven))
	}
	if now < p.burnt.until {
		rate = min(rate, burntShare*p.burnt.rate)
	}
	if rate <= e.cap {
		return 0, false
	}
	*p = probe{
		active: true, rate: rate, began: now, until: now + int64(ProbeFor), late: 1<<63 - 1,
		before: e.queue, wait: p.wait, passed: p.passed, proven: p.proven, burnt: p.burnt,
	}
	return rate, true
}

// Probing tells whether a probe begun before goes on: nothing speaks against it yet.
func (s *Sender) Probing() bool { return s.probe.active && s.estimate.queue < probeQueue }

// Assume takes a rate for proven, where probes cannot be sent. It is held back like one.
func (s *Sender) Assume(now int64, want float64) {
	e, p := &s.estimate, &s.probe
	if !e.ready || now < p.next || !e.calm() || want <= e.cap || now-e.cutAt < probeCalm {
		return
	}
	rate := min(want, stretch*e.cap)
	if now < p.burnt.until {
		rate = min(rate, burntShare*p.burnt.rate)
	}
	if rate > e.cap {
		s.pass(now, rate)
	}
	p.next = now + probeWait
}

func (p *probe) missing(k twcc.Packet) {
	if p.active && k.Sent >= p.began && k.Sent <= p.until {
		p.lost++
		p.lostBytes += k.Size
	}
}

func (p *probe) came(k twcc.Packet, at int64) {
	if !p.active || k.Sent < p.began {
		return
	}
	if k.Sent > p.until {
		p.over = true
		return
	}
	if p.packets == 0 || at < p.arrived.first {
		p.firstSize = k.Size
	}
	if p.packets == 0 || k.Sent >= p.sent.last {
		p.lastSize = k.Size
	}
	p.sent.add(k.Sent, p.packets == 0)
	p.arrived.add(at, p.packets == 0)
	p.packets++
	p.bytes += k.Size
	if k.Sent > p.began+2*(p.until-p.began)/3 {
		p.late = min(p.late, at-k.Sent)
	}
}

// judge ends a probe whose reports are in.
func (s *Sender) judge(now int64) {
	e, p := &s.estimate, &s.probe
	switch {
	case p.passed == 0:
	case e.proof.disappointed && e.cutAt > p.passed:
		b := &p.burnt
		b.rate, b.wait = p.proven, min(max(2*b.wait, burntFirst), burntLong)
		b.until = now + b.wait
		p.passed = 0
	case now-p.passed > probeTrust:
		p.passed, p.wait = 0, 0
		if p.proven >= p.burnt.rate {
			p.burnt = burnt{}
		}
	}
	if p.burnt.rate > 0 && e.calm() && e.usual >= burntRefuted*p.burnt.rate {
		p.burnt = burnt{}
	}
	if !p.active || !p.over && now-p.began < probeWithin {
		return
	}
	p.active = false
	if p.packets == 0 {
		s.unheard++
	}
	pace := rateOf(p.bytes-p.lastSize, p.sent)
	came := rateOf(p.bytes-p.firstSize, p.arrived)
	if p.packets < probeLeast || pace == 0 || came == 0 {
		s.fail(now)
		return
	}
	queue := float64(p.late-e.base.least()) - p.before - e.slack(pace)
	lost := float64(p.lost) / float64(p.lost+p.packets)
	if came >= probePace*pace && queue < probeQueue && lost <= probeLoss+s.loss.share {
		// What was lost was sent all the same.
		sent := float64(p.bytes+p.lostBytes) / float64(p.bytes)
		s.pass(now, min(0.95*pace, came)*sent)
		return
	}
	if queue < congestedAt && lost <= probeLoss+s.loss.share {
		e.prove(burntShare * came) // not all of it, but more than was known
	}
	s.fail(now)
}

func (s *Sender) pass(now int64, rate float64) {
	s.estimate.prove(rate)
	s.probe.passed, s.probe.proven = now, rate
	s.probe.next = now + probeFirst
}

func (s *Sender) fail(now int64) {
	s.probe.passed = 0
	s.probe.wait = min(max(2*s.probe.wait, probeWait), probeLong)
	s.probe.next = now + s.probe.wait
}

func rateOf(bytes int, s span) float64 {
	if s.last <= s.first {
		return 0
	}
	return float64(bytes) / (float64(s.last-s.first) / 1e9)
}
