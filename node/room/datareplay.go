package room

import (
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
)

// recent is the reliable data of the last seconds, for clients that resume on a new
// connection and miss what was on its way on the old. Only packets with a sequence: by
// that clients know what they had. Owned by the room's loop.
type recent struct {
	packets []recentPacket // oldest first
	bytes   int
}

type recentPacket struct {
	data *linkpb.Data
	at   time.Time
}

func (r *recent) add(d *linkpb.Data, now time.Time) {
	r.expire(now)
	if d.Sequence == 0 || d.SenderSid == "" {
		return
	}
	r.packets = append(r.packets, recentPacket{d, now})
	r.bytes += len(d.Packet)
	for r.bytes > replayBytes || len(r.packets) > replayPackets {
		r.shift()
	}
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
func (p *Participant) lastMessageSeq() uint32 { return p.lastSequence }

// replay sends a client that resumed the reliable packets it may have missed, by what
// it says it has (SyncState.datachannel_receive_states).
func (p *Participant) replay(states []*livekit.DataChannelReceiveState) {
	r := p.room
	had := make(map[string]uint32, len(states))
	for _, s := range states {
		had[s.PublisherSid] = s.LastSeq
	}
	r.recent.expire(r.env.Now())
	for _, d := range r.recent.after(time.Unix(0, p.joinedNS), had) {
		if len(d.Destinations) == 0 || slices.Contains(d.Destinations, p.identity) {
			p.receiveData(d)
		}
	}
}
