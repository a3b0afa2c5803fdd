package link

import (
	"time"

	"maille/relay"
)

const (
	// History sizes cover what a ring upstream may still hold when a request comes.
	videoHistory = 1024
	audioHistory = 256
	// maxRepeats is how often one packet is sent again. A second loss of the same packet
	// is answered once more; then the path is too bad for repair to help.
	maxRepeats = 2
	// repeatAfter is the least time between two repeats: requests come twice, and the next
	// for the same packet after a round trip and 10 ms.
	repeatAfter = 9 * time.Millisecond
	// ssrcEvery is how often the SSRC travels along, so that a receiver that missed it
	// learns it soon, at a cost of an eighth of a byte per packet.
	ssrcEvery = 32
)

// history is what was sent of one encoding on this link: the chain behind `prev`.
type history struct {
	slots   []sentPacket
	last    uint16
	started bool
	ssrc    uint32
	since   int // packets since the SSRC was sent
}

type sentPacket struct {
	seq, prev uint16
	repeats   uint8
	hasPrev   bool
	valid     bool
	repeated  uint16 // when last, in milliseconds
}

func newHistory(kind relay.Kind) *history {
	if kind == relay.Audio {
		return &history{slots: make([]sentPacket, audioHistory)}
	}
	return &history{slots: make([]sentPacket, videoHistory)}
}

func (h *history) slot(seq uint16) *sentPacket { return &h.slots[int(seq)%len(h.slots)] }

// note appends to the chain.
func (h *history) note(seq uint16, ssrc uint32, keyframe bool) (prev uint16, hasPrev, sendSSRC bool) {
	prev, hasPrev = h.last, h.started
	*h.slot(seq) = sentPacket{seq: seq, prev: prev, hasPrev: hasPrev, valid: true}
	h.since++
	sendSSRC = !h.started || ssrc != h.ssrc || keyframe || h.since >= ssrcEvery
	if sendSSRC {
		h.since = 0
	}
	h.last, h.started, h.ssrc = seq, true, ssrc
	return prev, hasPrev, sendSSRC
}

// mayRepeat tells whether seq was sent and not repeated too often, nor just now, and
// counts it.
func (h *history) mayRepeat(seq uint16, now int64) bool {
	s := h.slot(seq)
	if !s.valid || s.seq != seq || s.repeats >= maxRepeats {
		return false
	}
	tick := uint16(now / int64(time.Millisecond))
	if s.repeats > 0 && tick-s.repeated < uint16(repeatAfter/time.Millisecond) {
		return false
	}
	s.repeats++
	s.repeated = tick
	return true
}

// before returns what was sent before seq.
func (h *history) before(seq uint16) (prev uint16, ok bool) {
	s := h.slot(seq)
	if !s.valid || s.seq != seq {
		return 0, false
	}
	return s.prev, s.hasPrev
}
