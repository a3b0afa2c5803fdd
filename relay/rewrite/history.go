package rewrite

// state is what became of a sequence number.
type state uint8

const (
	hollow   state = iota // no packet of the publisher: padding, or a gap
	reserved              // kept for a missing packet
	sent
)

// entry is what one outgoing sequence number stands for. It is kept small: every
// track of every subscriber has a history of them.
type entry struct {
	origin   uint16
	picture  uint16 // as sent; while reserved, the offset to send it with
	tl0      uint8  // likewise
	encoding uint8
	epoch    uint8
	state    state
	resent   uint8
}

// history holds the last outgoing sequence numbers, without gaps.
type history struct {
	entries []entry // by sequence number modulo its length, a power of two
	last    uint16
	count   int // how many entries are filled
}

// add files the next sequence number and returns it.
func (h *history) add(e entry) uint16 {
	h.last++
	h.entries[int(h.last)&(len(h.entries)-1)] = e
	h.count = min(h.count+1, len(h.entries))
	return h.last
}

// at returns the entry of a sequence number, nil when not known (any more).
func (h *history) at(seq uint16) *entry {
	if int(h.last-seq) >= h.count {
		return nil
	}
	return &h.entries[int(seq)&(len(h.entries)-1)]
}

// find returns the sequence number that stands for a packet of the publisher, the
// newest if there are several, and nil if there is none. Only late packets need it,
// so a walk back is good enough.
func (h *history) find(encoding uint8, origin uint16) (uint16, *entry) {
	for i := range h.count {
		seq := h.last - uint16(i)
		if e := h.at(seq); e.state != hollow && e.origin == origin && e.encoding == encoding {
			return seq, e
		}
	}
	return 0, nil
}
