package room

import (
	"maille/node/room/trackinfo"
	"maille/proto/livekit"
	"maille/relay"
)

// maxFeatures bounds what a client says of its microphone's processing; the protocol
// has 7 features.
const maxFeatures = 32

// updateAudioTrack notes how a client processes its sound.
func (r *Room) updateAudioTrack(p *Participant, u *livekit.UpdateLocalAudioTrack) {
	pub := p.published[relay.TrackID(u.GetTrackSid())]
	if pub == nil || pub.info.Type != livekit.TrackType_AUDIO || len(u.Features) > maxFeatures {
		p.answer(&livekit.RequestResponse{
			Reason: livekit.RequestResponse_NOT_FOUND, Message: "no such audio track",
			Request: &livekit.RequestResponse_UpdateAudioTrack{UpdateAudioTrack: u},
		})
		return
	}
	pub.info.Stereo, pub.info.DisableDtx = false, false
	trackinfo.SetFeatures(pub.info, u.Features)
	r.changed(p)
}

// updateVideoTrack notes the new size of a client's picture.
func (r *Room) updateVideoTrack(p *Participant, u *livekit.UpdateLocalVideoTrack) {
	pub := p.published[relay.TrackID(u.GetTrackSid())]
	if pub == nil || pub.info.Type != livekit.TrackType_VIDEO {
		p.answer(&livekit.RequestResponse{
			Reason: livekit.RequestResponse_NOT_FOUND, Message: "no such video track",
			Request: &livekit.RequestResponse_UpdateVideoTrack{UpdateVideoTrack: u},
		})
		return
	}
	pub.info.Width, pub.info.Height = u.Width, u.Height
	r.changed(p)
}

// tellFirstWatchers tells publishers of tracks that have begun to be watched, on
// whatever node: a link that carries the track is a watcher too.
func (r *Room) tellFirstWatchers() {
	for _, p := range r.local {
		for sid, pub := range p.published {
			if p.conn == nil || pub.seen || pub.track == nil || pub.track.Stats().Sinks == 0 {
				continue
			}
			pub.seen = true
			p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_TrackSubscribed{
				TrackSubscribed: &livekit.TrackSubscribed{TrackSid: string(sid)},
			}})
		}
	}
}
