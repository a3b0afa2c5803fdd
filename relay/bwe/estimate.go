// Package bwe estimates how much a path carries, from the delay of datagrams and the
// rate at which they arrive: a path between two nodes (Estimator), which is capped
// only once a queue is seen, and one to a client (Sender), which must prove what it
// carries. It is pure: times are arguments, in nanoseconds, and nothing is sent from
// here.
package bwe

import "time"

// Sample is one datagram that arrived.
type Sample struct {
	Sent    int64 // the sender's clock
	Arrived int64 // the receiver's clock; only differences count
	Size    int   // bytes, headers included
	// Held: it may have waited between Sent and leaving; it tells the rate only.
	Held bool
}

// Estimator watches one path. It says nothing while nothing queues; once a queue
// stands it caps the pace to what arrives, lets the queue drain, and then feels its way
// up again.
//
// The queue is the smallest one-way delay of a report above the smallest of the last
// half minute. The smallest of a report, because jitter delays single datagrams, and so
// does what waits inside one of several lanes; a queue on the path delays all of them.
//
// The zero value is ready.
type Estimator struct {
	base    minWindow
	rate    rateMeter // by arrival
	pace    rateMeter // by departure
	newest  int64     // departure of the newest datagram that was reported
	usual   float64   // arrivals averaged over a second
	queue   float64   // nanoseconds
	limit   float64   // queue above which the path is overused; yields to queues of others
	cap     float64   // bytes per second; 0 is none
	settled float64   // what the path carried when it was last overused
	over    int       // reports of overuse in a row
	held    int64     // departure from which on datagrams tell what the decrease did
	cutAt   int64     // last decrease
	fullAt  int64     // last decrease for a queue
	lossy   bool
	// cuts is how many decreases there were since the queue last drained, fair what used to
	// arrive in better times.
	cuts  int
	fair  float64
	seen  int64 // last report
	ready bool
	// limited: the cap is from Limit, and no queue was seen since.
	limited bool
	silence silence
	train   train
	proof   proof
}

// proof is for a path that carries no more than was seen to arrive. The zero value asks
// for none. Rates are bytes per second.
type proof struct {
	start        float64 // the first cap; 0 asks for no proof
	least, most  float64 // bounds of the cap
	disappointed bool    // there was a decrease
	late         int     // datagrams that the queue of the last report was told from
}

const (
	// queueLimit is where overuse begins; below it, delays are jitter and our own bursts.
	queueLimit = 25e6
	// A queue shorter than queueLimit that stands while much is lost is full.
	shortQueue, shortLoss = 10e6, 0.05
	// queueLimitMax is how far the limit yields to a queue that others keep standing.
	queueLimitMax = 300e6
	// overReports in a row make overuse: one may be a burst.
	overReports = 2
	// congestedAt is a queue that adding senders would only make longer.
	congestedAt = 50e6
	// drainWithin sets how hard a standing queue is drained: a queue of half as much
	// halves the pace.
	drainWithin       = 400e6
	cutMost, cutLeast = 0.35, 0.9
	cutFloor          = 0.4
	// leastDrain is the time in which a decrease shows in the queue.
	leastDrain = 100e6
	// yieldAfter decreases that did not drain the queue, it is somebody else's.
	yieldAfter = 3
	// fairFor is how many seconds better times are remembered.
	fairFor = 20
	// relaxing is how fast a limit that has yielded comes back, per second.
	relaxing = 0.5
	// maxGrowth is the fastest growth per second, reached after long calm. A wrong guess
	// costs a queue of queueLimit for a round trip.
	slowGrowth, maxGrowth = 0.02, 0.6
	// minCap keeps three speakers and a little more going, in bytes per second.
	minCap = 25_000
	// On a slow path a packet takes long by itself: a queue of so many is none.
	slackPackets, fullPacket, slackMost = 1.5, 1250, 120e6
	// aFlood is a queue that one report is enough to believe in, of a path that reports
	// rarely.
	aFlood = 4 * queueLimit
	// averageOver is the time of a client's average, in seconds.
	averageOver = 0.5
	// floodSamples are so many datagrams that all waited: fewer may have met a client that
	// was busy for a moment.
	floodSamples = 5
	// stretch is how far beyond what arrives the cap of a path that needs proof grows by
	// itself: the next picture is larger than the last.
	stretch, leap = 1.25, 1.5
	// stretchAfter a decrease the whole of it is allowed: before, the next picture that is
	// larger is likely to be too large again.
	stretchAfter = 5e9
	// exceedShare of what is allowed is more than that.
	exceedShare = 1.1
	// idleShare of what was carried before is little.
	idleShare = 0.85
	// lastingShare of what is carried can be relied on.
	lastingShare = 0.85
	// headroom is what may be used beyond twice what is, in bytes per second, so that an
	// idle link lets a burst through.
	headroom = 125_000
)

// Report takes the datagrams that one report says have arrived, and the share of those
// sent lately that did not.
func (e *Estimator) Report(now int64, loss float64, samples []Sample) {
	least, newest, ok := e.take(now, samples)
	if !ok {
		return
	}
	e.newest = newest
	queue, excused := e.silence.excuse(now, e.pace.mean(), float64(least-e.base.add(now, least)), e.queue)
	e.queue = queue
	if !e.ready {
		e.ready, e.limit, e.seen, e.cutAt, e.held = true, queueLimit, now, now, now
		e.cap = e.proof.start
		return
	}
	dt := min(float64(now-e.seen), 100e6) / 1e9
	e.average(now, dt, samples)
	e.seen = now
	e.fair = max(e.fair*(1-dt/fairFor), e.usual)
	e.relax(dt)
	e.lossy = loss > shortLoss
	if !excused {
		e.decide(now, dt)
	}
}

// average keeps usual.
func (e *Estimator) average(now int64, dt float64, samples []Sample) {
	if e.proof.start == 0 {
		e.usual += (e.rate.mean() - e.usual) * min(dt, 1)
		return
	}
	// Rare reports tell of bursts: what came within the last moment says little.
	bytes := 0
	for _, s := range samples {
		bytes += s.Size
	}
	passed := max(float64(now-e.seen)/1e9, 0.01)
	e.usual += (float64(bytes)/passed - e.usual) * min(passed/averageOver, 1)
}

// take counts the datagrams, and returns the least delay and the newest departure.
func (e *Estimator) take(now int64, samples []Sample) (least, newest int64, ok bool) {
	const none = 1<<63 - 1
	least, newest = none, -none
	oldest := int64(none)
	e.train = train{}
	for _, s := range samples {
		e.rate.add(s.Arrived, s.Size)
		e.pace.add(s.Sent, s.Size)
		if !s.Held {
			delay := s.Arrived - s.Sent
			e.silence.came(s.Arrived, float64(delay-e.base.least()), s.Size)
			e.train.came(s.Arrived, delay, s.Size)
			least = min(least, s.Arrived-s.Sent)
			newest, oldest = max(newest, s.Sent), min(oldest, s.Sent)
		}
	}
	if e.proof.start > 0 && least != none {
		// These reports tell of a long time: its second half is what counts.
		e.base.add(now, least)
		least = none
		e.proof.late = 0
		for _, s := range samples {
			if s.Sent >= oldest+(newest-oldest)/2 {
				least = min(least, s.Arrived-s.Sent)
				e.proof.late++
			}
		}
	}
	return least, newest, least != none
}

// relax lets a limit that has yielded come back once the others' queue is gone.
func (e *Estimator) relax(dt float64) {
	if e.queue < e.limit/2 {
		e.limit = max(e.limit*(1-relaxing*dt), queueLimit)
	}
}

// cut gives way. When that has not helped repeatedly, the queue is not ours, and a flow
// that fills any queue would take the whole path: then the limit yields instead, and
// what was given up is taken back.
func (e *Estimator) cut(now int64) {
	e.limited, e.proof.disappointed = false, true
	e.cutAt, e.fullAt = now, now
	if !e.exceeded() {
		e.cuts++
	}
	if e.cuts > yieldAfter {
		e.cuts = 0
		e.limit = min(1.4*e.queue, queueLimitMax)
		e.cap = max(e.cap, 0.5*e.fair)
		e.settled = e.cap
		e.held = now
		return
	}
	e.settle()
	if e.proof.start > 0 {
		e.usual = min(e.usual, e.settled) // what arrived before tells of what the path was
	}
	queue := e.coming(now)
	share := 1 - queue/drainWithin
	if e.limit > 2*queueLimit {
		share = cutLeast // the queue is mostly others'
	}
	e.cap = max(e.settled*min(max(share, cutMost), cutLeast), e.floor())
	// Nothing is learnt from what was sent before the queue had time to drain.
	e.held = now + int64(min(max(queue, leastDrain), queueLimitMax))
}

// carried is what arrives now, which is what the path carries while a queue stands. A
// path that freezes and then delivers all at once looks as if it carried nothing, hence
// the floor.
func (e *Estimator) carried() float64 { return max(e.recent(), cutFloor*e.usual) }

// recent is what arrived of late, by a window that a silence and what comes at once after
// it do not fill. Two packets with a gap before them may look like that on a slow path, and
// tell too much.
func (e *Estimator) recent() float64 {
	recent := e.rate.recent()
	if rate, ok := e.silence.rate(); ok {
		return min(rate, recent)
	}
	return recent
}

// exceeded tells that more is sent than was allowed, because it could not wait: then a
// queue or a loss that stays is no surprise.
func (e *Estimator) exceeded() bool {
	return e.proof.start > 0 && e.pace.mean() > exceedShare*e.cap
}

// settle takes what arrives for what the path carries. On a path that needs proof, when
// no more was sent than what arrived and little of either, that says nothing: something
// sent before, or the client itself, makes them late.
func (e *Estimator) settle() {
	carried := e.carried()
	sent := e.pace.recent()
	if e.proof.start > 0 && carried < idleShare*e.settled && sent < idleShare*e.settled && carried > 0.95*sent {
		carried = idleShare * e.settled
	}
	if e.proof.start > 0 && e.train.narrow(e.usual) {
		carried = min(carried, e.train.rate()) // what came before is of a path that is no more
	}
	if e.proof.start > 0 {
		// Arrivals can be told closer together than they were; what left cannot.
		carried = min(carried, max(e.cap, stretch*e.usual, stretch*e.pace.mean()))
	}
	e.settled = carried
}

// coming is the queue that what is under way will have met: reports are older than the
// path is long by the queue itself.
func (e *Estimator) coming(now int64) float64 {
	excess := 0.0
	if e.settled > 0 {
		excess = max(e.pace.recent()/e.settled-1, 0)
	}
	return e.queue + excess*float64(now-e.newest)
}

func (e *Estimator) decide(now int64, dt float64) {
	limit := e.limit
	if e.lossy {
		limit = min(limit, shortQueue)
	}
	limit += e.slack(e.settled)
	switch {
	case e.queue <= limit:
		e.over = 0
	case e.queue > aFlood && e.proof.late >= floodSamples,
		e.proof.start > 0 && e.train.narrow(e.usual):
		e.over += overReports
	default:
		e.over++
	}
	if e.queue < queueLimit/2+e.slack(e.settled) {
		e.cuts = 0 // it drained: the queue was ours
	}
	switch {
	case e.over >= overReports && e.newest >= e.held:
		e.cut(now)
	case e.over >= overReports && e.cap > 1.1*e.recent():
		// The path became smaller than the last cut knew.
		e.settle()
		e.cap = max(e.settled*cutMost, e.floor())
		e.held = max(e.held, now+int64(leastDrain))
	case e.cap > 0 && e.newest >= e.held && e.calm():
		e.raise(now, dt)
	}
}

// slack is the queue that a few full packets make on a slow path; on one between nodes
// it is nothing.
func (e *Estimator) slack(rate float64) float64 {
	if e.proof.start == 0 || rate == 0 {
		return 0
	}
	return min(slackPackets*fullPacket/rate*1e9, slackMost)
}

// calm tells that nothing queues.
func (e *Estimator) calm() bool { return e.queue <= e.calmQueue()+e.slack(e.settled) }

// calmQueue is the queue up to which the cap may grow.
func (e *Estimator) calmQueue() float64 {
	if e.limit > 2*queueLimit {
		return 0.95 * e.limit
	}
	return e.limit / 2
}

// raise grows the cap: quickly towards what the path carried before, slowly just beyond
// it, and faster the longer that has been fine.
func (e *Estimator) raise(now int64, dt float64) {
	if e.proof.start > 0 && e.cap >= 0.95*e.settled {
		e.follow(now)
		return
	}
	calm := float64(now-e.cutAt) / 1e9
	switch {
	case e.cap < 0.95*e.settled:
		e.cap = min(e.cap*(1+2*dt), 0.95*e.settled)
	case calm < 1.5:
		e.cap *= 1 + slowGrowth*dt
	default:
		e.cap *= 1 + min(0.05*calm, maxGrowth)*dt
	}
	// What is not used cannot be known to fit.
	if most := max(2*e.rate.mean()+headroom, 0.95*e.settled); calm > 3 {
		e.cap = min(e.cap, most)
	}
}

// follow lets the cap of a path that needs proof follow what arrives. Until it once was
// too much that is half as much again of the newest, so that a good path is used soon.
func (e *Estimator) follow(now int64) {
	if !e.proof.disappointed {
		e.prove(leap * e.usual)
		return
	}
	e.prove((1 + (stretch-1)*min(float64(now-e.fullAt)/stretchAfter, 1)) * e.usual)
}

// rest is for a path on which nothing was sent for a while.
func (e *Estimator) rest() {
	e.queue, e.over = 0, 0
	e.prove(0.95 * e.settled)
}

// prove raises the cap to a rate that was seen to arrive.
func (e *Estimator) prove(rate float64) {
	e.cap = min(max(e.cap, rate), e.proof.most)
}

// floor is the least cap.
func (e *Estimator) floor() float64 {
	if e.proof.start > 0 {
		return e.proof.least
	}
	return minCap
}

// lasting is the cap without what is left free for a moment to drain a queue.
func (e *Estimator) lasting() float64 {
	return max(e.cap, min(lastingShare*e.settled, e.proof.most))
}

// Cap is what may be sent on the whole path, in bytes per second; 0 is no limit.
func (e *Estimator) Cap() float64 { return e.cap }

// Queue is the delay of the queue that stands on the path.
func (e *Estimator) Queue() time.Duration { return time.Duration(e.queue) }

// Delivered is what arrives, in bytes per second.
func (e *Estimator) Delivered() float64 { return e.rate.mean() }

// Congested tells that the path's queue is such that nothing should be added to it.
func (e *Estimator) Congested() bool { return e.queue > congestedAt }

// Limit caps the path to what arrives now, for reasons that delays do not show.
func (e *Estimator) Limit(now int64) {
	if !e.ready {
		return
	}
	e.settled = max(e.rate.mean(), e.floor())
	e.limited = e.limited || e.cap == 0
	if e.cutAt = now; e.cap == 0 || e.cap > e.settled || e.proof.start == 0 {
		e.cap = e.settled
	}
}

// Unlimit undoes Limit, unless a queue limited the path before or since.
func (e *Estimator) Unlimit() {
	if e.limited {
		e.cap, e.settled, e.limited = 0, 0, false
	}
}
