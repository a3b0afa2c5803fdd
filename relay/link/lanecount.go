package link

import (
	"math"
	"time"
)

// laneCount decides how many lanes a link has. It is pure.
//
// A lane's congestion window is about sqrt(1.5/loss) packets whatever the path could
// carry, so random loss is answered by more lanes. A queue on the path is not: there
// more lanes only fill it faster. Where the path's queue is too short to be noticed,
// the difference shows afterwards: more lanes that deliver no more, and lose more, were
// answering congestion, and are taken back.
type laneCount struct {
	least, most int

	begun   bool
	changed int64
	since   int64   // packets have been waiting since
	lossy   int64   // when loss was last seen
	calm    int64   // since when the lanes carry much more than is asked of them
	clear   int64   // when the path was last not congested
	useless int64   // no growth before
	pause   int64   // how long that was
	before  outcome // of the lanes there were before the last growth
	fewer   int     // how many they were
	grew    bool    // the last change was growth
	recent  [outcomes]tally
	tallied int
	pressed int // decisions since the last change that saw packets wait
	accused accused
	// acquitted, of the last decision: the limit that an earlier one asked for is to go.
	acquitted bool
}

// accused is a limit for a loss that was taken for congestion. If what is lost stays as much
// although less is sent, it was not.
type accused struct {
	at   int64 // 0 for none
	loss float64
}

// acquits tells, once, that the loss after a limit is that of before.
func (a *accused) acquits(now int64, window outcome) bool {
	if a.at == 0 || now-a.at < acquitAfter {
		return false
	}
	a.at = 0
	return window.sent() >= 50 && window.loss() > max(muchLoss, acquitShare*a.loss)
}

// outcomes, one per decision, make the window over which loss and delivery are compared.
const outcomes = 3

// tally is the running count of datagrams that arrived and were lost.
type tally struct {
	at            int64
	arrived, lost uint64
}

// outcome is what came of the datagrams of some time.
type outcome struct {
	seconds, arrived, lost float64
}

func (a tally) until(b tally) outcome {
	return outcome{float64(b.at-a.at) / 1e9, float64(b.arrived - a.arrived), float64(b.lost - a.lost)}
}

func (o outcome) sent() float64 { return o.arrived + o.lost }
func (o outcome) loss() float64 { return o.lost / max(o.sent(), 1) }

// harms tells whether this outcome is worse than the one before, beyond chance.
func (o outcome) harms(before outcome) bool {
	if o.seconds <= 0 || before.seconds <= 0 || before.sent() < 50 || o.sent() < 50 {
		return false
	}
	gain := (o.arrived / o.seconds) / max(before.arrived/before.seconds, 1)
	p := (o.lost + before.lost) / (o.sent() + before.sent())
	chance := math.Sqrt(p * (1 - p) * (1/o.sent() + 1/before.sent()))
	return gain < usefulGain && o.loss() > harmfulTimes*before.loss()+harmfulLoss+runs*chance
}

// laneState is what is known when a decision is due.
type laneState struct {
	lanes     int           // up now
	want      int           // as decided last
	rtt       time.Duration // smoothed
	waited    time.Duration // longest wait of a packet since the last decision
	blocked   time.Duration // time since then in which packets waited for nothing but a lane
	loss      float64       // share of datagrams lost lately
	arrived   uint64        // datagrams since the beginning
	lost      uint64
	congested bool
	shed      bool    // layers are left out although nothing but lanes is known to be too few
	room      float64 // what the lanes may send, over what they do send
}

const (
	// laneWait is the wait for a lane that makes more lanes worth it: a burst of a
	// keyframe may wait, a stream of them may not.
	laneWait = 12 * time.Millisecond
	// laneBlocked, of the 200 ms between decisions: less is bursts that lanes spread out.
	laneBlocked = 50 * time.Millisecond
	// laneLoss is loss that binds a window; less is growth that overshot.
	laneLoss = 0.0005
	// More lanes were useful if they delivered usefulGain more; they did harm if they did
	// not and lost harmfulTimes as much and harmfulLoss.
	usefulGain                = 1.2
	harmfulTimes, harmfulLoss = 1.5, 0.02
	// runs: three times what chance does to losses that come alone, twice that where they
	// come in runs of five.
	runs = 6
	// provenFrom is where lanes begin to weigh against others on the path.
	provenFrom = 16
	judgedFor  = int64(3 * time.Second)
	// paidShare of what more lanes could bring at best is growth that random loss explains.
	paidShare = 0.5
	// fewLanes do little harm anywhere, whatever is lost.
	fewLanes = 8
	// muchLoss is rarely random.
	muchLoss = 0.08
	// acquitAfter is a window of outcomes and what was under way before it.
	acquitAfter, acquitShare = int64(1400 * time.Millisecond), 0.4
	// uselessMin is how long growth that did harm is not tried again; it doubles up to
	// uselessMax. Short at first, because the judgement may have been wrong.
	uselessMin = int64(2 * time.Second)
	uselessMax = int64(30 * time.Second)
	// calmFor is how long lanes must have been too many before some go.
	calmFor   = int64(20 * time.Second)
	calmRoom  = 3
	crowdedIn = int64(500 * time.Millisecond)
)

// decide returns how many lanes there should be. congested tells that the path is full
// although no queue shows it.
func (c *laneCount) decide(now int64, st laneState) (want int, congested bool) {
	if !c.begun {
		c.begun, c.changed, c.calm, c.clear, c.useless = true, now, now, now, now
		c.lossy = now - int64(time.Hour)
	}
	waits := c.observe(now, st)
	window := c.tally(tally{now, st.arrived, st.lost})
	if c.acquitted = c.accused.acquits(now, window); c.acquitted {
		c.useless = now
	}
	switch {
	case now-c.changed < int64(st.rtt)+int64(100*time.Millisecond):
		return st.want, false
	case now-c.clear > crowdedIn:
		c.clear = now
		return c.to(now, max(st.want*3/4, c.least)), false
	case waits && c.judging(now, st) && window.harms(c.before):
		c.pause = min(max(2*c.pause, uselessMin), uselessMax)
		c.useless = now + c.pause
		c.accused = accused{now, window.loss()}
		return c.to(now, c.fewer), true
	case waits && !st.congested && 4*st.lanes >= 3*st.want && st.want < c.most && now >= c.useless && c.growable(now, st, window):
		c.to(now, st.want)
		c.before, c.fewer, c.grew = window, st.want, true
		return min(st.want*2, c.most), false
	case now-c.calm > calmFor && st.want > c.least:
		c.calm = now - calmFor*3/4
		return c.to(now, max(st.want-max(1, st.want/8), c.least)), false
	}
	return st.want, false
}

// observe keeps the times since when things are as they are, and tells whether packets
// wait for want of lanes. Where much is lost, those of layers that are shed would: what is
// left may fit, but is not all that is asked for.
func (c *laneCount) observe(now int64, st laneState) (waits bool) {
	waits = st.waited >= laneWait && st.blocked >= laneBlocked || st.shed && st.loss > muchLoss
	if c.pressed++; !waits {
		c.since, c.pressed = now, 0
	}
	if st.loss > laneLoss {
		c.lossy = now
	}
	if !st.congested {
		c.clear = now
	}
	if st.room < calmRoom || st.lanes < st.want {
		c.calm = now
	}
	return waits
}

// judging: the lanes of the last growth are there and have been for long enough to show
// what they do, but not so long that something else did it.
func (c *laneCount) judging(now int64, st laneState) bool {
	return c.grew && 2*st.lanes >= 3*c.fewer && c.tallied >= outcomes && now-c.changed < judgedFor
}

// forgive forgets what was lost so far, and what was concluded from it.
func (c *laneCount) forgive(now int64) {
	c.changed, c.useless, c.pause, c.accused = now, now, 0, accused{}
	c.grew, c.tallied, c.pressed = false, 0, 0
}

func (c *laneCount) to(now int64, want int) int {
	c.changed, c.grew, c.tallied, c.pressed = now, false, 0, 0
	return want
}

// tally returns what came of the datagrams of the last decisions, since the last change
// at most.
func (c *laneCount) tally(t tally) outcome {
	if c.tallied == 0 {
		c.recent[0] = t
	}
	first := c.recent[max(c.tallied-outcomes+1, 0)%outcomes]
	c.recent[c.tallied%outcomes] = t
	c.tallied++
	return first.until(t)
}

// growable: loss binds the windows, or they have had time to grow and did not. Beyond
// a few lanes, and where much is lost, the last growth must have shown that it did no
// harm: new lanes start faster than they go on, and what that costs must be over. Growth
// that brought as much more as there were more lanes needs no such patience.
func (c *laneCount) growable(now int64, st laneState, window outcome) bool {
	patient := c.tallied < outcomes && st.want >= provenFrom || c.pressed < 2*outcomes && st.loss > muchLoss && st.want >= fewLanes
	if patient && !(c.grew && window.pays(c.before, float64(st.lanes)/float64(c.fewer))) {
		return false
	}
	return now-c.lossy < int64(time.Second) || now-c.since > int64(500*time.Millisecond)
}

// pays tells whether this outcome, of times as many lanes, is better than the one before
// in proportion, with losses as they were.
func (o outcome) pays(before outcome, times float64) bool {
	if o.seconds <= 0 || before.seconds <= 0 || o.sent() < 50 {
		return false
	}
	gain := (o.arrived / o.seconds) / max(before.arrived/before.seconds, 1)
	return gain > 1+(times-1)*paidShare && o.loss() < before.loss()+harmfulLoss
}
