package missing

const (
	// maxSettled covers the packets that cross with a request on one round trip.
	maxSettled = 32
	// Requests that cross with their answer come within a round trip. This one is for
	// before it is known.
	crossUnknown = 50 * 1e6  // nanoseconds
	crossMost    = 300 * 1e6 // nanoseconds
)

// Settled remembers what was sent late or again a moment ago: a request for it that
// comes now was sent before the client had it. The zero value is ready.
type Settled struct {
	list []struct {
		seq uint16
		at  int64
	}
	oldest int
}

// Add notes what is sent at now.
func (l *Settled) Add(seq uint16, now int64) {
	e := struct {
		seq uint16
		at  int64
	}{seq, now}
	if len(l.list) < maxSettled {
		l.list = append(l.list, e)
		return
	}
	l.list[l.oldest] = e
	l.oldest = (l.oldest + 1) % maxSettled
}

// Crossing reports whether seq was sent less than a round trip before now; rtt is 0
// when it is not known.
func (l *Settled) Crossing(seq uint16, now, rtt int64) bool {
	if rtt == 0 {
		rtt = crossUnknown
	}
	rtt = min(rtt-rtt/8, crossMost) // a repeated request is sent after one round trip
	for i := range l.list {
		if l.list[i].seq == seq && now-l.list[i].at < rtt {
			return true
		}
	}
	return false
}
