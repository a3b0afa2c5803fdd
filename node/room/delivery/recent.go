package delivery

import (
	"maps"
	"time"

	linkpb "maille/proto/link"
)

const (
	// replayBytes and replayPackets bound what is held to be had again.
	replayBytes   = 1 << 20
	replayPackets = 1024
)

// Recent is the reliable data of the last seconds, for clients that resume on a new
// connection and miss what was on its way on the old. Only packets with a sequence: by
// that clients know what they had.
type Recent struct {
	keep    time.Duration
	packets []recentPacket // oldest first
	bytes   int
	// last is the newest sequence of each sender, by sid, also of those long silent.
	last map[string]uint32
}

type recentPacket struct {
	data *linkpb.Data
	at   time.Time
}

// NewRecent returns a store that keeps each packet for so long.
func NewRecent(keep time.Duration) *Recent {
	return &Recent{keep: keep, last: make(map[string]uint32)}
}

// Add notes a packet; false if everyone here had it before, from a sender that resumed
// on another node and could not know.
func (r *Recent) Add(d *linkpb.Data, now time.Time) bool {
	r.Expire(now)
	if d.Sequence == 0 || d.SenderSid == "" {
		return true
	}
	if d.Sequence <= r.last[d.SenderSid] {
		return len(d.Destinations) > 0 // this node sees only some of those
	}
	r.last[d.SenderSid] = d.Sequence
	r.packets = append(r.packets, recentPacket{d, now})
	r.bytes += len(d.Packet)
	for r.bytes > replayBytes || len(r.packets) > replayPackets {
		r.shift()
	}
	return true
}

// Last is the newest sequence of a sender, 0 for none.
func (r *Recent) Last(sid string) uint32 { return r.last[sid] }

// Senders is how many senders' sequences are known.
func (r *Recent) Senders() int { return len(r.last) }

// Forget drops the sequences of senders that are gone.
func (r *Recent) Forget(gone func(sid string) bool) {
	maps.DeleteFunc(r.last, func(sid string, _ uint32) bool { return gone(sid) })
}

// Expire gives up what was kept long enough.
func (r *Recent) Expire(now time.Time) {
	for len(r.packets) > 0 && now.Sub(r.packets[0].at) > r.keep {
		r.shift()
	}
}

func (r *Recent) shift() {
	r.bytes -= len(r.packets[0].data.Packet)
	r.packets[0] = recentPacket{}
	r.packets = r.packets[1:]
}

// After lists what someone who is in the room since a time, and last had those
// sequences by sender sid, may have missed.
func (r *Recent) After(since time.Time, had map[string]uint32) (out []*linkpb.Data) {
	for _, p := range r.packets {
		if !p.at.Before(since) && p.data.Sequence > had[p.data.SenderSid] {
			out = append(out, p.data)
		}
	}
	return out
}
