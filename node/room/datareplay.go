package room

import (
	"slices"
	"time"

	"maille/proto/livekit"
)

// lastMessageSeq is the sequence of the last reliable packet the client sent that came;
// a client that resumes sends what follows again.
// Of one that comes from another node this one knows what it got of it.
func (p *Participant) lastMessageSeq() uint32 {
	if p.lastSequence == 0 {
		p.lastSequence = p.room.recent.Last(p.info.Sid)
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
	r.recent.Expire(r.env.Now())
	for _, d := range r.recent.After(time.UnixMilli(p.info.JoinedAtMs), had) {
		if len(d.Destinations) == 0 || slices.Contains(d.Destinations, p.identity) {
			p.receiveData(d)
		}
	}
}
