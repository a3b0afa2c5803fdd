package link

import (
	"math"
	"sync/atomic"
	"time"

	"maille/relay"
)

type counters struct {
	sent, received struct{ datagrams, packets, bytes atomic.Uint64 }
	arrived, lost  atomic.Uint64 // of our datagrams, as the peer reports them
	asks           atomic.Uint64
	repairMisses   atomic.Uint64
	doubled        atomic.Uint64
	answered       atomic.Uint64
	lateRepairs    atomic.Uint64
	refusedPulls   atomic.Uint64
	excess         atomic.Uint64
	offersLost     atomic.Uint64
	demand         atomic.Uint64 // float64 bits of bytes per second
	drops          relay.Drops
}

// Stats are a session's counters since it came up.
type Stats struct {
	Peer  string
	RTT   time.Duration
	Lanes int
	Sent  Traffic
	// Received counts what came, duplicates and repairs included.
	Received Traffic
	// Arrived and Lost count the datagrams sent, as the peer reported them.
	Arrived, Lost uint64
	// Loss is the share of datagrams lost of late, Queue the delay of the queue on the
	// path, Cap what the link may send in bytes per second, 0 for no limit.
	Loss  float64
	Queue time.Duration
	Cap   float64
	// DatagramSize is the largest datagram that is sent, in bytes: less than 1,200 after
	// the path stopped carrying full ones.
	DatagramSize int
	// Doubled counts audio packets sent twice ahead of loss.
	Doubled uint64
	// Demand is what the peer wants of the streams it opened, in bytes per second over the
	// last 200 ms, with what is shed of it.
	Demand float64
	// Asked counts missing packets asked for, each time, RepairsLate packets that came after they
	// were given up. Of the peer's requests, Answered counts packets sent again and
	// RepairMisses those the ring did not have.
	Asked, RepairsLate, Answered, RepairMisses uint64
	// Excess counts packets that the peer asked for beyond its budget.
	Excess uint64
	// OffersLost counts messages that made room for newer ones of their channel.
	OffersLost uint64
	// RefusedPulls counts tracks the peer was refused, Refusals the same by reason.
	RefusedPulls uint64
	Refusals     map[string]uint64
	// Drops counts packets by relay.Drop: those not sent (queue_full, shed, send,
	// too_large) and those received and not passed on.
	Drops   map[string]uint64
	Streams []StreamStats
}

// Traffic counts one direction. Bytes are datagram payloads, headers of QUIC and below
// excluded.
type Traffic struct{ Datagrams, Packets, Bytes uint64 }

// StreamStats is one track on the session.
type StreamStats struct {
	Track, Room string
	Kind        relay.Kind
	// Outgoing tells that this node sends it.
	Outgoing       bool
	Layers         relay.LayerSet
	Packets, Bytes uint64
	// Incoming: Lost is what the chain shows missing for good, Repaired what came on
	// request, Duplicates what came twice. Outgoing: Repaired is what was sent again.
	Lost, Repaired, Duplicates uint64
	// Shed is what the sender dropped from its queue.
	Shed uint64
}

// Stats returns the counters.
func (s *Session) Stats() Stats {
	c := &s.counters
	st := Stats{
		Peer: s.peer, RTT: s.RTT(), Lanes: len(s.lanes.all()),
		Sent:     Traffic{c.sent.datagrams.Load(), c.sent.packets.Load(), c.sent.bytes.Load()},
		Received: Traffic{c.received.datagrams.Load(), c.received.packets.Load(), c.received.bytes.Load()},
		Arrived:  c.arrived.Load(), Lost: c.lost.Load(),
		Asked: c.asks.Load(), RepairMisses: c.repairMisses.Load(), RefusedPulls: c.refusedPulls.Load(),
		Excess: c.excess.Load(), OffersLost: c.offersLost.Load(), Refusals: s.refusals.snapshot(),
		Answered: c.answered.Load(), RepairsLate: c.lateRepairs.Load(), Demand: math.Float64frombits(c.demand.Load()),
		Doubled: c.doubled.Load(), Drops: c.drops.Snapshot(),
	}
	st.Loss, st.Queue, st.Cap = s.sent.state()
	st.DatagramSize = s.sent.steadySize()
	for _, o := range s.outs.all() {
		st.Streams = append(st.Streams, StreamStats{
			Track: string(o.ref.ID), Room: o.ref.Room, Kind: o.track.Kind(), Outgoing: true, Layers: relay.LayerSet(o.layers.Load()),
			Packets: o.packets.Load(), Bytes: o.bytes.Load(), Repaired: o.repairs.Load(), Shed: o.shed.Load(),
		})
	}
	for _, u := range s.ins.all() {
		st.Streams = append(st.Streams, u.stats())
	}
	return st
}

func (u *Upstream) stats() StreamStats {
	u.mu.Lock()
	layers := u.layers
	u.mu.Unlock()
	st := StreamStats{
		Track: string(u.ref.ID), Room: u.ref.Room, Kind: u.track.Kind(), Layers: layers,
		Bytes: u.bytes.Load(), Shed: u.peerShed.Load(),
	}
	for i := range u.in {
		in := &u.in[i]
		in.Lock()
		if c := in.chain; c != nil {
			st.Packets += c.received
			st.Lost += c.lost
			st.Repaired += c.repaired
			st.Duplicates += c.duplicates
		}
		in.Unlock()
	}
	return st
}
