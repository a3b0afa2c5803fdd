package link

import "time"

// While much audio leaves, a datagram fills up within a millisecond, and to be woken for
// every packet costs more than the packet. Then the bundler lets audio gather: what waits
// leaves once it is worth gatherTime of the rate or gatherMost old. Below gatherFrom nothing ever waits for more.
const (
	// gatherFrom packets a second are some fifty rooms with three speakers each.
	gatherFrom, gatherUntil = 8000.0, 6000.0
	gatherTime              = 0.0015 // seconds
	gatherMost              = int64(1500 * time.Microsecond)
	gatherWindow            = int64(50 * time.Millisecond)
)

// gather measures the rate of audio. It is pure.
type gather struct {
	on    bool
	since int64
	count int
	last  int64 // when audio left
	// patience is how many packets are worth waking the bundler for, 0 when each is.
	patience int
	full     int // packets that fill a datagram, as seen last
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
	g.since, g.count, g.patience = now, 0, 0
	if g.on {
		g.patience = int(rate * gatherTime)
	}
}

// wait tells for how long n packets, the first of which waits since oldest, should gather;
// 0 if they should leave. With none it is when to look for some.
func (g *gather) wait(now int64, n int, oldest int64) time.Duration {
	switch {
	case !g.on || 4*n >= 3*g.full:
		return 0
	case n > 0:
		return time.Duration(max(gatherMost-(now-oldest), 0))
	case now-g.last < gatherMost:
		return time.Duration(gatherMost)
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
	q.patience = b.gather.patience
	return wait
}
