package room

import (
	"runtime/debug"

	"google.golang.org/protobuf/proto"

	"maille/proto/livekit"
)

// handle does one request of the client; true when the session is over.
func (p *Participant) handle(req *livekit.SignalRequest) (done bool) {
	r := p.room
	switch m := req.Message.(type) {
	case *livekit.SignalRequest_Offer:
		p.work.do(func() { p.offered(m.Offer) })
	case *livekit.SignalRequest_Answer:
		p.work.do(func() {
			if err := p.sub.SetAnswer(m.Answer.GetSdp(), m.Answer.GetId()); err != nil {
				p.negotiationFailed(err)
			}
		})
	case *livekit.SignalRequest_Trickle:
		peer := p.pub
		if m.Trickle.GetTarget() == livekit.SignalTarget_SUBSCRIBER {
			peer = p.sub
		}
		p.work.do(func() {
			if err := peer.AddCandidate(m.Trickle.GetCandidateInit()); err != nil {
				r.log.Debug("candidate refused", "identity", p.identity, "err", err)
				r.post(func() {
					p.answer(&livekit.RequestResponse{
						Reason: livekit.RequestResponse_INVALID_REQUEST, Message: "the candidate was refused",
						Request: &livekit.RequestResponse_Trickle{Trickle: m.Trickle},
					})
				})
			}
		})
	case *livekit.SignalRequest_Leave:
		_ = r.call(func() { r.remove(p, livekit.DisconnectReason_CLIENT_INITIATED, livekit.LeaveRequest_DISCONNECT) })
		return true
	default:
		if r.call(func() { r.guard(p, func() { r.request(p, req) }) }) != nil {
			return true
		}
	}
	return false
}

// guard runs what a client asked for. A fault in it ends that client alone: the room
// is other people's too.
func (r *Room) guard(p *Participant, f func()) {
	defer func() {
		if v := recover(); v != nil {
			r.log.Error("fault while serving a client", "identity", p.identity, "panic", v, "stack", string(debug.Stack()))
			r.remove(p, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
		}
	}()
	f()
}

// request does one request that needs the room's state.
func (r *Room) request(p *Participant, req *livekit.SignalRequest) {
	if p.gone {
		return
	}
	switch m := req.Message.(type) {
	case *livekit.SignalRequest_AddTrack:
		r.addTrack(p, m.AddTrack)
	case *livekit.SignalRequest_Mute:
		if !r.mute(p, m.Mute.GetSid(), m.Mute.GetMuted()) {
			p.answer(&livekit.RequestResponse{
				Reason: livekit.RequestResponse_NOT_FOUND, Message: "no such track to mute",
				Request: &livekit.RequestResponse_Mute{Mute: m.Mute},
			})
		}
	case *livekit.SignalRequest_Subscription:
		p.choose(m.Subscription)
		r.reconcile(p)
	case *livekit.SignalRequest_TrackSetting:
		p.set(m.TrackSetting)
	case *livekit.SignalRequest_SubscriptionPermission:
		r.permit(p, m.SubscriptionPermission)
	case *livekit.SignalRequest_SyncState:
		r.synced(p, m.SyncState)
	case *livekit.SignalRequest_UpdateMetadata:
		r.updateMetadata(p, m.UpdateMetadata)
	case *livekit.SignalRequest_UpdateAudioTrack:
		r.updateAudioTrack(p, m.UpdateAudioTrack)
	case *livekit.SignalRequest_UpdateVideoTrack:
		r.updateVideoTrack(p, m.UpdateVideoTrack)
	case *livekit.SignalRequest_PublishDataTrackRequest:
		r.publishDataTrack(p, m.PublishDataTrackRequest)
	case *livekit.SignalRequest_UnpublishDataTrackRequest:
		r.unpublishDataTrack(p, m.UnpublishDataTrackRequest)
	case *livekit.SignalRequest_UpdateDataSubscription:
		r.chooseData(p, m.UpdateDataSubscription)
	case *livekit.SignalRequest_Simulate:
		r.simulate(p, m.Simulate)
	}
}

// maxWishes bounds the tracks that one client may have wishes about: twice those of the
// largest meeting.
const maxWishes = 2 * MaxMembers

// choose notes explicit subscriptions.
func (p *Participant) choose(u *livekit.UpdateSubscription) {
	known := p.room.publishedSids()
	set := func(sids []string) {
		for _, sid := range sids {
			if len(p.choices) < maxWishes {
				p.choices[sid] = u.Subscribe
			}
			delete(p.missing, sid)
			if u.Subscribe && !known[sid] && len(p.missing) < maxMissing {
				p.missing[sid] = p.room.env.Now()
			}
		}
	}
	set(u.GetTrackSids())
	for _, t := range u.GetParticipantTracks() {
		set(t.GetTrackSids())
	}
}

func (p *Participant) set(u *livekit.UpdateTrackSettings) {
	for _, sid := range u.GetTrackSids() {
		if len(p.settings) >= maxWishes {
			return
		}
		p.settings[sid] = proto.Clone(u).(*livekit.UpdateTrackSettings)
		p.applySettings(sid)
	}
}
