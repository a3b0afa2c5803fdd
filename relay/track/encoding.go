package track

import (
	"sync"
	"sync/atomic"

	"maille/relay"
	"maille/relay/ring"
)

const (
	// Ring sizes: video holds two seconds of a 3 Mbit/s encoding in full packets with
	// room for bursts, audio five seconds of 20 ms frames. What arrived more than
	// ringAge ago is past any repair and any running group of pictures.
	videoRing = 1024
	audioRing = 256
	ringAge   = 2 * 1e9 // nanoseconds

	// A running group of pictures is replayed to newcomers only below these bounds: a
	// longer one costs them more than a new keyframe costs the room.
	gopAge   = 2 * 1e9 // nanoseconds
	gopBytes = 256 << 10
)

// encoding is one simulcast stream of a track: its own SSRC and sequence space.
type encoding struct {
	// turn is held through the fan-out of one packet and through a replay, so that a
	// newcomer sees the replayed packets and then the live ones, with none between.
	// Lock order: turn, then mu.
	turn sync.Mutex
	// withheld is true from the first packet not passed for Mute to the next keyframe
	// passed; guarded by turn.
	withheld bool

	packets, bytes, keyframes, duplicates atomic.Uint64

	mu     sync.Mutex // guards all below
	ring   *ring.Ring // nil until the first packet, and after the track's end
	gop    group
	cost   keyframeCost
	asked  *climbs // nil until the first miss
	closed bool
}

// group notes where the running group of pictures begins. It says nothing about
// gaps; replay checks them.
type group struct {
	known     bool
	start     uint16
	timestamp uint32
	began     int64
	bytes     int
}

// note takes a packet in, and reports whether it begins a group.
func (g *group) note(p *relay.Packet, fresh bool) (began bool) {
	if p.Keyframe {
		ahead := int16(p.Seq - g.start)
		switch {
		case !g.known || p.Timestamp != g.timestamp && (fresh || ahead > 0):
			*g = group{known: true, start: p.Seq, timestamp: p.Timestamp, began: p.Arrived}
			began = true
		case p.Timestamp == g.timestamp && ahead < 0:
			g.start = p.Seq // the keyframe's packets came out of order
		}
	}
	g.bytes += len(p.Payload)
	return began
}

// put stores the packet in the ring and notes what it says of the stream.
func (e *encoding) put(p *relay.Packet, size int) ring.Verdict {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ring.Late
	}
	if e.ring == nil {
		e.ring = ring.New(size, ringAge)
	}
	verdict := e.ring.Put(p)
	if verdict == ring.Fresh || verdict == ring.Filled {
		e.cost.note(p)
		if e.gop.note(p, verdict == ring.Fresh) {
			e.keyframes.Add(1)
		}
	}
	return verdict
}

func (e *encoding) lookup(seq uint16) *relay.Packet {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ring == nil {
		return nil
	}
	return e.ring.Get(seq)
}

// misses returns those of seqs worth asking for upstream at now.
func (e *encoding) misses(now int64, seqs []uint16) []uint16 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ring == nil {
		return nil
	}
	var out []uint16
	for _, seq := range seqs {
		if !e.ring.Lacks(seq) {
			continue
		}
		if e.asked == nil {
			e.asked = new(climbs)
		}
		if e.asked.allow(now, seq) {
			out = append(out, seq)
		}
	}
	return out
}

// running returns the running group of pictures, oldest first and retained, or nil
// when it is unknown, over its bounds or has a gap.
func (e *encoding) running(now int64) []*relay.Packet {
	if e.behind(now) == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ring == nil {
		return nil
	}
	newest, _ := e.ring.Newest()
	count := int(newest-e.gop.start) + 1
	if count > videoRing {
		return nil
	}
	packets := make([]*relay.Packet, 0, count)
	for i := range count {
		seq := e.gop.start + uint16(i)
		p := e.ring.Get(seq)
		if p == nil && e.ring.Omitted(seq) {
			continue
		}
		if p == nil {
			for _, held := range packets {
				held.Release()
			}
			return nil
		}
		packets = append(packets, p)
	}
	return packets
}

// behind is the size of the running group of pictures, 0 when it is not replayed.
func (e *encoding) behind(now int64) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ring == nil || !e.gop.known || e.gop.bytes > gopBytes || now-e.gop.began > gopAge {
		return 0
	}
	return e.gop.bytes
}

func (e *encoding) lost() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ring == nil {
		return 0
	}
	return e.ring.Lost()
}

func (e *encoding) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.ring != nil {
		e.ring.Clear()
		e.ring = nil
	}
}
