package track

const (
	// climbEvery spaces repeats of one request upstream: about a round trip to the
	// next node, before which the first answer cannot have come.
	climbEvery = 50 * 1e6 // nanoseconds
	// climbMax bounds how often one packet is asked for: what three requests did not
	// bring is too late to show.
	climbMax = 3
	// climbSlots covers the missing packets that subscribers ask for at one time.
	climbSlots = 256
)

// climbs remembers which missing packets of one encoding were asked for upstream,
// so that a hundred subscribers' NACKs become one. It is pure and bounded: a newer
// number in the same slot forgets the older one.
type climbs struct {
	slots [climbSlots]struct {
		used  bool
		seq   uint16
		count uint8
		at    int64
	}
}

// allow reports whether seq may be asked for at now, and if so counts it.
func (c *climbs) allow(now int64, seq uint16) bool {
	s := &c.slots[seq%climbSlots]
	if !s.used || s.seq != seq {
		s.used, s.seq, s.count, s.at = true, seq, 1, now
		return true
	}
	if s.count >= climbMax || now-s.at < climbEvery {
		return false
	}
	s.count++
	s.at = now
	return true
}
