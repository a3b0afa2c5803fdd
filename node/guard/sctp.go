package guard

import (
	"encoding/binary"
	"time"
)

// Bounds of one SCTP association (RFC 9260). The library behind it bounds the bytes that
// wait for their reader, but keeps each chunk as an entry that every later chunk is
// sorted among: a message in crumbs of one byte costs seconds of a core for a hundred
// kilobytes.
const (
	// sctpRate is what the packets and chunks of an association may cost in a second, and
	// at once: each of them one, of 3 us, so 6 % of a core. The fastest client that keeps to
	// the rates of its channels needs a quarter, its acknowledgements included.
	sctpRate = 20_000
	// A chunk that comes while others wait costs one more for each entriesPerCost of them,
	// measured.
	entriesPerCost = 300
	// maxEntries bounds the chunks that wait for the rest of their message or for their
	// reader. Whole ones are bounded by bytes, so only what a chunk lacks to fullChunk
	// counts: seconds of what clients may send in the smallest messages.
	maxEntries = 4096
	// fullChunk in bytes is less than what stacks put into the chunks of a long message.
	fullChunk = 1024
	// sctpPatience is how many packets over these bounds are dropped before the client is
	// beyond help. Being dropped slows an honest association down; a hundred a second are
	// forgiven.
	sctpPatience, sctpForgiven = 2000, 100
	// Of chunks that carry lists, one more is counted for so many of a list's entries: what
	// is skipped in each stream, and what was acknowledged out of order.
	skipsPerCost, ackedPerCost = 1, 64
	// maxAhead bounds how far chunks may be ahead of what was acknowledged: more than the
	// library takes, and little enough that numbers compare.
	maxAhead = 1 << 16
)

// Verdict is what is to be done with a packet.
type Verdict uint8

// Verdicts.
const (
	Pass Verdict = iota
	Drop
	End // the client does not stop
)

// SCTP watches an association from outside, between its transport and the library that
// serves it: what comes from the client, what the node acknowledges, and what has been
// read. It is not safe for concurrent use. Times are nanoseconds.
type SCTP struct {
	// Window in bytes is the receive buffer that the library was given.
	Window int

	work, strikes bucket
	// light is an upper bound of what the waiting entries lack to being full, in bytes.
	light int

	known      bool   // an acknowledgement has been seen
	acked      uint32 // TSN up to which the library has everything
	highest    uint32 // TSN that came
	some       bool   // one came
	reset      bool   // the library keeps a request to reset streams
	resetSeq   uint32 // that request
	resetUntil uint32 // TSN that it waits for
}

// bucket leaks so many a second.
type bucket struct {
	level float64
	at    int64
}

// pour adds n if it fits.
func (b *bucket) pour(n int, now int64, rate, size float64) bool {
	b.level = max(0, b.level-rate*time.Duration(max(0, now-b.at)).Seconds())
	b.at = max(b.at, now)
	if b.level+float64(n) > size {
		return false
	}
	b.level += float64(n)
	return true
}

// In judges a packet of the client.
func (s *SCTP) In(b []byte, now int64) Verdict {
	w, ok := s.weigh(b)
	w.cost += w.chunks * (s.light / fullChunk / entriesPerCost)
	if ok && s.light+w.light <= maxEntries*fullChunk && s.work.pour(w.cost, now, sctpRate, sctpRate) {
		s.take(&w)
		return Pass
	}
	return s.strike(now)
}

func (s *SCTP) strike(now int64) Verdict {
	if s.strikes.pour(1, now, sctpForgiven, sctpPatience) {
		return Drop
	}
	return End
}

// Read tells that a message of n bytes has been read: at least one entry is gone.
func (s *SCTP) Read(n int) { s.light = max(0, s.light-max(0, fullChunk-n)) }

// Idle reports that Out has nothing to tell: nothing waits as far as is known.
func (s *SCTP) Idle() bool {
	return !s.reset && (!s.some || s.known && s.light == 0 && int32(s.highest-s.acked) < maxAhead/4)
}

// Types of chunks (RFC 9260 section 3.2, RFC 3758, RFC 6525, RFC 8260).
const (
	chunkData     = 0
	chunkSack     = 3
	chunkIData    = 64
	chunkReconfig = 130
	chunkForward  = 192
	chunkIForward = 194
)

const (
	sctpHeader  = 12
	chunkHeader = 4
	dataHeader  = 16 // of DATA, with that of the chunk
	iDataHeader = 20
	sackHeader  = 16
	// paramOutgoingReset is the parameter of RFC 6525 section 4.1.
	paramOutgoingReset = 13
	resetHeader        = 16
)

// weight is what a packet brings.
type weight struct {
	cost, light int
	chunks      int // of messages
	highest     uint32
	some        bool
	reset       bool
	seq, until  uint32
}

// weigh is false for a packet that is malformed, or brings what must not come.
func (s *SCTP) weigh(b []byte) (w weight, ok bool) {
	if len(b) < sctpHeader {
		return w, false
	}
	w = weight{cost: 1, highest: s.highest, some: s.some}
	for b = b[sctpHeader:]; len(b) > 0; {
		if len(b) < chunkHeader {
			return w, false
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < chunkHeader || n > len(b) {
			return w, false
		}
		w.cost++
		c := b[:n]
		switch c[0] {
		case chunkData:
			ok = s.data(c, dataHeader, &w)
		case chunkIData:
			ok = s.data(c, iDataHeader, &w)
		case chunkSack:
			ok = w.sack(c)
		case chunkForward, chunkIForward:
			w.cost += n / 4 / skipsPerCost
			ok = true
		case chunkReconfig:
			ok = s.reconfig(c, &w)
		default:
			ok = true
		}
		if !ok {
			return w, false
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return w, true
}

// data weighs a chunk of a message. An empty one is an error (RFC 9260 section 3.3.1), and
// would take no room of the window.
func (s *SCTP) data(c []byte, header int, w *weight) bool {
	if len(c) <= header {
		return false
	}
	tsn := binary.BigEndian.Uint32(c[4:])
	switch {
	case s.known && int32(tsn-s.acked) > maxAhead, !s.known && w.some && int32(tsn-w.highest) > maxAhead:
		return false
	case !w.some || after(tsn, w.highest):
		w.highest, w.some = tsn, true
	}
	w.chunks++
	w.light += max(0, fullChunk-(len(c)-header))
	return true
}

// sack counts what the ranges of an acknowledgement cover: the library looks at each.
func (w *weight) sack(c []byte) bool {
	if len(c) < sackHeader {
		return false
	}
	gaps := int(binary.BigEndian.Uint16(c[12:]))
	if len(c) < sackHeader+4*gaps {
		return false
	}
	covered := 0
	for i := range gaps {
		g := c[sackHeader+4*i:]
		covered += max(0, int(binary.BigEndian.Uint16(g[2:]))-int(binary.BigEndian.Uint16(g))) + 1
	}
	w.cost += covered / ackedPerCost
	return true
}

// reconfig lets one request at a time wait for data (RFC 6525 section 5.1.1): the library
// keeps a thousand, and answers all of them for each chunk that comes.
func (s *SCTP) reconfig(c []byte, w *weight) bool {
	for p := c[chunkHeader:]; len(p) >= 4; {
		n := int(binary.BigEndian.Uint16(p[2:]))
		if n < 4 || n > len(p) {
			return false
		}
		w.cost += n / 4
		if binary.BigEndian.Uint16(p) == paramOutgoingReset {
			if n < resetHeader {
				return false
			}
			seq, until := binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[12:])
			waits := !s.known || after(until, s.acked)
			free := !s.reset || s.known && !after(s.resetUntil, s.acked)
			switch {
			case waits && !free && seq != s.resetSeq, waits && w.reset:
				return false
			case waits:
				w.reset, w.seq, w.until = true, seq, until
			}
		}
		p = p[min((n+3)&^3, len(p)):]
	}
	return true
}

func (s *SCTP) take(w *weight) {
	s.light += w.light
	s.highest, s.some = w.highest, w.some
	if w.reset {
		s.reset, s.resetSeq, s.resetUntil = true, w.seq, w.until
	}
}

// Out looks at a packet of the node's. An acknowledgement tells how many bytes wait, of
// which each entry has at least one, and how far the library has come with what passed
// here.
func (s *SCTP) Out(b []byte) {
	if len(b) < sctpHeader+sackHeader || b[sctpHeader] != chunkSack {
		return
	}
	c := b[sctpHeader:]
	acked, free := binary.BigEndian.Uint32(c[4:]), int(binary.BigEndian.Uint32(c[8:]))
	if s.known && after(s.acked, acked) {
		return // overtaken
	}
	onTheWay := int32(s.highest - acked)
	if !s.some || onTheWay < 0 || onTheWay > maxAhead {
		// What was first said was no number of this association.
		s.highest, onTheWay = acked, 0
	}
	s.acked, s.known, s.some = acked, true, true
	if s.reset && !after(s.resetUntil, acked) {
		s.reset = false
	}
	if free <= 0 || free > s.Window {
		return
	}
	s.light = min(s.light, (s.Window-free+int(onTheWay))*fullChunk)
}

// after compares serial numbers (RFC 1982).
func after(a, b uint32) bool { return int32(a-b) > 0 }
