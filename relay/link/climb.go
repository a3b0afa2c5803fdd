package link

import (
	"slices"
	"sync"

	"maille/relay"

	linkpb "maille/proto/link"
)

// wanted is what those behind this node miss of a stream, and was not asked of the peer
// yet. Clients ask within milliseconds for what the link has lost; its own request is
// under way then, and theirs climbs only once that has failed.
type wanted struct {
	sync.Mutex // guards seqs
	seqs       [relay.MaxSpatial][]uint16
}

// Resend implements relay.Source. It may be called from within a Push, so the upkeep, and
// not the caller, looks at the chain.
func (u *Upstream) Resend(spatial uint8, seqs []uint16) {
	if u.Err() != nil || spatial >= relay.MaxSpatial {
		return
	}
	w := &u.wanted
	w.Lock()
	for _, q := range seqs {
		if len(w.seqs[spatial]) == maxResend {
			break
		}
		if !slices.Contains(w.seqs[spatial], q) {
			w.seqs[spatial] = append(w.seqs[spatial], q)
		}
	}
	w.Unlock()
	u.s.ins.noteGap(u)
}

// climb asks the peer for what is wanted of an encoding, but for what the chain asks for
// itself, which waits, and what came meanwhile.
func (u *Upstream) climb(encoding uint8, c *chain) {
	w := &u.wanted
	w.Lock()
	defer w.Unlock()
	if len(w.seqs[encoding]) == 0 {
		return
	}
	m := &linkpb.Resend{Handle: uint32(u.handle), Encoding: uint32(encoding)}
	keep := w.seqs[encoding][:0]
	for _, q := range w.seqs[encoding] {
		switch {
		case c == nil || c.abandoned(q):
			m.Seqs = append(m.Seqs, uint32(q))
		case c.state(q) != seenReceived:
			keep = append(keep, q)
		}
	}
	w.seqs[encoding] = keep
	if len(m.Seqs) > 0 {
		u.s.tell(&linkpb.Control{Body: &linkpb.Control_Resend{Resend: m}})
	}
}

// abandoned tells that a packet has not come and is not being asked for.
func (c *chain) abandoned(seq uint16) bool {
	return c.state(seq) != seenReceived && c.covering(seq) < 0
}
