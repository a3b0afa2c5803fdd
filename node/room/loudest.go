package room

import (
	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
	"maille/relay/audio"
)

// Of all microphones of the room that this node receives, from its own clients and
// over links, the loudest pass; the others' packets are of a layer that only some ask
// for (see relay.LayerSet). So the node relays no more than its loudest, and its
// clients hear the loudest of what all nodes relay: one rule, wherever a track comes
// from.
//
// Exempt are sound that belongs to a shared screen, tracks whose packets carry no
// level (RFC 6464), and subscribers that record or transcribe: they ask for
// everything.

// loudest is how many voices the room's settings let be heard at once, 0 for all.
func loudest(s *meshpb.RoomSettings) int {
	if s == nil || s.Loudest == nil {
		return audio.Default
	}
	return int(min(*s.Loudest, audio.MaxLoudest))
}

// voiceOf ranks a track of an owner among the room's voices; nil if it is exempt.
func (r *Room) voiceOf(info *livekit.TrackInfo, owner string, relayed bool) *audio.Voice {
	if info.Type != livekit.TrackType_AUDIO || info.Source == livekit.TrackSource_SCREEN_SHARE_AUDIO {
		return nil
	}
	return r.voices.Add(owner, relayed)
}

// hearsAll says whether a participant gets audio that is not among the loudest.
func (p *Participant) hearsAll() bool {
	switch p.info.Kind {
	case livekit.ParticipantInfo_EGRESS, livekit.ParticipantInfo_AGENT:
		return true
	}
	return p.info.Permission.GetRecorder()
}
