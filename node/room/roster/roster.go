package roster

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// Change is one identity whose winning member changed; Old or New may be nil. Reason
// says why there is no New, as far as its node told.
type Change struct {
	Old, New *Member
	Reason   livekit.DisconnectReason
}

// Roster is the union of what the room's nodes say. It is a pure reducer: the same
// facts give the same roster whatever order the nodes are heard in.
type Roster struct {
	nodes map[string]*nodeFacts
}

type nodeFacts struct {
	version uint64
	members map[string]*Member // by identity
}

// New returns an empty roster.
func New() *Roster { return &Roster{nodes: make(map[string]*nodeFacts)} }

// MaxMembers bounds one node's roster: many times the largest meeting.
const MaxMembers = 5000

// Snapshot replaces everything the node said. Older snapshots are ignored.
func (r *Roster) Snapshot(node string, facts *linkpb.Roster) ([]Change, error) {
	if len(facts.Members) > MaxMembers {
		return nil, fmt.Errorf("roster: snapshot of %d members from %s, limit %d", len(facts.Members), node, MaxMembers)
	}
	known := r.nodes[node]
	if known != nil && facts.Version < known.version {
		return nil, nil
	}
	next := &nodeFacts{version: facts.Version, members: make(map[string]*Member, len(facts.Members))}
	for _, m := range facts.Members {
		member, err := decode(node, m)
		if err != nil {
			return nil, err
		}
		next.members[member.Info.Identity] = member
	}
	return r.replace(node, next), nil
}

// Delta replaces the members it lists and removes those gone.
func (r *Roster) Delta(node string, facts *linkpb.Roster) ([]Change, error) {
	known := r.nodes[node]
	if known == nil || facts.Version <= known.version {
		return nil, nil
	}
	next := &nodeFacts{version: facts.Version, members: maps.Clone(known.members)}
	for _, m := range facts.Members {
		member, err := decode(node, m)
		if err != nil {
			return nil, err
		}
		if len(next.members) >= MaxMembers {
			return nil, fmt.Errorf("roster: over %d members from %s", MaxMembers, node)
		}
		next.members[member.Info.Identity] = member
	}
	for _, identity := range facts.Gone {
		delete(next.members, identity)
	}
	changes := r.replace(node, next)
	for i := range changes {
		if changes[i].New == nil {
			changes[i].Reason = goneReason(facts, changes[i].Old.Info.Identity)
		}
	}
	return changes, nil
}

func goneReason(facts *linkpb.Roster, identity string) livekit.DisconnectReason {
	i := slices.Index(facts.Gone, identity)
	if i < 0 || i >= len(facts.GoneReasons) {
		return livekit.DisconnectReason_UNKNOWN_REASON
	}
	return livekit.DisconnectReason(facts.GoneReasons[i])
}

// Forget drops everything the node said.
func (r *Roster) Forget(node string) []Change {
	if r.nodes[node] == nil {
		return nil
	}
	return r.replace(node, nil)
}

// Matches reports whether a digest agrees with what is held of the node.
func (r *Roster) Matches(node string, d *linkpb.Digest) bool {
	known := r.nodes[node]
	if known == nil {
		return false
	}
	return known.version == d.Version && known.digest().Hash == d.Hash
}

// Digest is what others compare with what they hold of the node; nil if it has said
// nothing.
func (r *Roster) Digest(node string) *linkpb.Digest {
	known := r.nodes[node]
	if known == nil {
		return nil
	}
	return known.digest()
}

// Knows reports whether the node has said anything.
func (r *Roster) Knows(node string) bool { return r.nodes[node] != nil }

// Count returns how many members the node speaks for.
func (r *Roster) Count(node string) int {
	if n := r.nodes[node]; n != nil {
		return len(n.members)
	}
	return 0
}

// Size returns how many members there are, claims to one identity counted each.
func (r *Roster) Size() (n int) {
	for _, f := range r.nodes {
		n += len(f.members)
	}
	return n
}

// Get returns the winning member of an identity, or nil.
func (r *Roster) Get(identity string) *Member {
	var win *Member
	for _, n := range r.nodes {
		if m := n.members[identity]; m != nil && (win == nil || win.LosesTo(m)) {
			win = m
		}
	}
	return win
}

// Claim returns what a node says of an identity, whether it wins or not; nil if nothing.
func (r *Roster) Claim(node, identity string) *Member {
	n := r.nodes[node]
	if n == nil {
		return nil
	}
	return n.members[identity]
}

// Members returns the winning member of every identity, by identity.
func (r *Roster) Members() []*Member {
	win := make(map[string]*Member)
	for _, n := range r.nodes {
		for id, m := range n.members {
			if w := win[id]; w == nil || w.LosesTo(m) {
				win[id] = m
			}
		}
	}
	out := make([]*Member, 0, len(win))
	for _, id := range slices.Sorted(maps.Keys(win)) {
		out = append(out, win[id])
	}
	return out
}

// replace swaps a node's facts and lists the identities whose winner changed.
func (r *Roster) replace(node string, next *nodeFacts) []Change {
	touched := make(map[string]*Member)
	note := func(n *nodeFacts) {
		if n == nil {
			return
		}
		for id := range n.members {
			if _, seen := touched[id]; !seen {
				touched[id] = r.Get(id)
			}
		}
	}
	note(r.nodes[node])
	note(next)
	if next == nil {
		delete(r.nodes, node)
	} else {
		r.nodes[node] = next
	}
	var out []Change
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		old, now := touched[id], r.Get(id)
		if old == now || (old != nil && now != nil && old.Node == now.Node && old.Version == now.Version && old.Info.Sid == now.Info.Sid) {
			continue
		}
		out = append(out, Change{Old: old, New: now})
	}
	return out
}

func (n *nodeFacts) digest() *linkpb.Digest {
	h := fnv.New64a()
	for _, id := range slices.Sorted(maps.Keys(n.members)) {
		fmt.Fprintf(h, "%s\x00%s\x00%d\x00", id, n.members[id].Info.Sid, n.members[id].Version)
	}
	return &linkpb.Digest{Version: n.version, Members: uint32(len(n.members)), Hash: h.Sum64()}
}
