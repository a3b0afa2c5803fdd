package room

import (
	"maps"

	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/allocate"
)

// classOf ranks a track for those who have not the bandwidth for all.
func (r *Room) classOf(publisher string, info *livekit.TrackInfo) allocate.Class {
	switch {
	case info.Source == livekit.TrackSource_SCREEN_SHARE:
		return allocate.Screen
	case r.talking[publisher]:
		return allocate.Speaker
	}
	return allocate.Thumbnail
}

// talked notes who speaks, by identity. The last to speak count until somebody else
// does: in a pause, nobody is more worth seeing.
func (r *Room) talked(now map[string]bool) {
	if len(now) == 0 || maps.Equal(now, r.talking) {
		return
	}
	before := r.talking
	r.talking = now
	for _, p := range r.local {
		for _, s := range p.subs {
			if now[s.publisher] != before[s.publisher] && s.sub != nil {
				s.sub.Rank(r.classOf(s.publisher, s.info))
			}
		}
	}
}

// mayHold says whether video to the participant may be held back for lack of bandwidth:
// unless the client said no, for else its sound would suffer.
func (p *Participant) mayHold() bool {
	return p.join.AllowPause == nil || *p.join.AllowPause
}

// streamHeld tells the client that a video is held back for lack of bandwidth, or is no
// more.
func (r *Room) streamHeld(p *Participant, sid relay.TrackID, held bool) {
	s := p.subs[sid]
	if s == nil {
		return
	}
	m := r.roster.Get(s.publisher)
	if m == nil {
		return
	}
	s.held = held
	state := livekit.StreamState_ACTIVE
	if held {
		state = livekit.StreamState_PAUSED
	}
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_StreamStateUpdate{StreamStateUpdate: &livekit.StreamStateUpdate{
		StreamStates: []*livekit.StreamStateInfo{{ParticipantSid: m.Info.Sid, TrackSid: string(sid), State: state}},
	}}})
}
