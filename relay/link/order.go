package link

import (
	"time"

	"maille/relay"
)

// Packets on different lanes overtake each other, and a player takes what was overtaken
// for lost. So a stream stays on its lane while that has room and the stream does not
// pause, and the receiver puts the rest in order as far as that costs little.
const (
	// flowletPause is more than lanes differ in delay: after it a stream may change lanes.
	flowletPause = int64(8 * time.Millisecond)
	// maxWaiting bounds the packets of an encoding that wait for an earlier one.
	maxWaiting = 64
)

// binding is the lane that an encoding of a stream was last sent on.
type binding struct {
	l  *lane
	at int64
}

// lane returns the lane the packet should follow its stream on, nil for any.
func (o *outStream) lane(e entry, now int64) *lane {
	b := &o.bound[e.p.Encoding]
	if e.repair || now-b.at > flowletPause {
		return nil
	}
	return b.l
}

// apart returns a lane for a repair other than the one its stream is on, whose window the
// loss has shut or will; l if there is none with room.
func (b *bundler) apart(e entry, l *lane, now int64) *lane {
	was := e.out.bound[e.p.Encoding].l
	if l != was {
		return l
	}
	best := l
	for _, o := range b.s.lanes.all() {
		o.refresh(now)
		o.bucket.advance(now)
		if o != was && o.free() && (best == was || o.load() < best.load()) {
			best = o
		}
	}
	return best
}

// awaits tells whether a packet before seq is missing that may only be late.
func (c *chain) awaits(seq uint16) bool {
	for i := range c.gaps {
		if g := &c.gaps[i]; g.asks == 0 && (int16(seq-g.to) > 0 || c.lacks(g.from, seq)) {
			return true
		}
	}
	return false
}

// lacks tells whether a packet from from on and before seq is known to be missing.
func (c *chain) lacks(from, seq uint16) bool {
	for ; int16(seq-from) > 0; from++ {
		if c.state(from) == seenMissing {
			return true
		}
	}
	return false
}

// inEncoding is one encoding of an Upstream. Packets are pushed under its mutex, so that
// those of several lanes keep their order.
type inEncoding struct {
	*chain
	ssrc    uint32
	waiting []*relay.Packet // for earlier ones, in order
	over    bool
}

// deliver pushes a packet and those that waited for it, or makes it wait. Audio does not
// wait: its packets are further apart than lanes differ.
func (u *Upstream) deliver(in *inEncoding, p *relay.Packet) {
	if u.track.Kind() != relay.Video || in.over || !in.awaits(p.Seq) {
		u.track.Push(p)
		u.release(in, false)
		return
	}
	i := len(in.waiting)
	for i > 0 && int16(p.Seq-in.waiting[i-1].Seq) < 0 {
		i--
	}
	in.waiting = append(in.waiting, nil)
	copy(in.waiting[i+1:], in.waiting[i:])
	in.waiting[i] = p
	if len(in.waiting) > maxWaiting {
		u.release(in, true)
	}
}

// release pushes what waits for nothing any more, or all.
func (u *Upstream) release(in *inEncoding, all bool) {
	n := 0
	for n < len(in.waiting) && (all || !in.awaits(in.waiting[n].Seq)) {
		u.track.Push(in.waiting[n])
		n++
	}
	if n > 0 {
		rest := copy(in.waiting, in.waiting[n:])
		clear(in.waiting[rest:])
		in.waiting = in.waiting[:rest]
	}
}

// flush ends the waiting: what comes from now on is pushed as it comes.
func (u *Upstream) flush() {
	for i := range u.in {
		in := &u.in[i]
		in.Lock()
		in.over = true
		u.release(&in.inEncoding, true)
		in.Unlock()
	}
}
