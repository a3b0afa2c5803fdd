// Package state is what the cluster agrees on: which rooms exist, under which epoch,
// which nodes serve them, and what each node said about itself. It never holds
// participants, tracks or load.
//
// A State is immutable. Apply returns a new one that shares what did not change, so
// any goroutine may keep and read a State without a lock. Everything Apply needs,
// time and random ids included, is in the command: replicas that apply the same
// commands hold the same bytes.
package state

import (
	"iter"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	meshpb "maille/proto/mesh"
)

// Limits of the replicated state, so that a snapshot stays small enough to install
// over a WAN link in seconds.
const (
	MaxRooms    = 100_000
	MaxNodes    = 1024
	MaxServing  = 256       // nodes serving one room
	MaxName     = 256       // bytes of a room, node, region or sid
	MaxMetadata = 64 * 1024 // bytes; every join carries it
	MaxRegions  = 64        // entries of a room's allow-list
	MaxBytes    = 64 << 20  // all rooms together, encoded
)

// State is one version of the replicated state. The zero State is empty and usable.
// Rooms and NodeRecords it returns are shared: never modify them.
type State struct {
	// epoch is the last one given out; it only rises, so no two room instances ever
	// share one.
	epoch uint64
	rooms []*meshpb.Room       // sorted by name
	nodes []*meshpb.NodeRecord // sorted by name
	bytes int                  // encoded size of rooms, without framing
}

// New returns the empty state.
func New() *State { return &State{} }

// Epoch returns the last epoch given to a room, 0 if none was.
func (s *State) Epoch() uint64 { return s.epoch }

// Room returns the named room, or nil.
func (s *State) Room(name string) *meshpb.Room {
	if i, ok := s.findRoom(name); ok {
		return s.rooms[i]
	}
	return nil
}

// NumRooms returns how many rooms exist.
func (s *State) NumRooms() int { return len(s.rooms) }

// Rooms yields all rooms in name order.
func (s *State) Rooms() iter.Seq[*meshpb.Room] { return slices.Values(s.rooms) }

// Node returns the record of the named node, or nil.
func (s *State) Node(name string) *meshpb.NodeRecord {
	if i, ok := s.findNode(name); ok {
		return s.nodes[i]
	}
	return nil
}

// Nodes yields all node records in name order.
func (s *State) Nodes() iter.Seq[*meshpb.NodeRecord] { return slices.Values(s.nodes) }

func (s *State) findRoom(name string) (int, bool) {
	return slices.BinarySearchFunc(s.rooms, name, func(r *meshpb.Room, name string) int {
		return strings.Compare(r.GetName(), name)
	})
}

func (s *State) findNode(name string) (int, bool) {
	return slices.BinarySearchFunc(s.nodes, name, func(n *meshpb.NodeRecord, name string) int {
		return strings.Compare(n.GetName(), name)
	})
}

// withRoom returns s with r put in place of the room of its name.
func (s *State) withRoom(r *meshpb.Room) *State {
	next := *s
	next.rooms = put(s.rooms, r, (*meshpb.Room).GetName)
	next.bytes += proto.Size(r) - proto.Size(s.Room(r.GetName()))
	return &next
}

func (s *State) withoutRoom(name string) *State {
	next := *s
	i, _ := s.findRoom(name)
	next.bytes -= proto.Size(s.rooms[i])
	next.rooms = slices.Concat(s.rooms[:i], s.rooms[i+1:])
	return &next
}

func (s *State) withNode(n *meshpb.NodeRecord) *State {
	next := *s
	next.nodes = put(s.nodes, n, (*meshpb.NodeRecord).GetName)
	return &next
}

func (s *State) withoutNode(name string) *State {
	next := *s
	i, _ := s.findNode(name)
	next.nodes = slices.Concat(s.nodes[:i], s.nodes[i+1:])
	return &next
}

// put returns a copy of sorted with v replacing the item of the same name, or inserted.
// One copy of a slice of pointers: 10,000 rooms cost about 80 kB a command.
func put[T any](sorted []*T, v *T, name func(*T) string) []*T {
	i, ok := slices.BinarySearchFunc(sorted, name(v), func(t *T, n string) int {
		return strings.Compare(name(t), n)
	})
	if ok {
		out := slices.Clone(sorted)
		out[i] = v
		return out
	}
	out := make([]*T, 0, len(sorted)+1)
	out = append(out, sorted[:i]...)
	out = append(out, v)
	return append(out, sorted[i:]...)
}

// Serving reports whether node serves r, and in which region.
func Serving(r *meshpb.Room, node string) (region string, ok bool) {
	for region, l := range r.GetServing() {
		if slices.Contains(l.GetNodes(), node) {
			return region, true
		}
	}
	return "", false
}

// ServingNodes returns all nodes serving r, sorted.
func ServingNodes(r *meshpb.Room) []string {
	var out []string
	for _, l := range r.GetServing() {
		out = append(out, l.GetNodes()...)
	}
	slices.Sort(out)
	return out
}

// Allowed reports whether r may be served in region. An empty allow-list allows all.
func Allowed(s *meshpb.RoomSettings, region string) bool {
	allowed := s.GetAllowedRegions()
	return len(allowed) == 0 || slices.Contains(allowed, region)
}
