package room

import (
	"context"
	"time"

	meshpb "maille/proto/mesh"
)

// Seat names the node that has a participant, for a client that wants to resume: this
// one, or one that a link reaches; "" if there is none. The sid tells sessions of one
// identity apart; "" is any. moving is true when the participant is here but is to go on
// elsewhere.
func (r *Room) Seat(identity, sid string) (node string, moving bool) {
	_ = r.call(func() {
		if p := r.local[identity]; p != nil {
			node, moving = r.env.Self(), p.moving
			return
		}
		m := r.roster.Get(identity)
		if m != nil && m.Node != r.env.Self() && (sid == "" || sid == m.Info.Sid) && r.env.Linked(m.Node) {
			node = m.Node
		}
	})
	return node, moving
}

// Record is the room as placement last said.
func (r *Room) Record() (record *meshpb.Room) {
	_ = r.call(func() { record = r.record })
	return record
}

// heardInterval is how often AwaitPeers looks.
const heardInterval = 20 * time.Millisecond

// AwaitPeers waits until every node that serves the room, and that a link reaches, has
// said who is there, or ctx ends.
func (r *Room) AwaitPeers(ctx context.Context) {
	tick := time.NewTicker(heardInterval)
	defer tick.Stop()
	for {
		heard := true
		err := r.call(func() {
			for node := range r.peers {
				heard = heard && (r.roster.Knows(node) || !r.env.Linked(node))
			}
		})
		if heard || err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
