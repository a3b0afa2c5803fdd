package link

import "time"

const (
	// chainWindow is how far back a packet can be told from a duplicate and a gap can
	// still be repaired; two seconds of the busiest layer.
	chainWindow = 1024
	// maxGaps bounds the gaps of one encoding that wait for repair; beyond it the path is
	// too bad, and the oldest is given up.
	maxGaps = 64
	// maxRun bounds the unknown packets asked for along with a known one; a longer hole is
	// more likely a layer that was not sent.
	maxRun = 128
	// maxAsks is how often a gap is asked for.
	maxAsks = 2
	// Packets on other lanes overtake each other; a gap waits this long for what is only
	// late. The wait follows what is seen, within these bounds.
	holdMin = int64(3 * time.Millisecond)
	holdMax = int64(15 * time.Millisecond)
	// chainIdle is how long an encoding may send nothing before it starts anew: until then
	// its sequence numbers cannot have wrapped, 3,000 packets a second.
	chainIdle = int64(10 * time.Second)
	// repairDeadline is when a gap is given up, after the round trips of its requests.
	repairDeadline = int64(150 * time.Millisecond)
)

// chain follows one encoding of a stream as it comes in: which sequence numbers came,
// and where the sender says that one was sent which did not come.
type chain struct {
	seen    [chainWindow]seenPacket
	newest  uint16
	started bool
	heard   int64 // when the last packet came
	gaps    []gap
	hold    int64 // current wait before a gap is asked for

	received, duplicates, repaired, revived, late, lost uint64
}

type seenPacket struct {
	seq   uint16
	state uint8
}

const (
	seenNothing = iota
	seenReceived
	seenMissing
)

// gap is a packet known to be missing, and the unknown ones right before it that may
// be: [from, to], where to was named by a prev.
type gap struct {
	from, to uint16
	noticed  int64
	due      int64 // when it is asked for, or given up
	asks     uint8
}

func (c *chain) at(seq uint16) *seenPacket { return &c.seen[seq%chainWindow] }

func (c *chain) state(seq uint16) uint8 {
	if s := c.at(seq); s.seq == seq {
		return s.state
	}
	return seenNothing
}

// got notes a packet. duplicate packets go no further; gap tells that a new gap waits.
func (c *chain) got(seq, prev uint16, hasPrev bool, now int64) (duplicate, gapped bool) {
	if c.started && now-c.heard > chainIdle {
		c.seen, c.gaps, c.started = [chainWindow]seenPacket{}, c.gaps[:0], false
		hasPrev = hasPrev && prev != c.newest && seq-prev <= maxRun // what came before is no loss
	}
	c.heard = now
	if !c.started {
		c.started, c.newest, c.hold = true, seq-1, holdMin
		if hasPrev {
			c.newest = prev - 1
		}
	}
	ahead := int16(seq - c.newest)
	if ahead <= -chainWindow {
		c.late++
		return false, false
	}
	switch c.state(seq) {
	case seenReceived:
		c.duplicates++
		return true, false
	case seenMissing:
		c.filled(seq, now)
	}
	c.received++
	*c.at(seq) = seenPacket{seq: seq, state: seenReceived}
	known := c.newest
	if ahead > 0 {
		c.newest = seq
	}
	if !hasPrev || c.state(prev) != seenNothing {
		return false, false
	}
	behind := int16(c.newest - prev)
	if behind <= 0 || behind >= chainWindow {
		return false, false
	}
	g := gap{from: prev, to: prev, noticed: now, due: now + c.hold}
	if run := int16(prev - known); run > 0 && run <= maxRun {
		g.from = known + 1
	}
	*c.at(prev) = seenPacket{seq: prev, state: seenMissing}
	if len(c.gaps) >= maxGaps {
		c.giveUp(0)
	}
	c.gaps = append(c.gaps, g)
	return false, true
}

// filled closes the gap that waited for seq, and learns how late packets may be.
func (c *chain) filled(seq uint16, now int64) {
	for i := range c.gaps {
		g := &c.gaps[i]
		if g.to != seq {
			continue
		}
		if g.asks == 0 {
			c.late++
			c.hold = min(max(c.hold, (now-g.noticed)*3/2), holdMax)
		} else {
			c.repaired++
			c.hold = max(c.hold-c.hold/64, holdMin)
		}
		c.remove(i)
		return
	}
	c.repaired++ // given up before, and yet it came
	c.revived++
	c.lost--
}

func (c *chain) remove(i int) {
	copy(c.gaps[i:], c.gaps[i+1:])
	c.gaps = c.gaps[:len(c.gaps)-1]
}

// giveUp counts a gap as lost; it stays marked, so that a late arrival is told apart.
func (c *chain) giveUp(i int) {
	c.lost++
	c.remove(i)
}

// due calls ask for every gap whose time has come, gives up what is too old, and
// returns when to come again, or never.
func (c *chain) due(now, rtt int64, ask func(from uint16, mask uint32)) (next int64) {
	next = never
	for i := 0; i < len(c.gaps); {
		g := &c.gaps[i]
		if now < g.due {
			next = min(next, g.due)
			i++
			continue
		}
		if g.asks >= maxAsks {
			c.giveUp(i)
			continue
		}
		c.askFor(g, ask)
		g.asks++
		g.due = now + rtt + rtt/8 + int64(10*time.Millisecond)
		if g.asks == maxAsks {
			g.due = now + rtt + repairDeadline
		}
		next = min(next, g.due)
		i++
	}
	return next
}

// askFor asks for what of a gap has not come.
func (c *chain) askFor(g *gap, ask func(from uint16, mask uint32)) {
	from, mask := g.from, uint32(0)
	for seq := g.from; ; seq++ {
		if seq-from == 32 {
			if mask != 0 {
				ask(from, mask)
			}
			from, mask = seq, 0
		}
		if c.state(seq) != seenReceived {
			mask |= 1 << (seq - from)
		}
		if seq == g.to {
			break
		}
	}
	ask(from, mask)
}

const never = int64(1)<<62 - 1
