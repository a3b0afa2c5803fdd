package rtc

const (
	// repairShare of the bytes sent may be sent again; a client that asks for more is
	// lossy beyond what repair helps, or lies.
	repairShare = 10 // one in
	// repairBurst in bytes is saved up at most: a keyframe lost in a burst.
	repairBurst = 256 << 10
	// repairStart in bytes is there before anything was sent.
	repairStart = 32 << 10
	// repairTries is how often one packet is sent again: a third retransmission comes
	// after three round trips, when the picture is due.
	repairTries = 3
	// repairSlots is how many packets are remembered, as many as a track's ring holds.
	repairSlots = 1024
)

// repairBudget bounds retransmissions to one client of one track. The zero value is
// ready.
type repairBudget struct {
	spent, sent uint64 // bytes
	slots       [repairSlots]struct {
		seq   uint16
		tries uint8
	}
}

// credit notes a packet sent for the first time.
func (r *repairBudget) credit(bytes int) { r.sent += uint64(bytes) }

// allow reports whether the packet with outgoing number seq may be sent again, and if
// so takes its bytes.
func (r *repairBudget) allow(seq uint16, bytes int) bool {
	slot := &r.slots[seq%repairSlots]
	if slot.seq != seq {
		slot.seq, slot.tries = seq, 0
	}
	have := repairStart + r.sent/repairShare
	if have > r.spent+repairBurst {
		r.spent = have - repairBurst // what was not used in time is gone
	}
	if slot.tries >= repairTries || r.spent+uint64(bytes) > have {
		return false
	}
	slot.tries++
	r.spent += uint64(bytes)
	return true
}
