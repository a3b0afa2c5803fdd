// Package ring keeps the last packets of one encoding, so that a NACK is answered
// from the nearest node and a newcomer gets the running group of pictures.
//
// A ring is bounded by number and by age, tells duplicates and late packets apart,
// and counts gaps across wrap and reorder (RFC 3550 appendix A.1). Whatever the
// sequence numbers do, a packet costs no more than a walk through the ring.
package ring

import (
	"math/bits"

	"maille/relay"
)

// Verdict is what a packet's sequence number says about it.
type Verdict uint8

const (
	Fresh     Verdict = iota // newer than all before
	Filled                   // late or resent, fills a gap
	Duplicate                // seen before
	Late                     // older than the ring reaches, or an implausible jump
)

// maxJump is how far forward a sequence number may leap and still be the same
// stream (MAX_DROPOUT of RFC 3550 appendix A.1). A farther one restarts the ring,
// but only when the next packet confirms it.
const maxJump = 3000

// idle is how long, in nanoseconds, a stream may send nothing and still go on from
// where it was. After that its numbers may have wrapped, and what is held is too old
// to compare them with: a speaker silent for minutes, an encoding nobody watched.
const idle = 10 * 1e9

// Ring holds packets of one sequence space. It is not safe for concurrent use.
type Ring struct {
	slots []slot
	mask  int64
	age   int64 // nanoseconds a packet is kept

	started bool
	ssrc    uint32
	arrived int64 // when the last packet came
	tail    int64 // no packet below is held
	newest  int64 // extended sequence number of the newest packet

	first    int64  // where counting began
	received uint64 // distinct packets since first
	lost     uint64 // gaps of the sequence spaces before the last restart

	// A lone packet far out of range; the stream restarts if its successor comes.
	suspect    uint16
	suspicious bool
}

// slot remembers which packet it saw even after that was let go for its age, so
// that its duplicates are still known.
type slot struct {
	ext     int64
	p       *relay.Packet
	omitted bool // left out upstream, never a packet
}

// New returns a ring of at least size packets (rounded up to a power of two), none
// kept longer than age nanoseconds after it arrived.
func New(size int, age int64) *Ring {
	n := 1 << bits.Len(uint(max(size, 2)-1))
	r := &Ring{slots: make([]slot, n), mask: int64(n - 1), age: age}
	for i := range r.slots {
		r.slots[i].ext = -1
	}
	return r
}

// Put judges p and retains it when Fresh or Filled. Time is p.Arrived.
func (r *Ring) Put(p *relay.Packet) Verdict {
	switch {
	case !r.started:
		r.start(p, 1<<16|int64(p.Seq))
	case p.SSRC != r.ssrc || p.Arrived-r.arrived > idle:
		r.restart(p)
	default:
		ahead := int64(int16(p.Seq - uint16(r.newest)))
		if ahead == int64(p.Omitted)+1 && ahead >= int64(len(r.slots)) {
			r.restart(p) // no loss, and nothing before it is in reach
			break
		}
		if ahead > maxJump || ahead <= -int64(len(r.slots)) {
			if !r.suspicious || p.Seq != r.suspect+1 {
				r.suspect, r.suspicious = p.Seq, true
				return Late
			}
			r.restart(p)
			break
		}
		r.suspicious = false
		return r.place(p, r.newest+ahead)
	}
	r.store(p, r.newest)
	return Fresh
}

func (r *Ring) place(p *relay.Packet, ext int64) Verdict {
	s := &r.slots[ext&r.mask]
	switch {
	case s.ext != ext:
		r.received++
	case !s.omitted:
		return Duplicate
	}
	verdict := Filled
	if ext > r.newest {
		r.newest, verdict = ext, Fresh
	}
	r.first = min(r.first, ext)
	r.tail = min(r.tail, ext)
	r.store(p, ext)
	return verdict
}

func (r *Ring) store(p *relay.Packet, ext int64) {
	s := &r.slots[ext&r.mask]
	if s.p != nil {
		s.p.Release()
	}
	p.Retain()
	r.arrived = max(r.arrived, p.Arrived)
	*s = slot{ext: ext, p: p}
	r.omit(ext, int64(p.Omitted))
	r.expire(p.Arrived)
}

// omit files the n numbers before ext as left out on purpose.
func (r *Ring) omit(ext, n int64) {
	for i := int64(1); i <= n && ext-i >= r.first && ext-i > r.newest-int64(len(r.slots)); i++ {
		s := &r.slots[(ext-i)&r.mask]
		if s.ext == ext-i {
			return // and what is before it was filed with it
		}
		if s.p != nil {
			s.p.Release()
		}
		*s = slot{ext: ext - i, omitted: true}
		r.received++
	}
}

// expire moves the tail over what is out of reach or older than the ring's age.
func (r *Ring) expire(now int64) {
	reach := r.newest - r.mask
	for n := 0; r.tail < reach && n < len(r.slots); n++ {
		r.drop(r.tail)
		r.tail++
	}
	r.tail = max(r.tail, reach)
	for ; r.tail < r.newest; r.tail++ {
		s := &r.slots[r.tail&r.mask]
		if s.ext == r.tail && s.p != nil && now-s.p.Arrived <= r.age {
			return
		}
		r.drop(r.tail)
	}
}

func (r *Ring) drop(ext int64) {
	if s := &r.slots[ext&r.mask]; s.ext == ext && s.p != nil {
		s.p.Release()
		s.p = nil
	}
}

func (r *Ring) start(p *relay.Packet, ext int64) {
	r.started, r.ssrc, r.suspicious = true, p.SSRC, false
	r.newest, r.tail, r.first, r.received = ext, ext, ext, 1
}

// restart begins a new sequence space, far enough from the old one that no slot of
// it is taken for the new.
func (r *Ring) restart(p *relay.Packet) {
	lost := r.Lost()
	r.Clear()
	r.lost = lost
	r.start(p, (r.newest>>16+2)<<16|int64(p.Seq))
}

// Get returns the packet with this sequence number, retained for the caller, or
// nil when the ring does not hold it.
func (r *Ring) Get(seq uint16) *relay.Packet {
	s := r.slot(seq)
	if s == nil || s.p == nil {
		return nil
	}
	s.p.Retain()
	return s.p
}

// Lacks reports whether seq lies within the ring's reach and was never seen, so
// that asking for it again makes sense.
func (r *Ring) Lacks(seq uint16) bool {
	if !r.started {
		return false
	}
	behind := int64(int16(uint16(r.newest) - seq))
	return behind > 0 && behind <= r.mask && r.slot(seq) == nil
}

func (r *Ring) slot(seq uint16) *slot {
	if !r.started {
		return nil
	}
	ext := r.newest + int64(int16(seq-uint16(r.newest)))
	if s := &r.slots[ext&r.mask]; s.ext == ext {
		return s
	}
	return nil
}

// Omitted reports whether seq was left out upstream on purpose.
func (r *Ring) Omitted(seq uint16) bool {
	s := r.slot(seq)
	return s != nil && s.omitted
}

// Newest returns the newest sequence number, false when the ring saw none.
func (r *Ring) Newest() (uint16, bool) { return uint16(r.newest), r.started }

// Lost returns how many sequence numbers between the first and the newest packet
// were never seen, for whatever reason.
func (r *Ring) Lost() uint64 {
	if !r.started {
		return r.lost
	}
	return r.lost + uint64(r.newest-r.first+1) - r.received
}

// Clear lets go of every packet. What was counted stays.
func (r *Ring) Clear() {
	for i := range r.slots {
		if p := r.slots[i].p; p != nil {
			p.Release()
		}
		r.slots[i] = slot{ext: -1}
	}
}
