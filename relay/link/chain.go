package link

import (
	"time"

	"maille/relay"
)

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
	// A packet is asked for only while the answer can still be played: sound within the
	// longest playout delay of calls, pictures before a keyframe is the better repair.
	audioInTime = int64(400 * time.Millisecond)
	videoInTime = int64(time.Second)
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
	inTime  int64 // how late an answer may be, 0 for no bound

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

func newChain(kind relay.Kind) *chain {
	if kind == relay.Audio {
		return &chain{inTime: audioInTime}
	}
	return &chain{inTime: videoInTime}
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
	if ahead > 0 {
		c.newest = seq
	}
	gapped = c.follows(prev, hasPrev, now)
	if i := c.covering(seq); i >= 0 && c.gaps[i].to == seq {
		c.shrink(i, now)
	}
	return false, gapped
}

// follows notes what a packet says was sent before it; gapped tells that a new gap waits.
func (c *chain) follows(prev uint16, hasPrev bool, now int64) (gapped bool) {
	if !hasPrev || c.state(prev) != seenNothing {
		return false
	}
	behind := int16(c.newest - prev)
	if behind <= 0 || behind >= chainWindow {
		return false
	}
	*c.at(prev) = seenPacket{seq: prev, state: seenMissing}
	if c.covering(prev) >= 0 {
		return false // it is being asked for with a later one
	}
	if len(c.gaps) >= maxGaps {
		c.giveUp(0)
	}
	c.gaps = append(c.gaps, gap{from: c.unknownBefore(prev), to: prev, noticed: now, due: now + c.hold})
	return true
}

// covering is the gap that seq lies in, -1 for none.
func (c *chain) covering(seq uint16) int {
	for i := range c.gaps {
		if g := &c.gaps[i]; seq-g.from <= g.to-g.from {
			return i
		}
	}
	return -1
}

// unknownBefore is the first of the numbers right before seq of which nothing is known; seq
// itself if there are none, or so many that they were hardly sent.
func (c *chain) unknownBefore(seq uint16) uint16 {
	for n := uint16(1); n <= maxRun; n++ {
		if c.state(seq-n) != seenNothing {
			return seq - n + 1
		}
	}
	return seq
}

// filled notes that a missing packet came, and learns how late packets may be.
func (c *chain) filled(seq uint16, now int64) {
	i := c.covering(seq)
	if i < 0 {
		c.repaired++ // given up before, and yet it came
		c.revived++
		c.lost--
		return
	}
	g := &c.gaps[i]
	if g.asks == 0 {
		c.late++
		c.hold = min(max(c.hold, (now-g.noticed)*3/2), holdMax)
	} else {
		c.repaired++
		c.hold = max(c.hold-c.hold/64, holdMin)
	}
}

// shrink ends a gap at the last packet that is known to be missing in it, or closes it when
// there is none. What was asked for together comes together: the rest of an answer that
// is here is lost, and due to be asked for soon.
func (c *chain) shrink(i int, now int64) {
	g := &c.gaps[i]
	for c.state(g.to) != seenMissing {
		if g.to == g.from {
			c.remove(i)
			return
		}
		g.to--
	}
	if g.asks > 0 && g.asks < maxAsks {
		g.due = min(g.due, now+holdMax)
	}
}

func (c *chain) remove(i int) {
	copy(c.gaps[i:], c.gaps[i+1:])
	c.gaps = c.gaps[:len(c.gaps)-1]
}

// giveUp counts a gap as lost; it stays marked, so that a late arrival is told apart.
func (c *chain) giveUp(i int) {
	for seq := c.gaps[i].from; ; seq++ {
		if c.state(seq) == seenMissing {
			c.lost++
		}
		if seq == c.gaps[i].to {
			break
		}
	}
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
		if g.asks >= maxAsks || c.inTime > 0 && now+rtt-g.noticed > c.inTime {
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
