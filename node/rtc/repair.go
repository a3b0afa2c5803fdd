package rtc

const (
	// repairShare of the bytes sent may be sent again; a client that asks for more is
	// lossy beyond what repair helps, or lies.
	repairShare = 10 // one in
	// repairBurst in bytes is saved up at most: a keyframe lost in a burst.
	repairBurst = 256 << 10
	// repairStart in bytes is there before anything was sent.
	repairStart = 32 << 10
)

// repairBudget bounds the bytes of retransmissions of one track to one client; package
// rewrite bounds how often a single packet goes. The zero value is ready.
type repairBudget struct {
	spent, sent uint64 // bytes
}

// credit notes a packet sent for the first time.
func (r *repairBudget) credit(bytes int) { r.sent += uint64(bytes) }

// take reports whether so many bytes may be sent again, and if so takes them.
func (r *repairBudget) take(bytes int) bool {
	have := repairStart + r.sent/repairShare
	if have > r.spent+repairBurst {
		r.spent = have - repairBurst // what was not used in time is gone
	}
	if r.spent+uint64(bytes) > have {
		return false
	}
	r.spent += uint64(bytes)
	return true
}
