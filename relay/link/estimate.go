package link

import "time"

// estimator finds how much one path carries, from what the peer reports of our
// datagrams: their delay and the rate at which they came. It caps the pace of all
// lanes together, because lanes alone answer congestion too late. It is pure: times
// are arguments, in nanoseconds.
//
// The queue on the path is the smallest one-way delay of a report above the smallest
// ever seen. The smallest of a report, because what waits inside one lane delays that
// lane only, and jitter delays single packets; a queue on the path delays all of them.
type estimator struct {
	base    minWindow // smallest one-way delays, clock offset included
	queue   float64   // queue on the path, nanoseconds
	limit   float64   // queue above which the path is overused, adapts to others' queues
	rate    rateMeter // as it arrived
	cap     float64   // bytes per second; 0 is none
	over    int       // consecutive reports of overuse
	held    int64     // no increase before
	cutAt   int64     // last decrease
	rose    int64     // last increase
	settled float64   // what the path carried when it was last overused
	ready   bool
}

// sample is one datagram that arrived.
type sample struct {
	sent    int64 // our clock
	arrived int64 // the peer's clock
	size    int
}

const (
	// queueLimit is where overuse begins; below it, delays are jitter and bursts of ours.
	queueLimit = 25e6
	// queueLimitMax is how far the limit yields to a queue that others keep standing.
	queueLimitMax = 300e6
	// overReports in a row make overuse: one may be a burst.
	overReports = 2
	// drainWithin sets how hard a standing queue is drained.
	drainWithin = 400e6
	// rateWindow is what the delivered rate is averaged over.
	rateWindow = 200 * time.Millisecond
	minCap     = 25_000 // bytes per second: audio of three speakers and a little more
)

// report takes the datagrams that one report says have arrived, and the round trip.
func (e *estimator) report(now, rtt int64, samples []sample) {
	if len(samples) == 0 {
		return
	}
	least := samples[0].arrived - samples[0].sent
	for _, s := range samples {
		least = min(least, s.arrived-s.sent)
		e.rate.add(s.arrived, s.size)
	}
	base := e.base.add(now, least)
	e.queue = float64(least - base)
	if !e.ready {
		e.ready, e.limit, e.rose, e.cutAt, e.held = true, queueLimit, now, now, now
		return
	}
	e.adapt(now)
	e.decide(now, rtt)
	e.rose = now
}

// adapt lets the limit follow a queue that stays although we give way, and come back
// when it is gone. Otherwise a flow that fills the queue would take everything.
func (e *estimator) adapt(now int64) {
	dt := min(float64(now-e.rose), 100e6) / 1e9
	gain := 0.6
	if e.queue > e.limit {
		gain = 0.12
	}
	e.limit += (e.queue - e.limit) * gain * dt
	e.limit = min(max(e.limit, queueLimit), queueLimitMax)
}

func (e *estimator) decide(now, rtt int64) {
	delivered := e.rate.perSecond()
	if e.queue > e.limit {
		e.over++
	} else {
		e.over = 0
	}
	switch {
	case e.over >= overReports && now >= e.held:
		e.settled = delivered
		share := 1 - e.queue/drainWithin
		e.cap = max(delivered*min(max(share, 0.5), 0.85), minCap)
		e.cutAt = now
		// Nothing is learnt before the cut has travelled and the queue had time to drain.
		e.held = now + rtt + int64(min(e.queue, 300e6))
	case e.cap == 0 || now < e.held || e.queue > e.limit/2:
	default:
		e.raise(now, delivered)
	}
}

// raise grows the cap: quickly towards what the path carried before, slowly beyond it,
// quickly again when that has long been fine.
func (e *estimator) raise(now int64, delivered float64) {
	dt := min(float64(now-e.rose), 100e6) / 1e9
	calm := float64(now-e.cutAt) / 1e9
	switch {
	case e.cap < 0.92*e.settled:
		e.cap *= 1 + 2.0*dt
		e.cap = min(e.cap, 0.95*e.settled)
	case calm < 3:
		e.cap *= 1 + 0.02*dt
	default:
		e.cap *= 1 + 0.08*min(calm/3, 4)*dt
	}
	// What is not used cannot be known to fit.
	if most := 2*delivered + 125_000; e.cap > most && calm > 3 {
		e.cap = max(most, 0.95*e.settled)
	}
}

// congested tells that a queue stands on the path: no lane should be added.
func (e *estimator) congested() bool { return e.ready && e.queue > 50e6 }

// minWindow is the minimum over the last twenty to thirty seconds: long enough to
// remember an empty queue, short enough to follow a route change and clock drift.
type minWindow struct {
	slots [3]int64
	began int64
	begun bool
}

const minSlot = int64(10 * time.Second)

func (m *minWindow) add(now, v int64) (least int64) {
	if !m.begun {
		m.begun, m.began, m.slots = true, now, [3]int64{v, v, v}
	}
	if now-m.began > minSlot {
		m.slots = [3]int64{m.slots[1], m.slots[2], v}
		m.began = now
	}
	m.slots[2] = min(m.slots[2], v)
	return min(m.slots[0], m.slots[1], m.slots[2])
}

// rateMeter measures a rate over rateWindow of the times it is given, which need not
// come in order.
type rateMeter struct {
	slots  [rateSlots + 1]float64
	newest int64 // slot number
	begun  bool
}

const (
	rateSlots = 10
	rateSlot  = int64(rateWindow) / rateSlots
)

func (m *rateMeter) add(at int64, size int) {
	slot := at / rateSlot
	if !m.begun || slot-m.newest > rateSlots {
		m.begun, m.newest = true, slot
		clear(m.slots[:])
	}
	for m.newest < slot {
		m.newest++
		m.slots[m.newest%int64(len(m.slots))] = 0
	}
	if m.newest-slot < int64(len(m.slots)) {
		m.slots[slot%int64(len(m.slots))] += float64(size)
	}
}

// perSecond leaves the newest slot out: it is not over yet.
func (m *rateMeter) perSecond() float64 {
	sum := -m.slots[m.newest%int64(len(m.slots))]
	for _, s := range m.slots {
		sum += s
	}
	return sum / rateWindow.Seconds()
}
