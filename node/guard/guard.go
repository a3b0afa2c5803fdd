// Package guard counts what clients tried and were refused, by reason. Limits live
// with what they protect; here is only the ledger that tells operators which of them
// hold, and against how much. Reasons never name a client, a room or an address.
package guard

import "sync/atomic"

// Reason is why something of a client was refused.
type Reason uint8

// Reasons, by the plane that gives them.
const (
	Address     Reason = iota // datagrams from where no client has proven itself
	Packet                    // media that failed authentication, or came twice
	Stream                    // media streams or unread bytes beyond a connection's share
	Candidate                 // ICE candidates: too many, or none at all
	Restart                   // ICE restarts beyond their rate
	Description               // SDP beyond its bounds
	Connection                // TCP connections beyond their bounds
	Name                      // names, metadata or settings beyond their bounds
	Track                     // tracks announced beyond what one may hold
	Data                      // data messages beyond size or permission
	Chunk                     // SCTP packets that cost more than an association may
	Record                    // DTLS records that are no data, and more than a handshake takes
	Message                   // signalling messages: too large, or none at all
	Backlog                   // requests faster than they can be served, made to wait
	News                      // changes of a participant faster than others are told, merged
	Session                   // joins and resumes of a participant beyond their rate
	Reader                    // clients that left too much unread
	Token                     // tokens of participants that were removed
	Fault                     // faults of this node that a request brought to light
	Node                      // nodes that take part in a room which they may not serve
	numReasons
)

var names = [numReasons]string{
	"address", "packet", "stream", "candidate", "restart", "description", "connection", "name",
	"track", "data", "chunk", "record", "message", "backlog", "news", "session", "reader", "token", "fault", "node",
}

func (r Reason) String() string {
	if r < numReasons {
		return names[r]
	}
	return "invalid"
}

// Counts is one node's ledger. The zero value is ready, and a nil one counts nothing.
type Counts [numReasons]atomic.Uint64

// Add counts one refusal. It neither blocks nor allocates.
func (c *Counts) Add(r Reason) {
	if c != nil {
		c[r].Add(1)
	}
}

// Of returns how often something was refused for a reason.
func (c *Counts) Of(r Reason) uint64 {
	if c == nil {
		return 0
	}
	return c[r].Load()
}

// Snapshot returns every count by the name of its reason, zeros too: rates need a
// first one.
func (c *Counts) Snapshot() map[string]uint64 {
	out := make(map[string]uint64, numReasons)
	for r := range numReasons {
		out[r.String()] = c.Of(r)
	}
	return out
}
