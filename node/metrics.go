package node

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"maille/node/obs"
	"maille/node/room"
	"maille/node/signal"
	"maille/placement/consensus"
	"maille/proto/livekit"
	"maille/relay/link"
	"maille/relay/track"
)

// meters gathers a node's numbers for its metrics. Scrapes read what was gathered
// last, so that they never wait for a room.
type meters struct {
	n       *Node
	metrics *obs.Metrics
	rooms   atomic.Pointer[obs.Rooms]
	leaders atomic.Uint64
	settled atomic.Int64 // when rooms were last gathered, nanoseconds; 0 before the first time

	mu     sync.Mutex // guards ledger
	ledger obs.Ledger
}

// openMeters comes before the first port that asks for numbers.
func (n *Node) openMeters() (err error) {
	m := &meters{n: n}
	m.rooms.Store(new(obs.Rooms))
	m.metrics, err = obs.New(obs.Config{
		Node: n.self.Name, Region: n.self.Region, Version: n.self.Version,
		Sources: obs.Sources{
			Rooms: func() obs.Rooms { return *m.rooms.Load() },
			Links: m.links, Refused: n.links.Refused, Unsent: n.links.Unsent, Totals: m.totals, Raft: m.raft, Gossip: m.gossip,
			Sessions: func() int { return n.signal.Sessions() }, Guards: n.refused.Snapshot,
		},
	})
	if err == nil {
		n.meters = m
	}
	return err
}

// Metrics serves what /metrics does, for programs that embed a node.
func (n *Node) Metrics() http.Handler { return n.meters.metrics.Handler() }

// watchLeaders counts and tells changes of leader until ctx ends.
func (m *meters) watchLeaders(ctx context.Context) {
	last, led := "", false
	for {
		changes := m.n.raft.Changes()
		now := m.n.raft.Leader()
		switch {
		case now == "" && led:
			m.n.log.Warn("raft has no leader; meetings and known rooms go on")
		case now != "" && (now != last || !led):
			m.n.log.Info("raft leader", "leader", now)
		}
		if led = now != ""; led && now != last {
			last = now
			m.leaders.Add(1)
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return
		}
	}
}

// gather counts what this node holds and settles the totals.
func (m *meters) gather() obs.Rooms {
	var sum obs.Rooms
	var flows []obs.Flow
	for _, r := range m.n.rooms.all() {
		h := r.Held()
		sum.Rooms++
		sum.Participants += h.Participants
		flows = append(flows, roomFlows(&sum, h)...)
		flows = append(flows, dataFlows(r, h)...)
		for _, p := range h.Clients {
			b := p.Bandwidth()
			sum.Paths.Add(b.Estimate, b.Short)
		}
	}
	for _, s := range m.n.links.Sessions() {
		flows = append(flows, linkFlows(s)...)
	}
	v := m.n.gossip.Snapshot()
	m.mu.Lock()
	m.ledger.Settle(flows, func(peer string) bool { _, ok := v.Node(peer); return ok })
	m.mu.Unlock()
	m.rooms.Store(&sum)
	m.settled.Store(m.n.now().UnixNano())
	return sum
}

// stuckAfter is how long a room may take to say what it holds, which it is asked every
// loadInterval, before its node is taken for stuck: far more than a busy machine needs.
const stuckAfter = 20 * time.Second

// stuck reports whether a room of this node does not answer any more.
func (m *meters) stuck() bool {
	at := m.settled.Load()
	return at != 0 && m.n.now().Sub(time.Unix(0, at)) > stuckAfter
}

// roomFlows reads the counters of what a room holds, and adds it to sum.
func roomFlows(sum *obs.Rooms, h room.Held) []obs.Flow {
	var flows []obs.Flow
	for _, p := range h.Published {
		st, kind := p.Track.Stats(), p.Track.Kind().String()
		sum.Published.Add(kind, 1)
		from, _ := p.Peer.PublicationStats(p.Track.ID())
		c := obs.Counts{Asked: from.Asked, Drops: from.Drops}
		for _, e := range st.Encodings {
			c.Packets, c.Bytes, c.Lost = c.Packets+e.Packets, c.Bytes+e.Bytes, c.Lost+e.Lost
		}
		flows = append(flows, obs.Flow{Of: p.Track, Key: obs.Key{Where: obs.Publication, Kind: kind}, Counts: c}, fanout(p.Track, st))
	}
	for _, t := range h.Relayed {
		sum.Relayed.Add(t.Kind().String(), 1)
		flows = append(flows, fanout(t, t.Stats()))
	}
	for _, s := range h.Subscribed {
		st, kind := s.Stats(), s.Kind.String()
		sum.Subscribed.Add(kind, 1)
		flows = append(flows, obs.Flow{Of: s.Subscriber, Key: obs.Key{Where: obs.Subscription, Kind: kind}, Counts: obs.Counts{
			Packets: st.Packets, Bytes: st.Bytes, Repaired: st.Resent, Asked: st.Nacked, Keyframes: st.Keyframes, Drops: st.Drops,
		}})
	}
	return flows
}

func dataFlows(r *room.Room, h room.Held) []obs.Flow {
	flows := []obs.Flow{{Of: r, Key: obs.Key{Where: obs.Data}, Counts: obs.Counts{Drops: r.DataDrops()}}}
	for _, p := range h.Clients {
		st := p.DataStats()
		flows = append(flows, obs.Flow{Of: p, Key: obs.Key{Where: obs.Data}, Counts: obs.Counts{Drops: map[string]uint64{
			"congested": st.Dropped, "rate": st.Refused,
		}}})
	}
	return flows
}

func fanout(t *track.Track, st track.Stats) obs.Flow {
	return obs.Flow{Of: t, Key: obs.Key{Where: obs.Fanout, Kind: t.Kind().String()}, Counts: obs.Counts{Drops: st.Drops}}
}

func linkFlows(s *link.Session) []obs.Flow {
	st := s.Stats()
	flows := []obs.Flow{{
		Of: s, Key: obs.Key{Where: obs.LinkSession, Peer: s.Peer()}, Counts: obs.Counts{Packets: st.Sent.Packets, Drops: st.Drops},
	}}
	st.Drops["lossy_data"] = st.OffersLost
	for _, t := range st.Streams {
		where := obs.LinkIn
		if t.Outgoing {
			where = obs.LinkOut
		}
		flows = append(flows, obs.Flow{
			Of: stream{s, t.Track}, Key: obs.Key{Where: where, Peer: s.Peer()},
			Counts: obs.Counts{Packets: t.Packets, Bytes: t.Bytes, Lost: t.Lost, Repaired: t.Repaired},
		})
	}
	return flows
}

// stream is a track on a session: streams have no identity of their own to others.
type stream struct {
	s     *link.Session
	track string
}

func (m *meters) totals() map[obs.Key]obs.Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ledger.Totals()
}

// links reports every other node of the cluster, linked or not, and every other link.
func (m *meters) links() []obs.Link {
	var out []obs.Link
	for _, peer := range m.n.peers(m.n.gossip.Snapshot()) {
		s := m.n.links.Session(peer)
		if s == nil {
			out = append(out, obs.Link{Peer: peer})
			continue
		}
		st := s.Stats()
		l := obs.Link{
			Peer: peer, Up: true, RTT: st.RTT, Loss: st.Loss, Queue: st.Queue, Estimate: st.Cap, Demand: st.Demand, Lanes: st.Lanes,
			PacketsOut: st.Sent.Packets, PacketsIn: st.Received.Packets, BytesOut: st.Sent.Bytes, BytesIn: st.Received.Bytes,
			Datagrams: st.Arrived, DatagramsLost: st.Lost, RepairsAsked: st.Asked, RepairsUnfilled: st.RepairMisses, RepairsLate: st.RepairsLate,
			Doubled: st.Doubled, RefusedTracks: st.RefusedPulls, Excess: st.Excess,
		}
		for _, t := range st.Streams {
			if t.Outgoing {
				l.StreamsOut++
			} else {
				l.StreamsIn++
			}
		}
		out = append(out, l)
	}
	return out
}

func (m *meters) raft() obs.Raft {
	r := m.n.raft
	return obs.Raft{
		Leader: r.IsLeader(), Quorum: r.Quorum(), Leaderless: r.Leaderless(), Changes: m.leaders.Load(), Applied: r.Applied(),
		Failed: r.Failed() != nil,
		Voter: slices.ContainsFunc(r.Servers(), func(s consensus.Server) bool {
			return s.Name == m.n.self.Name && s.Incarnation == m.n.self.Incarnation && s.Voter
		}),
	}
}

func (m *meters) gossip() obs.Gossip {
	out := obs.Gossip{Members: make(map[string]int)}
	for _, n := range m.n.gossip.Snapshot().Nodes {
		out.Members[n.State.String()]++
	}
	st := m.n.gossip.Stats()
	out.Refused = map[string]uint64{
		"not_admitted": st.Refused, "malformed": st.Malformed, "queue_full": st.Dropped, "too_many_streams": st.Turned,
	}
	return out
}

// counted is the node as host of joins, with a clock beside it.
type counted struct{ *Node }

// Join measures from the request to the answer that lets the client connect its media.
func (c counted) Join(ctx context.Context, j *signal.Join) (signal.Session, error) {
	began := c.now()
	s, err := c.Node.Join(ctx, j)
	if err != nil {
		return nil, err // counted as refused, where every refusal passes
	}
	return &timed{Session: s, joined: func(o obs.Outcome) { c.meters.metrics.Join(o, c.now().Sub(began)) }}, nil
}

// timed is a session whose first answer is waited for.
type timed struct {
	signal.Session
	joined func(obs.Outcome)
}

func (t *timed) Run(ctx context.Context, c signal.Conn) error {
	first := &firstAnswer{Conn: c, joined: t.joined}
	err := t.Session.Run(ctx, first)
	first.settle(obs.Left)
	return err
}

type firstAnswer struct {
	signal.Conn
	once   sync.Once
	joined func(obs.Outcome)
}

func (f *firstAnswer) settle(o obs.Outcome) { f.once.Do(func() { f.joined(o) }) }

func (f *firstAnswer) Write(m *livekit.SignalResponse) error {
	err := f.Conn.Write(m)
	if err == nil {
		switch m.Message.(type) {
		case *livekit.SignalResponse_Join:
			f.settle(obs.Joined)
		case *livekit.SignalResponse_Reconnect:
			f.settle(obs.Resumed)
		case *livekit.SignalResponse_Leave:
			f.settle(obs.Refused)
		}
	}
	return err
}
