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
	s.held = held
	if info := p.streamState(sid, s); info != nil {
		p.tellStreams([]*livekit.StreamStateInfo{info})
	}
}

// streamState says whether a video is held back; nil when its publisher is gone.
func (p *Participant) streamState(sid relay.TrackID, s *subscription) *livekit.StreamStateInfo {
	m := p.room.roster.Get(s.publisher)
	if m == nil {
		return nil
	}
	state := livekit.StreamState_ACTIVE
	if s.held {
		state = livekit.StreamState_PAUSED
	}
	return &livekit.StreamStateInfo{ParticipantSid: m.Info.Sid, TrackSid: string(sid), State: state}
}

func (p *Participant) tellStreams(states []*livekit.StreamStateInfo) {
	if len(states) > 0 {
		p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_StreamStateUpdate{
			StreamStateUpdate: &livekit.StreamStateUpdate{StreamStates: states},
		}})
	}
}
