// Package view holds the nouns that placement, gossip and operators share: nodes,
// regions, load and round-trip times, as immutable snapshots.
//
// A Snapshot is what one node believes at one instant. It is a hint: gossip says
// that a node is alive, never that a path works, and a name counts only after an
// mTLS dial proved it.
package view

import (
	"slices"
	"strings"
	"time"
)

// State is a node's own word about itself.
type State uint8

const (
	Serving State = iota
	Draining
	Left
)

func (s State) String() string {
	names := [...]string{"serving", "draining", "left"}
	if int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// Node is one process as gossip describes it. Addresses are host:port.
type Node struct {
	// Name is unique in the cluster and bound to the node's certificate.
	Name string
	// Incarnation changes when the node's store is new; Raft's server id is
	// Name@Incarnation.
	Incarnation string
	Region      string
	Link        string // QUIC links, UDP
	Cluster     string // gRPC and Raft, TCP
	Signal      string // client signalling base URL, as clients reach it
	Version     string
	State       State
	Voter       bool // willing to vote in Raft
	Started     time.Time
	Load        Load
}

// Load is what a node carries; it travels by gossip and is seconds old.
type Load struct {
	CPU          float64 // share of all cores, 0 to 1
	Rooms        int
	Participants int
	Tracks       int
	BitsIn       float64 // bit/s
	BitsOut      float64
}

// Snapshot is an immutable view of the cluster. Nodes are sorted by name.
type Snapshot struct {
	Self  string
	At    time.Time
	Nodes []Node
	// RTT holds measured or estimated round-trip times between nodes, keyed by
	// Pair; absent where nothing is known.
	RTT map[[2]string]time.Duration
}

// Pair is the canonical key of an unordered pair of node names.
func Pair(a, b string) [2]string {
	if a > b {
		a, b = b, a
	}
	return [2]string{a, b}
}

// Node returns the named node.
func (s Snapshot) Node(name string) (Node, bool) {
	i, ok := slices.BinarySearchFunc(s.Nodes, name, func(n Node, name string) int {
		return strings.Compare(n.Name, name)
	})
	if !ok {
		return Node{}, false
	}
	return s.Nodes[i], true
}

// InRegion returns the nodes of a region, in name order.
func (s Snapshot) InRegion(region string) []Node {
	var out []Node
	for _, n := range s.Nodes {
		if n.Region == region {
			out = append(out, n)
		}
	}
	return out
}

// Regions returns the distinct regions, sorted.
func (s Snapshot) Regions() []string {
	var out []string
	for _, n := range s.Nodes {
		if i, ok := slices.BinarySearch(out, n.Region); !ok {
			out = slices.Insert(out, i, n.Region)
		}
	}
	return out
}
