package gossip

import (
	"fmt"
	"hash/fnv"
	"math"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/proto"

	"maille/mesh/view"
	meshpb "maille/proto/mesh"
)

// Bounds of what a node may say about itself.
const (
	maxFacts = memberlist.MetaMaxSize // bytes, encoded
	maxName  = 63
	maxWord  = 63  // region, incarnation, version
	maxAddr  = 200 // host:port, or the signalling URL
	maxLoad  = 256 // bytes, encoded
	// maxPad is the range of lengths that records of different nodes are spread over.
	// memberlist 0.6 keeps pending broadcasts in a tree ordered by (times sent, length,
	// number), and numbers start again whenever the tree is empty: of two equally long
	// ones, one can replace the other and is never sent again. A lost answer to a
	// suspicion kills a node that lives.
	maxPad = 64
	// maxOwn is what is left for the facts themselves, bytes.
	maxOwn = maxFacts - maxPad - 2
	// maxState bounds what a full sync brings: every member's load.
	maxState = MaxNodes * maxLoad

	// Loads are clamped to what a node could carry, so that a wild value cannot
	// overflow a sum.
	maxCount = 1e6
	maxBits  = 1e12 // bit/s
)

// encodeFacts writes all of a node but its name and its load.
func encodeFacts(n view.Node) ([]byte, error) {
	if err := valid(n); err != nil {
		return nil, err
	}
	f := &meshpb.NodeFacts{
		Incarnation: n.Incarnation,
		Region:      n.Region,
		Link:        n.Link,
		Cluster:     n.Cluster,
		Signal:      n.Signal,
		Version:     n.Version,
		State:       meshpb.NodeState(n.State),
		Voter:       n.Voter,
		StartedMs:   n.Started.UnixMilli(),
	}
	if n := proto.Size(f); n > maxOwn {
		return nil, fmt.Errorf("gossip: facts of %d bytes, %d are allowed: shorten the addresses", n, maxOwn)
	}
	f.Pad = pad(n.Name)
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("gossip: facts of %s: %w", n.Name, err)
	}
	return b, nil
}

// pad returns filling whose length names that differ in their last letter never share.
func pad(name string) []byte {
	h := fnv.New32a()
	h.Write([]byte(name))
	return make([]byte, h.Sum32()%maxPad)
}

// decodeFacts reads what a member says about itself.
func decodeFacts(name string, b []byte) (view.Node, error) {
	if len(b) > maxFacts {
		return view.Node{}, fmt.Errorf("gossip: facts of %d bytes", len(b))
	}
	var f meshpb.NodeFacts
	if err := proto.Unmarshal(b, &f); err != nil {
		return view.Node{}, fmt.Errorf("gossip: facts: %w", err)
	}
	n := view.Node{
		Name:        name,
		Incarnation: f.Incarnation,
		Region:      f.Region,
		Link:        f.Link,
		Cluster:     f.Cluster,
		Signal:      f.Signal,
		Version:     f.Version,
		Voter:       f.Voter,
		Started:     time.UnixMilli(f.StartedMs),
	}
	switch f.State {
	case meshpb.NodeState_NODE_STATE_SERVING:
		n.State = view.Serving
	case meshpb.NodeState_NODE_STATE_LEFT:
		n.State = view.Left
	default:
		// A state of a later release: whatever it means, give it nothing new.
		n.State = view.Draining
	}
	return n, valid(n)
}

// valid reports what makes a node's facts unfit to be shown, dialled or logged.
func valid(n view.Node) error {
	if n.Name == "" {
		return fmt.Errorf("gossip: a node needs a name")
	}
	for _, f := range [...]struct {
		what, s string
		max     int
	}{
		{"name", n.Name, maxName},
		{"incarnation", n.Incarnation, maxWord},
		{"region", n.Region, maxWord},
		{"version", n.Version, maxWord},
		{"link address", n.Link, maxAddr},
		{"cluster address", n.Cluster, maxAddr},
		{"signal URL", n.Signal, maxAddr},
	} {
		if len(f.s) > f.max {
			return fmt.Errorf("gossip: %s has %d bytes, %d are allowed", f.what, len(f.s), f.max)
		}
		for _, c := range []byte(f.s) {
			if c <= ' ' || c > '~' {
				return fmt.Errorf("gossip: %s %q: only printable ASCII without spaces", f.what, f.s)
			}
		}
	}
	for _, addr := range [...]string{n.Link, n.Cluster} {
		if addr == "" {
			continue
		}
		_, port, err := net.SplitHostPort(addr)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return fmt.Errorf("gossip: address %q: want host:port", addr)
		}
	}
	return nil
}

// tell writes a node's load as it is told.
func tell(n view.Node, version uint64) *meshpb.NodeLoad {
	return &meshpb.NodeLoad{
		Node:         n.Name,
		StartedMs:    n.Started.UnixMilli(),
		Version:      version,
		Cpu:          float32(clamp(n.Load.CPU, 1)),
		Rooms:        uint32(clamp(float64(n.Load.Rooms), maxCount)),
		Participants: uint32(clamp(float64(n.Load.Participants), maxCount)),
		Tracks:       uint32(clamp(float64(n.Load.Tracks), maxCount)),
		BitsIn:       uint64(clamp(n.Load.BitsIn, maxBits)),
		BitsOut:      uint64(clamp(n.Load.BitsOut, maxBits)),
	}
}

func decodeLoad(b []byte) (*meshpb.NodeLoad, error) {
	if len(b) > maxLoad {
		return nil, fmt.Errorf("gossip: load of %d bytes", len(b))
	}
	var l meshpb.NodeLoad
	if err := proto.Unmarshal(b, &l); err != nil {
		return nil, fmt.Errorf("gossip: load: %w", err)
	}
	if l.Node == "" || len(l.Node) > maxName {
		return nil, fmt.Errorf("gossip: load of a node named %.80q", l.Node)
	}
	return &l, nil
}

func loadOf(l *meshpb.NodeLoad) view.Load {
	return view.Load{
		CPU:          clamp(float64(l.Cpu), 1),
		Rooms:        int(clamp(float64(l.Rooms), maxCount)),
		Participants: int(clamp(float64(l.Participants), maxCount)),
		Tracks:       int(clamp(float64(l.Tracks), maxCount)),
		BitsIn:       clamp(float64(l.BitsIn), maxBits),
		BitsOut:      clamp(float64(l.BitsOut), maxBits),
	}
}

// clamp also turns a NaN into the top: what is unknown attracts nothing.
func clamp(v, top float64) float64 {
	if math.IsNaN(v) {
		return top
	}
	return min(max(v, 0), top)
}
