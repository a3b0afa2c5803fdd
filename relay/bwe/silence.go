package bwe

const (
	// leastSilence is a silence worth looking at.
	leastSilence = 20e6
	// explains is the share of a delay that a silence must make up to be its cause.
	explains = 0.7
	// unusual is how much larger than others a step of the delay is that nothing but a
	// silence makes.
	unusual   = 2
	stepsFade = 200e6 // nanoseconds in which a step is forgotten
	// clumpRate is how much faster than it was sent arrives what waited out a silence.
	clumpRate = 2
	// excusedMost bounds how long delays are excused in one go.
	excusedMost = int64(1e9)
	// After a silence, windows as short as shortWindow tell no rate.
	shortWindow = int64(recentSlots+1) * rateSlot
)

// silence tells a machine that did not run from a path that is full. Both delay packets,
// but a path that is full goes on delivering, at the rate that it carries. Where either
// end stands still, nothing arrives for as long as the delay grows, and then everything at
// once, faster than it was sent: what comes at such a rate has not waited for want of it.
// Until all of it came, nothing is known of the queue.
//
// It can only keep a cap from being lowered; whoever fakes silences gains no more than by
// reports without any delay.
type silence struct {
	begun       bool
	last        int64   // newest arrival
	delay       float64 // of it
	steps       float64 // by which delays grew from one packet to the next of late
	began, upTo int64   // arrivals before and after the newest silence
	since       float64 // bytes that came after it
	open        bool    // what waited it out may still be arriving
	excused     int64   // since when reports are, 0 if the last one was not
}

// came takes an arrival with its delay above the path's own.
func (s *silence) came(at int64, delay float64, size int) {
	gap, step := float64(at-s.last), delay-s.delay
	switch {
	case !s.begun || gap < -float64(shortWindow):
		*s = silence{begun: true, last: at, delay: delay}
		return
	case gap < 0:
		s.since += float64(size)
		return
	case step > leastSilence && gap >= explains*step && (gap >= explains*delay || step >= unusual*s.steps):
		s.open, s.began, s.upTo, s.since = true, s.last, at, float64(size)
	default:
		s.since += float64(size)
	}
	s.steps = max(s.steps*max(1-gap/stepsFade, 0), step)
	s.last, s.delay = at, delay
}

// excuse returns the queue that is known: the one of before while what came last is the
// clump after a silence. pace is what was sent of late, in bytes per second.
func (s *silence) excuse(now int64, pace, queue, before float64) (known float64, excused bool) {
	passed := float64(s.last-s.upTo) / 1e9
	s.open = s.open && s.since >= clumpRate*pace*passed
	switch {
	case !s.open || queue <= leastSilence:
		s.excused = 0
		return queue, false
	case s.excused == 0:
		s.excused = now
	case now-s.excused > excusedMost:
		return queue, false
	}
	return min(before, queue), true
}

// rate is what arrived since the newest silence began, in bytes per second; false when
// that was long ago.
func (s *silence) rate() (float64, bool) {
	if s.upTo == 0 || s.last-s.upTo > shortWindow {
		return 0, false
	}
	return s.since / (float64(s.last-s.began) / 1e9), true
}
