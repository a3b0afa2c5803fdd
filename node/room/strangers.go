package room

import (
	"maille/node/guard"
	"maille/placement/state"
)

// maxStrangers bounds the nodes that wait to be known.
const maxStrangers = 16

// acquaint returns the peer of a node that takes part in the exchange, nil if it may not. A
// node tells its peers of a room it has opened before placement does, and without quorum
// placement never does, so that placement does not list it is no reason to refuse it. But it
// has to be a node that gossip knows, in a region where the room may be. One that gossip
// does not know yet is asked again once it does.
func (r *Room) acquaint(node string) *peer {
	if r.peers[node] != nil || r.maySit(node) {
		return r.meet(node)
	}
	r.env.Refuse(guard.Node)
	r.log.Debug("node may not serve the room", "peer", node)
	if len(r.strangers) < maxStrangers {
		r.strangers[node] = true
	}
	return nil
}

// maySit tells whether a node that placement does not list may serve the room. One that
// did before may again, whatever became of gossip.
func (r *Room) maySit(node string) bool {
	region := r.env.RegionOf(node)
	return r.met[node] || region != "" && state.Allowed(r.record.GetSettings(), region)
}

// admitStrangers greets those that have become known.
func (r *Room) admitStrangers() {
	for node := range r.strangers {
		switch linked := r.env.Linked(node); {
		case linked && r.maySit(node):
			r.greet(r.meet(node))
			delete(r.strangers, node)
		case !linked:
			delete(r.strangers, node) // it greets when it comes back
		}
	}
}
