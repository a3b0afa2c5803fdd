package obs

import "time"

// Sources are a node's numbers, read at each scrape. A nil func leaves its metrics
// out. None may wait for a network, a disk or a room.
type Sources struct {
	Rooms func() Rooms
	Links func() []Link
	// Refused counts connections of would-be links that were turned away, by reason.
	Refused func() map[string]uint64
	// Unsent counts packets of links that the socket did not take, by reason.
	Unsent   func() map[string]uint64
	Totals   func() map[Key]Counts
	Raft     func() Raft
	Gossip   func() Gossip
	Sessions func() int // open signalling sockets
	// Guards counts what clients were refused, by reason.
	Guards func() map[string]uint64
}

// Kinds counts tracks by kind of media.
type Kinds struct{ Audio, Video int }

// Add counts n of a kind, by relay's name of it.
func (k *Kinds) Add(kind string, n int) {
	if kind == "audio" {
		k.Audio += n
		return
	}
	k.Video += n
}

// Rooms is what a node serves now.
type Rooms struct {
	Rooms, Participants int
	// Published tracks come from this node's clients, Relayed ones from other nodes, and
	// Subscribed ones go to this node's clients.
	Published, Relayed, Subscribed Kinds
	// Paths is what is known of the paths to this node's clients.
	Paths Paths
}

// Paths sums up estimates of bandwidth.
type Paths struct {
	// Known have an estimate; Short get less video than they asked for.
	Known, Short int
	// Least and Mean are of those that are known, in bytes per second.
	Least, Mean float64
}

// Add counts a client with an estimate in bytes per second, 0 when there is none.
func (p *Paths) Add(estimate float64, short bool) {
	if short {
		p.Short++
	}
	if estimate <= 0 {
		return
	}
	if p.Known++; p.Known == 1 || estimate < p.Least {
		p.Least = estimate
	}
	p.Mean += (estimate - p.Mean) / float64(p.Known)
}

// Link is the state of the link to another node of the cluster.
type Link struct {
	Peer string
	// Up tells whether there is a session; without one the rest is not reported.
	Up   bool
	RTT  time.Duration
	Loss float64 // share of datagrams lost lately
	// Queue is the delay of the queue on the path.
	Queue time.Duration
	// Estimate is what the path carries, Demand what is asked of it, in bytes per second;
	// 0, not reported, when not known.
	Estimate, Demand      float64
	Lanes                 int
	StreamsOut, StreamsIn int
	// Counters since the session came up; they start again with the next.
	PacketsOut, PacketsIn         uint64
	BytesOut, BytesIn             uint64
	Datagrams, DatagramsLost      uint64 // sent; as the peer reported them
	RepairsAsked, RepairsUnfilled uint64 // asked of the peer; asked by it and not in the ring
	RepairsLate                   uint64 // came after they were given up
	Doubled                       uint64 // audio packets sent twice ahead of loss
	// RefusedTracks counts tracks that the peer asked for and did not get; Excess packets it
	// asked for beyond what is looked up for it.
	RefusedTracks, Excess uint64
}

// Raft is a node's part in consensus.
type Raft struct {
	Leader     bool          // this node leads
	Quorum     bool          // commits can be expected to work
	Leaderless time.Duration // for how long no leader is known, 0 if one is
	Voter      bool
	Changes    uint64 // of leader, as seen here
	Applied    uint64 // log entries
	Failed     bool   // Raft was given up on this node
}

// Gossip is what a node hears of the others.
type Gossip struct {
	Members map[string]int // by state
	// What was turned away, by reason.
	Refused map[string]uint64
}
