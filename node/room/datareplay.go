package room

import (
	"maps"
	"slices"
	"time"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

const (
	// replayFor is how long a reliable packet can be had again: as long as a participant
	// without a connection is waited for.
	replayFor = resumeWindow
	// replayBytes and replayPackets bound what a room holds for it.
	replayBytes   = 1 << 20
	replayPackets = 1024
	// sendersKept is how many senders that are gone are remembered: they may come back on
	// another node.
	sendersKept = 256
)

// recent is the reliable data of the last seconds, for clients that resume on a new
// connection and miss what was on its way on the old. Only packets with a sequence: by
// that clients know what they had. Owned by the room's loop.
type recent struct {
	packets []recentPacket // oldest first
	bytes   int
	// last is the newest sequence of each sender, by sid, also of those long silent.
	last map[string]uint32
}

type recentPacket struct {
	data *linkpb.Data
	at   time.Time
}

// add notes a packet; false if everyone here had it before, from a sender that resumed
// on another node and could not know.
func (r *recent) add(d *linkpb.Data, now time.Time) bool {
	r.expire(now)
	if d.Sequence == 0 || d.SenderSid == "" {
		return true
	}
	if r.last == nil {
		r.last = make(map[string]uint32)
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

// forget drops the sequences of senders that are gone.
func (r *recent) forget(gone func(sid string) bool) {
	maps.DeleteFunc(r.last, func(sid string, _ uint32) bool { return gone(sid) })
}

func (r *recent) expire(now time.Time) {
	for len(r.packets) > 0 && now.Sub(r.packets[0].at) > replayFor {
		r.shift()
	}
}

func (r *recent) shift() {
	r.bytes -= len(r.packets[0].data.Packet)
	r.packets[0] = recentPacket{}
	r.packets = r.packets[1:]
}

// after lists what someone who is in the room since a time, and last had those
// sequences by sender sid, may have missed.
func (r *recent) after(since time.Time, had map[string]uint32) (out []*linkpb.Data) {
	for _, p := range r.packets {
		if !p.at.Before(since) && p.data.Sequence > had[p.data.SenderSid] {
			out = append(out, p.data)
		}
	}
	return out
}

// lastMessageSeq is the sequence of the last reliable packet the client sent that came;
// a client that resumes sends what follows again.
// Of one that comes from another node this one knows what it got of it.
func (p *Participant) lastMessageSeq() uint32 {
	if p.lastSequence == 0 {
		p.lastSequence = p.room.recent.last[p.info.Sid]
	}
	return p.lastSequence
}

// replay sends a client that resumed the reliable packets it may have missed, by what
// it says it has (SyncState.datachannel_receive_states).
func (p *Participant) replay(states []*livekit.DataChannelReceiveState) {
	r := p.room
	had := make(map[string]uint32, len(states))
	for _, s := range states {
		had[s.PublisherSid] = s.LastSeq
	}
	r.recent.expire(r.env.Now())
	for _, d := range r.recent.after(time.UnixMilli(p.info.JoinedAtMs), had) {
		if len(d.Destinations) == 0 || slices.Contains(d.Destinations, p.identity) {
			p.receiveData(d)
		}
	}
}
