package missing

const (
	// gapWait is how long a missing packet may just be late: reordering on real paths is
	// below a few milliseconds.
	gapWait = 10 * 1e6 // nanoseconds
	// gapAgain spaces requests for one packet: a round trip to a far client.
	gapAgain = 80 * 1e6 // nanoseconds
	// gapTries bounds them; what half a second did not bring, a keyframe must.
	gapTries = 6
	// maxGaps bounds what is missing at once. A larger hole is not filled packet by
	// packet: the stream goes on behind it.
	maxGaps = 128
)

// Gaps finds what is missing in one received stream. Unlike pion's generator it is told of repaired packets too, and stops asking.
type Gaps struct {
	begun  bool
	newest uint16
	list   []gap // oldest first
}

type gap struct {
	seq   uint16
	tries uint8
	next  int64 // when to ask (again)
}

// Seen notes a packet, true when it leaves packets missing before it.
func (g *Gaps) Seen(seq uint16, now int64) (opened bool) {
	ahead := int16(seq - g.newest)
	switch {
	case !g.begun:
		g.begun, g.newest = true, seq
	case ahead > 0:
		if int(ahead)-1+len(g.list) > maxGaps {
			g.list = g.list[:0]
		} else {
			for missing := g.newest + 1; missing != seq; missing++ {
				g.list = append(g.list, gap{seq: missing, next: now + gapWait})
				opened = true
			}
		}
		g.newest = seq
	case ahead < 0:
		for i := range g.list {
			if g.list[i].seq == seq {
				g.list = append(g.list[:i], g.list[i+1:]...)
				break
			}
		}
	}
	return opened
}

// Due appends to dst what is to be asked for at now, and forgets what was asked for
// often enough. more is false when nothing is missing any more.
func (g *Gaps) Due(now int64, dst []uint16) (_ []uint16, more bool) {
	keep := g.list[:0]
	for _, m := range g.list {
		if m.next <= now {
			if m.tries == gapTries {
				continue
			}
			dst = append(dst, m.seq)
			m.tries++
			m.next = now + gapAgain
		}
		keep = append(keep, m)
	}
	g.list = keep
	return dst, len(keep) > 0
}
