package room

import (
	"context"
	"runtime/debug"

	"maille/node/guard"
	"maille/node/room/roster"
	"maille/node/signal"
	"maille/proto/livekit"
)

// A client may describe so many bytes of SDP a second, and once in a while the burst: a
// hundred kilobytes, an offer of forty sections, cost a quarter of a second of a core.
// What is more waits, and with it all that the client sends after it.
const (
	describeRate  = 128 << 10
	describeBurst = 1 << 20
	// describeLeast is what a small description counts.
	describeLeast = 8 << 10
)

// pace waits until the client may describe so many bytes; false when its socket is gone.
func (p *Participant) pace(ctx context.Context, sdp string) bool {
	n := min(max(len(sdp), describeLeast), describeBurst)
	if p.described.AllowN(p.room.env.Now(), n) {
		return true
	}
	p.room.env.Refuse(guard.Backlog)
	return p.described.WaitN(ctx, n) == nil
}

// handle does one request of the client; true when the session is over. A client that
// asks faster than can be done for it waits: its socket is read no further.
func (p *Participant) handle(ctx context.Context, c signal.Conn, req *livekit.SignalRequest) (done bool) {
	r := p.room
	if !complete(req) {
		r.env.Refuse(guard.Message)
		return false
	}
	if p.work.settled() {
		r.env.Refuse(guard.Backlog)
	}
	switch m := req.Message.(type) {
	case *livekit.SignalRequest_Offer:
		if !p.pace(ctx, m.Offer.GetSdp()) {
			return false // reading the socket tells
		}
		p.work.do(func() { p.offered(m.Offer, c) })
	case *livekit.SignalRequest_Answer:
		if !p.pace(ctx, m.Answer.GetSdp()) {
			return false
		}
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

// complete reports whether the request that is named is there. On the wire it always
// is; other ways in may come.
func complete(req *livekit.SignalRequest) bool {
	m := req.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().ByName("message"))
	return field != nil && (field.Message() == nil || m.Get(field).Message().IsValid())
}

// guard runs what a client asked for. A fault in it ends that client alone: the room
// is other people's too.
func (r *Room) guard(p *Participant, f func()) {
	defer func() {
		if v := recover(); v != nil {
			r.env.Refuse(guard.Fault)
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
	case *livekit.SignalRequest_StoreDataBlobRequest:
		r.storeBlob(p, m.StoreDataBlobRequest)
	case *livekit.SignalRequest_GetDataBlobRequest:
		r.getBlob(p, m.GetDataBlobRequest)
	case *livekit.SignalRequest_Simulate:
		r.simulate(p, m.Simulate)
	}
}

// maxSid bounds the sids that clients name, in bytes; this node's have 15.
const maxSid = 64

// maxWishes bounds the tracks that one client may have wishes about: twice those of the
// largest meeting.
const maxWishes = 2 * roster.MaxMembers

// choose notes explicit subscriptions.
func (p *Participant) choose(u *livekit.UpdateSubscription) {
	known := p.room.publishedSids()
	set := func(sids []string) {
		for _, sid := range sids {
			if !wish(p, p.choices, sid) {
				continue
			}
			p.choices[sid] = u.Subscribe
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

// wish reports whether a client may have one about a track, beside those it has.
func wish[V any](p *Participant, wishes map[string]V, sid string) bool {
	if _, ok := wishes[sid]; ok {
		return true
	}
	if len(sid) > maxSid || len(wishes) >= maxWishes {
		p.room.env.Refuse(guard.Name)
		return false
	}
	return true
}

// set notes how a client looks at tracks.
func (p *Participant) set(u *livekit.UpdateTrackSettings) {
	// One for all of them, without their list: a message may name thousands.
	kept := &livekit.UpdateTrackSettings{
		Disabled: u.GetDisabled(), Quality: u.GetQuality(), Width: u.GetWidth(), Height: u.GetHeight(),
		Fps: u.GetFps(), Priority: u.GetPriority(),
	}
	for _, sid := range u.GetTrackSids() {
		if wish(p, p.settings, sid) {
			p.settings[sid] = kept
			p.applySettings(sid)
		}
	}
}
