package gossip

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"maille/mesh/view"
	meshpb "maille/proto/mesh"
)

const (
	// leftKept is how long a node that left is shown, so that whoever removes it
	// from Raft has time to see it.
	leftKept = 10 * time.Minute
	// lostKept is how long the address of a dead node is tried again: a split longer
	// than this heals by the seeds alone.
	lostKept = 24 * time.Hour
)

// table is what this node believes, fed by memberlist's callbacks. It never calls
// out, so that they can hold memberlist's locks.
type table struct {
	name string

	mu      sync.Mutex // guards everything below
	self    view.Node
	facts   []byte // self, encoded
	version uint64 // of self.Load
	told    uint64 // version last broadcast
	members map[string]*member
	lost    map[string]lost // by name
	snap    *view.Snapshot  // nil when stale
}

// member is another node.
type member struct {
	node    view.Node
	addr    string // gossip host:port
	alive   bool
	gone    time.Time // when it left, if not alive
	version uint64    // of node.Load
}

// lost is a node that died without leaving.
type lost struct {
	addr string
	at   time.Time
}

func newTable(self view.Node) *table {
	t := &table{name: self.Name, self: self, members: map[string]*member{}, lost: map[string]lost{}}
	t.facts, _ = encodeFacts(self)
	return t
}

// update applies f to self and reports whether facts changed, not load alone.
func (t *table) update(f func(*view.Node)) (facts bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := t.self
	f(&next)
	next.Name, next.Started = t.self.Name, t.self.Started
	b, err := encodeFacts(next)
	if err != nil {
		return false, err
	}
	if next.Load != t.self.Load {
		t.version++
	}
	facts = !slices.Equal(b, t.facts)
	t.self, t.facts, t.snap = next, b, nil
	return facts, nil
}

func (t *table) ownFacts() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.facts)
}

// ownLoad returns this node's load when it was not told since it changed.
func (t *table) ownLoad() (l *meshpb.NodeLoad, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.version == t.told {
		return nil, false
	}
	t.told = t.version
	return tell(t.self, t.version), true
}

// put takes in a node that is alive.
func (t *table) put(n view.Node, addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.snap = nil
	delete(t.lost, n.Name)
	m := t.members[n.Name]
	if m == nil || !m.node.Started.Equal(n.Started) {
		m = &member{}
		t.members[n.Name] = m
	}
	n.Load = m.node.Load
	m.node, m.addr, m.alive = n, addr, true
}

// drop takes out a node that left or died.
func (t *table) drop(name, addr string, now time.Time) (left bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.snap = nil
	m := t.members[name]
	if m != nil && m.node.State == view.Left {
		m.alive, m.gone = false, now
		return true
	}
	delete(t.members, name)
	if len(t.lost) < MaxNodes {
		t.lost[name] = lost{addr, now}
	}
	return false
}

// room reports whether one more name may be believed in.
func (t *table) room(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.members[name] != nil || len(t.members) < MaxNodes-1
}

// load takes in a load and reports whether it was news.
func (t *table) load(l *meshpb.NodeLoad) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.members[l.Node]
	if m == nil || m.node.Started.UnixMilli() != l.StartedMs || l.Version <= m.version {
		return false
	}
	m.version, m.node.Load, t.snap = l.Version, loadOf(l), nil
	return true
}

// loadsOf returns every load known, for a full sync.
func (t *table) loadsOf() *meshpb.GossipState {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &meshpb.GossipState{}
	add := func(n view.Node, version uint64) {
		if version > 0 {
			s.Loads = append(s.Loads, tell(n, version))
		}
	}
	add(t.self, t.version)
	for _, m := range t.members {
		if m.alive {
			add(m.node, m.version)
		}
	}
	return s
}

// size returns how many nodes are alive, this one included.
func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 1
	for _, m := range t.members {
		if m.alive {
			n++
		}
	}
	return n
}

// absent returns the given addresses and those of dead nodes, without the ones that
// are members now.
func (t *table) absent(seeds []string, self string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	here := map[string]bool{self: true}
	for _, m := range t.members {
		if m.alive {
			here[m.addr] = true
		}
	}
	out := slices.Clone(seeds)
	for _, l := range t.lost {
		out = append(out, l.addr)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(a string) bool { return here[a] })
}

// forget drops what is too old to matter.
func (t *table) forget(now time.Time) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.lost, func(_ string, l lost) bool { return now.Sub(l.at) > lostKept })
	maps.DeleteFunc(t.members, func(_ string, m *member) bool {
		old := !m.alive && now.Sub(m.gone) > leftKept
		changed = changed || old
		return old
	})
	if changed {
		t.snap = nil
	}
	return changed
}

// stale makes the next snapshot read round-trip times anew.
func (t *table) stale() {
	t.mu.Lock()
	t.snap = nil
	t.mu.Unlock()
}

func (t *table) snapshot(v *vivaldi) view.Snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.snap != nil {
		return *t.snap
	}
	s := view.Snapshot{Self: t.name, At: time.Now(), Nodes: []view.Node{t.self}}
	for _, m := range t.members {
		s.Nodes = append(s.Nodes, m.node)
	}
	slices.SortFunc(s.Nodes, func(a, b view.Node) int { return strings.Compare(a.Name, b.Name) })
	s.RTT = v.pairs(t.name, s.Nodes)
	t.snap = &s
	return s
}
