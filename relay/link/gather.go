package link

import "time"

// While much audio leaves, a datagram fills up within a millisecond, and to be woken for
// every packet costs more than the packet. Then the bundler works in rounds: what waits
// leaves when the oldest of it has waited for gatherFor, which those that push see, or for
// gatherMost, if none push. Below gatherFrom nothing ever waits for more.
//
// That is an exception to the rule that nothing waits for more to come, and what it is for:
// of both ends together, against a plain QUIC connection with a packet a datagram, 40,000
// packets a second that come in heaps took 1.60 times the processor time without rounds and
// 1.0 to 1.25 with them, 10,000 that come one by one take 0.4 to 0.6, and a packet waits a
// tenth of the frame of sound in it at most. In heaps 10,000 take 0.9 to 1.4 times as much
// all the same: quic-go then puts seven of them into a packet of QUIC's by itself.
const (
	// gatherFrom packets a second are some thirty rooms with three speakers each.
	gatherFrom, gatherUntil = 4000.0, 3000.0
	// gatherFor is a little less than a millisecond, the tick of much that offers packets.
	gatherFor = int64(900 * time.Microsecond)
	// gatherMost is more, so that its timer seldom has to wake anybody.
	gatherMost   = int64(1900 * time.Microsecond)
	gatherWindow = int64(50 * time.Millisecond)
	// gatherFull packets leave at once: they fill what QUIC takes at once.
	gatherFull = 128
)

// gather measures the rate of audio. It is pure.
type gather struct {
	on    bool
	since int64
	count int
	last  int64 // when audio left
	full  int   // packets that fill a datagram, as seen last
	round bool  // what waits leaves, save what does not fill a datagram
}

// took notes a packet of audio that leaves.
func (g *gather) took(now int64) { g.count, g.last = g.count+1, now }

// judge follows the rate.
func (g *gather) judge(now int64) {
	if now-g.since < gatherWindow {
		return
	}
	rate := float64(g.count) * 1e9 / float64(now-g.since)
	g.on = rate >= gatherFrom || g.on && rate >= gatherUntil
	g.since, g.count = now, 0
}

// wait tells for how long n packets, the first of which waits since oldest, should gather;
// 0 if they should leave. With none it is when to look for some.
func (g *gather) wait(now int64, n int, oldest int64) time.Duration {
	switch {
	case !g.on:
		return 0
	case n >= gatherFull, n > 0 && now-oldest >= gatherFor, n > 0 && g.round && 4*n >= 3*g.full:
		g.round = true
		return 0
	case n > 0:
		g.round = false
		return time.Duration(gatherMost - (now - oldest))
	case now-g.last < 2*gatherMost:
		return time.Duration(2 * gatherMost)
	}
	*g = gather{since: now, full: g.full} // the rush is over
	return 0
}

// gathers tells for how long audio should wait for more, while nothing else waits; 0 if it
// should not.
func (b *bundler) gathers(now int64) time.Duration {
	q := &b.s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	n, oldest := q.audio.len(), now
	if n > 0 {
		oldest = q.audio.first().at
	}
	if b.audio.p != nil {
		n, oldest = n+1, b.audio.at
	}
	b.gather.judge(now)
	wait := b.gather.wait(now, n, oldest)
	q.gathers, q.gathering = b.gather.on, 0
	if n > 0 {
		q.gathering = oldest
	}
	return wait
}

// gathered tells whether audio that was just queued should wake the bundler.
func (q *queue) gathered(now int64) bool {
	if q.gathering == 0 {
		q.gathering = now
	}
	return !q.gathers || now-q.gathering >= gatherFor || q.audio.len() >= gatherFull
}
