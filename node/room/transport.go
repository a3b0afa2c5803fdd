package room

import (
	"maille/node/rtc"
	"maille/node/signal"
	"maille/proto/livekit"
	"maille/relay"
)

// transport hears one peer connection of a participant and hands what it says to
// the room's loop.
type transport struct {
	p      *Participant
	target livekit.SignalTarget
}

func (t *transport) post(f func(r *Room, p *Participant)) {
	r, p := t.p.room, t.p
	r.post(func() {
		if !p.gone {
			r.guard(p, func() { f(r, p) })
		}
	})
}

func (t *transport) Candidate(initJSON string, final bool) {
	t.post(func(_ *Room, p *Participant) {
		p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Trickle{Trickle: &livekit.TrickleRequest{
			CandidateInit: initJSON, Target: t.target, Final: final,
		}}})
	})
}

func (t *transport) Offer(sdp string, id uint32) {
	t.post(func(r *Room, p *Participant) {
		p.offerID, p.offeredAt = id, r.env.Now()
		p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Offer{Offer: &livekit.SessionDescription{
			Type: "offer", Sdp: sdp, Id: id, MidToTrackId: mids(p.sub),
		}}})
	})
}

func (t *transport) Sections(audio, video uint32) {
	t.post(func(_ *Room, p *Participant) {
		p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_MediaSectionsRequirement{
			MediaSectionsRequirement: &livekit.MediaSectionsRequirement{NumAudios: audio, NumVideos: video},
		}})
	})
}

func (t *transport) State(s rtc.State, why error) {
	t.post(func(r *Room, p *Participant) { r.transportState(p, t.target, s, why) })
}

func (t *transport) Published(pub rtc.Published) {
	t.post(func(r *Room, p *Participant) { r.trackStarted(p, pub) })
}

func (t *transport) Unpublished(sid relay.TrackID) {
	t.post(func(r *Room, p *Participant) { r.trackStopped(p, sid) })
}

func (t *transport) Demand(sid relay.TrackID, want relay.LayerSet) {
	t.post(func(_ *Room, p *Participant) { p.demanded(sid, want) })
}

func (t *transport) Stream(sid relay.TrackID, held bool) {
	t.post(func(r *Room, p *Participant) { r.streamHeld(p, sid, held) })
}

func (t *transport) Data(ch rtc.Channel, payload []byte) {
	if ch == rtc.DataTrack {
		t.p.trackData(payload)
		return
	}
	t.post(func(r *Room, p *Participant) { r.publishData(p, ch == rtc.Reliable, payload) })
}

// offered answers an offer that came by a client's socket.
func (p *Participant) offered(d *livekit.SessionDescription, c signal.Conn) {
	answer, err := p.pub.SetOffer(d.GetSdp(), d.GetId())
	if err != nil {
		p.negotiationFailed(err)
		return
	}
	reply := &livekit.SignalResponse{Message: &livekit.SignalResponse_Answer{Answer: &livekit.SessionDescription{
		Type: "answer", Sdp: answer, Id: d.GetId(), MidToTrackId: mids(p.pub),
	}}}
	exchange := p.pub.Exchanges()
	p.room.post(func() {
		p.write(reply)
		if p.conn == c && !p.gone { // an answer that came on another socket is not listened to
			p.pub.Told(exchange)
		}
	})
}

// negotiationFailed asks the client to start over: its view and ours no longer match.
func (p *Participant) negotiationFailed(err error) {
	p.room.post(func() {
		p.room.log.Warn("negotiation failed", "identity", p.identity, "err", err)
		p.room.remove(p, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
	})
}

func (r *Room) transportState(p *Participant, target livekit.SignalTarget, s rtc.State, why error) {
	primary := target == livekit.SignalTarget_SUBSCRIBER || p.single()
	switch s {
	case rtc.Connected:
		if !primary {
			return
		}
		p.connected = true
		if p.info.State != livekit.ParticipantInfo_ACTIVE {
			p.info.State = livekit.ParticipantInfo_ACTIVE
			r.announce([]*Participant{p})
			r.log.Info("participant active", "identity", p.identity)
		}
	case rtc.Failed:
		r.log.Info("media transport lost", "identity", p.identity, "target", target, "err", why)
		r.transportFailed(p, primary)
	case rtc.Closed:
		switch {
		case why == nil:
		case p.moving:
			// With its new node's certificate the client drops what it had with this one, and
			// may say so here before that node tells of it. The others keep it meanwhile.
			p.parted, p.connected = true, false
		default:
			r.log.Info("peer connection ended", "identity", p.identity, "err", why)
			r.remove(p, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
		}
	}
}

func mids(p *rtc.Peer) map[string]string {
	out := make(map[string]string)
	for mid, sid := range p.Mids() {
		out[mid] = string(sid)
	}
	return out
}
