// Package policy decides which node serves a participant. It is pure: a view of the
// cluster, a room and a request go in, a plan comes out, and Explain shows the costs
// behind it. Nearest is scored, not assumed: all costs are milliseconds of delay or
// their worth, and the lowest sum wins.
//
// Two rules are absolute and never scored: a room's allowed regions, and that a node
// that is draining or gone takes nobody.
package policy

import (
	"cmp"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"maille/mesh/view"
	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

// ErrNoNode means that no node can take the participant: none serves, or none but
// those the request avoids.
var ErrNoNode = errors.New("policy: no node is serving")

// ErrRegionNotAllowed means that nodes serve, but none in a region the room allows.
var ErrRegionNotAllowed = errors.New("policy: no node in an allowed region")

// Request is one participant looking for a node.
type Request struct {
	Room     string
	Settings *meshpb.RoomSettings // of a room that does not exist yet
	Region   string               // the participant's region; may hold no node, may be empty
	Entry    string               // node the socket landed on; stands for the participant where Region tells nothing
	Avoid    []string             // nodes just found unable to serve
	// Recent counts participants placed on a node since its load was measured, so that
	// a burst does not all land on the node that was least loaded seconds ago.
	Recent map[string]int
}

// Plan is the outcome of Join.
type Plan struct {
	Node   string
	Region string // the node's region
	// New tells that the node does not serve the room yet.
	New  bool
	Cost float64 // milliseconds
}

// Costs, in milliseconds of one-way delay or what is worth as much.
const (
	// crossing is added when the participant's own path leaves the region: the public
	// Internet between regions loses and jitters where links repair. It outweighs a new
	// node and every delay between regions that is guessed (unknownRTT), as estimates are
	// rough while nodes are young: people get the region they asked for unless measured
	// delays of an ocean speak against it.
	crossing = 150.0
	// newNode is added for a node that does not serve the room yet: every watched
	// track must first be pulled there. Less than crossing, so that a participant gets
	// a node of the own region even if a neighbour region already serves.
	newNode = 20.0
	// unknownRTT stands for a round trip between regions nobody measured.
	unknownRTT = 100 * time.Millisecond
	// localRTT stands for a round trip within a region nobody measured.
	localRTT = time.Millisecond
	// Load costs nothing up to freeCPU, then grows with the square up to fullCPU. What
	// remains above fullCPU is headroom for reroutes: such a node is taken last.
	freeCPU, fullCPU = 0.5, 0.85
	hotCost          = 60.0
	fullCost         = 1000.0
	// perParticipant spreads people over idle nodes, 50 people for 1 ms.
	perParticipant = 0.02
)

// Join names the node that shall take the participant. room is nil if it does not exist.
func Join(v view.Snapshot, room *meshpb.Room, req Request) (Plan, error) {
	rows := Explain(v, room, req)
	if len(rows) > 0 && rows[0].Eligible() {
		r := rows[0]
		return Plan{Node: r.Node, Region: r.Region, New: !r.Serves, Cost: r.Cost()}, nil
	}
	for _, r := range rows {
		if r.Refused == RefusedRegion {
			return Plan{}, ErrRegionNotAllowed
		}
	}
	return Plan{}, ErrNoNode
}

// Explain scores every node of the view: eligible ones first, cheapest first, then the
// refused ones by name.
func Explain(v view.Snapshot, room *meshpb.Room, req Request) []Row {
	settings := req.Settings
	if room != nil {
		settings = room.GetSettings()
	}
	c := client(v, req)
	serving := serving(v, room)
	rows := make([]Row, 0, len(v.Nodes))
	for _, n := range v.Nodes {
		row := Row{Node: n.Name, Region: n.Region, tie: tie(req.Room, n.Name)}
		row.Serves = slices.ContainsFunc(serving, func(s view.Node) bool { return s.Name == n.Name })
		switch {
		case n.State != view.Serving:
			row.Refused = Refusal(n.State.String())
		case !state.Allowed(settings, n.Region):
			row.Refused = RefusedRegion
		case slices.Contains(req.Avoid, n.Name):
			row.Refused = RefusedAvoid
		default:
			row.score(v, n, c, serving, req)
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		if a.Eligible() != b.Eligible() {
			if a.Eligible() {
				return -1
			}
			return 1
		}
		if a.Eligible() {
			return cmp.Or(cmp.Compare(a.Cost(), b.Cost()), cmp.Compare(a.tie, b.tie), cmp.Compare(a.Node, b.Node))
		}
		return cmp.Compare(a.Node, b.Node)
	})
	return rows
}

// serving returns the nodes of the view that serve room.
func serving(v view.Snapshot, room *meshpb.Room) []view.Node {
	var out []view.Node
	for _, name := range state.ServingNodes(room) {
		if n, ok := v.Node(name); ok && n.State != view.Left {
			out = append(out, n)
		}
	}
	return out
}

// tie spreads rooms over equal nodes, and the same room always alike (rendezvous
// hashing).
func tie(room, node string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(room))
	h.Write([]byte{0})
	h.Write([]byte(node))
	// FNV changes the low bits more than the high ones for a short tail.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd // finalizer of MurmurHash3
	return x ^ x>>33
}
