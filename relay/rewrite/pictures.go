package rewrite

import (
	"maille/relay"
	"maille/relay/codec"
)

// pictures counts VP8 and VP9 picture ids and TL0 indexes on across epochs. For VP8
// it also closes the gaps of pictures left out, where a receiver would wait for the
// missing ids; VP9 ids keep their distances, because references are told in them.
type pictures struct {
	codec codec.Codec

	shift    uint16 // added to picture ids
	shiftTL0 uint8  // added to TL0 indexes

	newest  uint16 // newest picture id of the publisher seen, sent or not
	last    uint16 // newest picture id sent
	lastTL0 uint8
	begun   bool
}

// numbers are the fields of a payload descriptor that count.
type numbers struct {
	picture uint16
	tl0     uint8
	wide    bool
}

func (s *pictures) read(p *relay.Packet) (n numbers, ok bool) {
	switch s.codec {
	case codec.VP8:
		d, parsed := codec.ParseVP8(p.Payload)
		return numbers{d.Picture, d.TL0, d.Wide}, parsed && d.HasPicture
	case codec.VP9:
		d, parsed := codec.ParseVP9(p.Payload)
		return numbers{d.Picture, d.TL0, d.Wide}, parsed && d.HasPicture
	}
	return n, false
}

// ahead is how many pictures a is after b, in the id's own width.
func ahead(a, b uint16, wide bool) uint16 {
	if wide {
		return (a - b) & (1<<15 - 1)
	}
	return (a - b) & (1<<7 - 1)
}

// newer reports whether a is a later picture than b.
func newer(a, b uint16, wide bool) bool {
	half := uint16(1) << 6
	if wide {
		half = 1 << 14
	}
	n := ahead(a, b, wide)
	return n != 0 && n < half
}

// begin makes the picture of p follow the last one sent.
func (s *pictures) begin(p *relay.Packet) {
	n, ok := s.read(p)
	if !ok {
		return
	}
	if s.begun {
		s.shift = s.last + 1 - n.picture
		s.shiftTL0 = s.lastTL0 + 1 - n.tl0
	}
	s.begun, s.newest = true, n.picture
}

// pass returns the numbers of a packet that is sent in order.
func (s *pictures) pass(p *relay.Packet) (uint16, uint8) {
	n, ok := s.read(p)
	if !ok {
		return 0, 0
	}
	if newer(n.picture, s.newest, n.wide) {
		s.newest = n.picture
	}
	s.last, s.lastTL0 = n.picture+s.shift, n.tl0+s.shiftTL0
	return s.last, s.lastTL0
}

// skip closes the gap of a picture that is left out, at the first packet of it.
func (s *pictures) skip(p *relay.Packet) {
	if s.codec != codec.VP8 {
		return
	}
	if n, ok := s.read(p); ok && newer(n.picture, s.newest, n.wide) {
		s.newest = n.picture
		s.shift--
	}
}

// omitted closes the gap of pictures that upstream left out before p, when it is known
// that nothing else is missing.
func (s *pictures) omitted(p *relay.Packet) {
	if s.codec != codec.VP8 {
		return
	}
	if n, ok := s.read(p); ok && newer(n.picture, s.newest, n.wide) {
		s.shift -= ahead(n.picture, s.newest, n.wide) - 1
		s.newest = n.picture - 1
	}
}

// offsets returns what a packet missing now is to be numbered with when it comes.
func (s *pictures) offsets() (uint16, uint8) { return s.shift, s.shiftTL0 }

// late returns the numbers of a packet with the offsets kept for it.
func (s *pictures) late(p *relay.Packet, shift uint16, shiftTL0 uint8) (uint16, uint8) {
	n, ok := s.read(p)
	if !ok {
		return 0, 0
	}
	return n.picture + shift, n.tl0 + shiftTL0
}

// write puts o's numbers into a copy of a payload.
func (s *pictures) write(payload []byte, o Out) {
	switch s.codec {
	case codec.VP8:
		if d, ok := codec.ParseVP8(payload); ok {
			d.Rewrite(payload, o.Picture, o.TL0)
		}
	case codec.VP9:
		if d, ok := codec.ParseVP9(payload); ok {
			d.Rewrite(payload, o.Picture, o.TL0)
		}
	}
}
