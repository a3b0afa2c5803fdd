package rtc

import (
	"encoding/binary"

	"maille/relay"
)

const (
	// A dependency descriptor begins with 8 bits and the frame number (AV1 RTP spec, A.8).
	frameNumberAt   = 1
	frameNumberEnds = 3

	// frameShifts is how many changes of encoding back packets may be sent again.
	frameShifts = 4
	// longAgo in packets is beyond what may be sent again, and not ahead of now.
	longAgo = 1 << 14
)

// frames lets the frame numbers of dependency descriptors count on when the encoding
// changes: receivers drop a keyframe whose number is below those they saw. All else in
// a descriptor is relative to its frame. Like package rewrite it is pure.
type frames struct {
	begun    bool
	encoding uint8
	last     uint16 // newest frame number sent
	n        int    // shifts made so far
	shifts   [frameShifts]frameShift
}

// frameShift holds for the packets sent from a sequence number on.
type frameShift struct{ from, shift uint16 }

// pass notes a packet that is sent as seq.
func (f *frames) pass(p *relay.Packet, seq uint16) {
	if len(p.Descriptor) < frameNumberEnds {
		return
	}
	number := binary.BigEndian.Uint16(p.Descriptor[frameNumberAt:])
	if !f.begun {
		f.begun, f.encoding, f.last, f.shifts[0].from = true, p.Encoding, number, seq
	}
	now := &f.shifts[f.n%frameShifts]
	since := int16(seq - now.from)
	switch {
	case since < 0:
		return // a straggler of the encoding before
	case p.Encoding != f.encoding:
		f.n++
		f.encoding = p.Encoding
		f.shifts[f.n%frameShifts] = frameShift{seq, f.last + 1 - number}
	case since > longAgo:
		now.from = seq - longAgo
	}
	if number += f.at(seq); int16(number-f.last) > 0 {
		f.last = number
	}
}

// at is what the frame numbers of packets sent as seq are shifted by.
func (f *frames) at(seq uint16) uint16 {
	for i := f.n; i > max(0, f.n-frameShifts); i-- {
		if s := f.shifts[i%frameShifts]; int16(seq-s.from) >= 0 {
			return s.shift
		}
	}
	return f.shifts[max(0, f.n-frameShifts+1)%frameShifts].shift
}

// append appends the descriptor that p is sent with as seq.
func (f *frames) append(dst []byte, p *relay.Packet, seq uint16) []byte {
	at := len(dst)
	dst = append(dst, p.Descriptor...)
	if len(p.Descriptor) >= frameNumberEnds {
		number := dst[at+frameNumberAt:]
		binary.BigEndian.PutUint16(number, binary.BigEndian.Uint16(number)+f.at(seq))
	}
	return dst
}
