package missing

import (
	"slices"

	"maille/relay"
)

const (
	// climbAfter is how long a packet that a client misses, and this node too, is left to
	// the hop that lost it: links and publishers are asked for it as soon as a later one
	// comes.
	climbAfter = 30 * 1e6 // nanoseconds
	// climbAgain spaces the requests for what that did not bring: a round trip to a far
	// region.
	climbAgain = 120 * 1e6 // nanoseconds
	climbTries = 3
	// maxPending bounds what one client waits for. It is more than a client asks for at
	// once before it gives up and wants a keyframe.
	maxPending = 128
)

// Pending is what a client asked for that this node has not got: it is answered when
// it comes. The zero value is ready.
type Pending struct {
	list []missed // oldest first
	next int64    // nothing is due before
}

type missed struct {
	seq, origin uint16 // the client's number and the publisher's
	encoding    uint8
	tries       uint8
	due         int64
}

// Len is how many packets are waited for.
func (q *Pending) Len() int { return len(q.list) }

// Ready reports whether Due may have something to ask for.
func (q *Pending) Ready(now int64) bool { return len(q.list) > 0 && now >= q.next }

// Add notes a request at now. One that is known changes nothing.
func (q *Pending) Add(seq uint16, encoding uint8, origin uint16, now int64) {
	for i := range q.list {
		if q.list[i].seq == seq {
			return
		}
	}
	if len(q.list) == maxPending {
		q.list = slices.Delete(q.list, 0, 1)
	}
	m := missed{seq: seq, origin: origin, encoding: encoding, due: now + climbAfter}
	if len(q.list) == 0 || m.due < q.next {
		q.next = m.due
	}
	q.list = append(q.list, m)
}

// Came takes a packet out, and tells the client's number of it if it was waited for.
func (q *Pending) Came(encoding uint8, origin uint16) (seq uint16, ok bool) {
	for i := range q.list {
		if m := q.list[i]; m.origin == origin && m.encoding == encoding {
			q.list = slices.Delete(q.list, i, i+1)
			return m.seq, true
		}
	}
	return 0, false
}

// Due returns the publisher's numbers to ask for at now, by encoding, and forgets what
// was asked for often enough.
func (q *Pending) Due(now int64) (ask [relay.MaxSpatial][]uint16) {
	q.next = now + climbAgain
	keep := q.list[:0]
	for _, m := range q.list {
		if m.due <= now {
			if m.tries == climbTries {
				continue
			}
			ask[m.encoding] = append(ask[m.encoding], m.origin)
			m.tries++
			m.due = now + climbAgain
		}
		q.next = min(q.next, m.due)
		keep = append(keep, m)
	}
	q.list = keep
	return ask
}
