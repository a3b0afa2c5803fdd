package bwe

const (
	// trainLeast packets make a train.
	trainLeast = 3
	// trainEven is how much longer than others its longest gap may be.
	trainEven = 2
	// trainGrows is by how much the delay of its last exceeds that of its first.
	trainGrows = 10e6
	// narrowShare of what used to arrive is a path that has become another.
	narrowShare = 0.6
)

// train is what one report tells of packets that came one after the other. Those that
// waited in a queue come evenly, at the rate that the path carries: a few of them, each
// later than the one before, show a path that became narrow without waiting for the next
// report.
type train struct {
	n           int // packets after the first
	bytes       int // of them
	first, last int64
	early, late int64 // delays of both
	gap         int64 // longest
}

func (t *train) came(at, delay int64, size int) {
	switch {
	case t.last == 0:
		t.first, t.last, t.early, t.late = at, at, delay, delay
	case at >= t.last:
		t.gap = max(t.gap, at-t.last)
		t.n++
		t.bytes += size
		t.last, t.late = at, delay
	}
}

// narrow tells that the train shows a path that carries much less than usual, in bytes per
// second.
func (t *train) narrow(usual float64) bool {
	span := t.last - t.first
	return t.n+1 >= trainLeast && span > 0 && int64(t.n)*t.gap <= trainEven*span && t.late-t.early >= trainGrows &&
		t.rate() < narrowShare*usual
}

// rate is at which it came, in bytes per second, of a train that took some time.
func (t *train) rate() float64 { return float64(t.bytes) / (float64(t.last-t.first) / 1e9) }
