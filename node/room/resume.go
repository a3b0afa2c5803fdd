package room

import (
	"context"

	"maille/node/signal"
	"maille/proto/livekit"
	"maille/relay"
)

// resume continues a participant on a new socket, or tells the client to join anew.
func (s *Session) resume(ctx context.Context, c signal.Conn) error {
	r := s.room
	var p *Participant
	if err := r.call(func() { p = r.resumed(s.join, c) }); err != nil {
		p = nil
	}
	if p == nil {
		p = s.takeOver(c)
	}
	if p == nil {
		leave(c, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
		return nil
	}
	return s.read(ctx, p, c)
}

// resumed gives a participant its new socket and tells the client what it missed; nil
// when the session it asks for is not here.
func (r *Room) resumed(j *signal.Join, c signal.Conn) *Participant {
	p := r.local[j.Identity]
	if p == nil || p.gone || p.parted || p.single() != j.SinglePC || (j.ParticipantSid != "" && j.ParticipantSid != p.info.Sid) {
		return nil
	}
	r.log.Info("participant resumed", "identity", p.identity, "sid", p.info.Sid, "reason", j.ReconnectReason)
	if p.conn != nil {
		p.conn.Close(signal.CloseSessionEnded, "resumed on another socket")
	}
	p.pub.Away()
	p.conn, p.join = c, j
	p.lostAt, p.failing, p.moving = r.env.Now(), false, false
	p.offeredAt = p.lostAt // an offer without answer is sent again
	if p.interrupted(cutSilent) {
		return p
	}
	r.guard(p, func() {
		r.welcomeBack(p)
		if j.SyncState != nil {
			r.synced(p, j.SyncState)
		}
		r.restart(p)
	})
	p.interrupted(cutAfter)
	return p
}

// restart offers new transport addresses. On a single connection that is the client's
// part, and may have come with its join. A client that has had too many and receives
// nothing is told to join anew, as it would wait for nothing.
func (r *Room) restart(p *Participant) {
	offer, c := p.join.Offer, p.conn
	p.work.do(func() {
		switch {
		case !p.single():
			if err := p.sub.Restart(); err != nil {
				r.log.Debug("restart offer", "identity", p.identity, "err", err)
				r.post(func() {
					if !p.gone && !p.connected {
						r.remove(p, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
					}
				})
			}
		case offer != nil:
			p.offered(offer, c)
		}
	})
}

// welcomeBack tells a resumed client what it needs and what it missed, in the order
// that clients expect (signalling.md 3.7).
func (r *Room) welcomeBack(p *Participant) {
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Reconnect{Reconnect: &livekit.ReconnectResponse{
		IceServers: p.iceServers(), ClientConfiguration: p.configuration(), ServerInfo: r.serverInfo(), LastMessageSeq: p.lastMessageSeq(),
	}}})
	p.retellMutes()
	var missed []news
	for identity, d := range r.departed {
		if identity != p.identity { // who hides has left for the others only
			missed = append(missed, d.news)
		}
	}
	p.update(missed)
	var all []news
	for _, info := range r.others(p) {
		all = append(all, news{info: info})
	}
	p.update(append(all, news{info: p.member().Info}))
	p.write(r.roomUpdate())
	p.refreshToken()
	r.retell(p)
}

// synced takes what a resumed client says of its own state. It may have published a
// track that this node knows nothing of: then the two have parted ways for good.
func (r *Room) synced(p *Participant, s *livekit.SyncState) {
	if p.arriving != nil {
		r.rebuild(p, s)
		return
	}
	for _, t := range s.GetPublishTracks() {
		if !p.publishes(t.GetTrack().GetSid()) {
			r.log.Info("resumed with a track unknown here", "identity", p.identity, "track", t.GetTrack().GetSid())
			r.remove(p, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
			return
		}
	}
	p.restore(s)
	r.reconcile(p)
}

// restore takes the wishes of a sync_state: subscriptions, tracks not looked at, data.
func (p *Participant) restore(s *livekit.SyncState) {
	p.choose(s.GetSubscription())
	for _, sid := range s.GetTrackSidsDisabled() {
		p.set(&livekit.UpdateTrackSettings{TrackSids: []string{sid}, Disabled: true})
	}
	p.replay(s.GetDatachannelReceiveStates())
	p.republish(s.GetPublishDataTracks())
	p.room.chooseData(p, s.GetDataSubscription())
}

// publishes reports whether a track of that sid is published or announced.
func (p *Participant) publishes(sid string) bool {
	if p.published[relay.TrackID(sid)] != nil {
		return true
	}
	for _, pub := range p.pending {
		if pub.info.Sid == sid {
			return true
		}
	}
	return false
}
