package room

import (
	"sync"

	meshpb "maille/proto/mesh"
)

// tidings are changes of links, nodes and placement that the loop has not heard of yet.
// Those that bring them serve all rooms, so they never wait for one that is behind: what
// comes for the same node meanwhile is one piece of news.
type tidings struct {
	came chan struct{} // wakes the loop

	mu     sync.Mutex      // guards the fields below
	gone   map[string]bool // nodes that have died or left
	links  map[string]bool // nodes to which sessions came or went
	record *meshpb.Room    // of placement, nil when there is no new one
}

func (t *tidings) init() {
	t.came = make(chan struct{}, 1)
	t.gone, t.links = make(map[string]bool), make(map[string]bool)
}

func (t *tidings) tell(note func()) {
	t.mu.Lock()
	note()
	t.mu.Unlock()
	select {
	case t.came <- struct{}{}:
	default:
	}
}

// LinkUp tells that a session to a node is ready: the exchange starts anew.
func (r *Room) LinkUp(node string) { r.linkChanged(node) }

// LinkDown tells that the session to a node ended. What the node said stays: its
// participants are still in the meeting; only the path is gone.
func (r *Room) LinkDown(node string) { r.linkChanged(node) }

func (r *Room) linkChanged(node string) { r.tidings.tell(func() { r.tidings.links[node] = true }) }

// NodeGone tells that a node has died or left the cluster.
func (r *Room) NodeGone(node string) { r.tidings.tell(func() { r.tidings.gone[node] = true }) }

// Place updates the placement record: who serves the room.
func (r *Room) Place(record *meshpb.Room) { r.tidings.tell(func() { r.tidings.record = record }) }

// hearTidings acts on what was told since the last time. Nodes that went come first: one
// that is back has a new session.
func (r *Room) hearTidings() {
	t := &r.tidings
	t.mu.Lock()
	if len(t.gone)+len(t.links) == 0 && t.record == nil {
		t.mu.Unlock()
		return
	}
	gone, links, record := t.gone, t.links, t.record
	t.gone, t.links, t.record = make(map[string]bool), make(map[string]bool), nil
	t.mu.Unlock()
	if record != nil {
		r.place(record)
	}
	for node := range gone {
		r.lose(node)
	}
	for node := range links {
		r.relink(node)
	}
	if len(links) > 0 {
		r.steerAll()
	}
}

// relink begins the exchange with a node anew, if there is a session to it.
func (r *Room) relink(node string) {
	p := r.peers[node]
	if p == nil {
		return
	}
	p.synced = false
	r.anew(p)
	if r.env.Linked(node) {
		r.greet(p)
	}
}

// lose drops a node. One that is placed may be cut off and come back: placement decides
// when it is given up.
func (r *Room) lose(node string) {
	if p := r.peers[node]; p != nil && p.placed {
		p.synced = false
	} else {
		r.parted(node)
	}
	r.forget(node)
}
