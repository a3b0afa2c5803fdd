package room

import (
	"slices"

	"maille/node/room/speakers"
	"maille/proto/livekit"
)

// A client that resumes keeps what it was told before, and its old socket may have been
// dead for long before either end noticed. So what is told as changes only is told again
// whole: what was missed may be any of it.

// retell tells a resumed client how things stand.
func (r *Room) retell(p *Participant) {
	p.retellStreams()
	r.retellSpeakers(p)
	r.retellAllowed(p)
	for _, pub := range p.published {
		if pub.watched != nil {
			p.tellQuality(pub)
		}
	}
	if len(p.dataSubs) > 0 {
		p.tellHandles()
	}
}

// retellMutes tells the client of tracks that were muted for it: else, on hearing that
// they are muted, it says that they are not.
func (p *Participant) retellMutes() {
	for sid, pub := range p.published {
		if pub.ordered {
			p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Mute{
				Mute: &livekit.MuteTrackRequest{Sid: string(sid), Muted: pub.info.Muted},
			}})
		}
	}
}

// retellStreams says of each video whether it is held back for lack of bandwidth.
func (p *Participant) retellStreams() {
	var states []*livekit.StreamStateInfo
	for sid, s := range p.subs {
		if info := p.streamState(sid, s); info != nil && s.info.Type == livekit.TrackType_VIDEO {
			states = append(states, info)
		}
	}
	p.tellStreams(states)
}

// retellSpeakers says of each that the client hears whether they speak.
func (r *Room) retellSpeakers(p *Participant) {
	clear(p.speaking)
	var out []*livekit.SpeakerInfo
	for _, m := range r.roster.Members() {
		if m.Hidden || !p.hears(m) {
			continue
		}
		s := r.speakers.Said()[m.Info.Sid]
		if s == nil {
			s = &livekit.SpeakerInfo{Sid: m.Info.Sid}
		}
		if s.Active {
			p.speaking[s.Sid] = true
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, speakers.Louder)
	p.writeSpeakers(out)
}

// retellAllowed says of each track that was ever denied the client whether it still is.
func (r *Room) retellAllowed(p *Participant) {
	for _, m := range r.roster.Members() {
		for _, info := range m.Info.Tracks {
			if denied, ever := p.denied[info.Sid]; ever {
				p.writeAllowed(m, info.Sid, !denied)
			}
		}
	}
}
