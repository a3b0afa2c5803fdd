package room

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"maille/node/rtc"
	"maille/node/signal"
	"maille/proto/livekit"
	"maille/relay"
)

// What clients are told of timing (signalling.md 5.1): a ping every 5 s, and a socket
// silent for 15 s is lost.
const (
	pingIntervalS = 5
	pingTimeoutS  = 15
	// serverProtocol is the signal protocol version this node speaks.
	serverProtocol = 17
)

// Session is one client's signalling with this room, from the first message to the
// last: a join, or a resume of a participant that is still here.
type Session struct {
	room *Room
	join *signal.Join
}

// NewSession prepares a client's session; Run does the work.
func (r *Room) NewSession(j *signal.Join) *Session { return &Session{room: r, join: j} }

// Run owns the socket until it ends. The participant may outlive it: while its media
// flows, a lost socket is only a pause in signalling.
func (s *Session) Run(ctx context.Context, c signal.Conn) error {
	r := s.room
	if s.join.Reconnect {
		return s.resume(ctx, c)
	}
	p, err := r.newPeers(s.join)
	if err != nil {
		leave(c, livekit.DisconnectReason_JOIN_FAILURE, livekit.LeaveRequest_DISCONNECT)
		return err
	}
	admitted := false
	if err := r.call(func() { admitted = r.admit(p, c) }); err != nil || !admitted {
		leave(c, livekit.DisconnectReason_JOIN_FAILURE, livekit.LeaveRequest_DISCONNECT)
		p.work.finish(func() { p.pub.Close(); p.sub.Close() })
		if err == nil {
			err = ErrFull
		}
		return err
	}
	return s.read(ctx, p, c)
}

// read hands the client's requests to the room until the socket ends.
func (s *Session) read(ctx context.Context, p *Participant, c signal.Conn) error {
	for {
		req, err := c.Read(ctx)
		if err != nil {
			s.room.post(func() { s.room.socketLost(p, c) })
			return err
		}
		if done := p.handle(req); done {
			return nil
		}
	}
}

func leave(c signal.Conn, reason livekit.DisconnectReason, action livekit.LeaveRequest_Action) {
	_ = c.Write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Leave{Leave: &livekit.LeaveRequest{
		Reason: reason, Action: action, CanReconnect: action != livekit.LeaveRequest_DISCONNECT,
	}}})
	c.Close(signal.CloseSessionEnded, reason.String())
}

// newPeers makes the participant and its peer connections, off the loop.
func (r *Room) newPeers(j *signal.Join) (*Participant, error) {
	p := newParticipant(r, j)
	var err error
	if p.pub, err = r.env.Engine().NewPeer(&transport{p: p, target: livekit.SignalTarget_PUBLISHER}, rtc.Options{Role: rtc.Uplink, Name: p.identity}); err != nil {
		p.work.finish(func() {})
		return nil, fmt.Errorf("room: publisher connection: %w", err)
	}
	if p.sub, err = r.env.Engine().NewPeer(&transport{p: p, target: livekit.SignalTarget_SUBSCRIBER}, rtc.Options{Role: rtc.Downlink, Name: p.identity}); err != nil {
		p.work.finish(func() { p.pub.Close() })
		return nil, fmt.Errorf("room: subscriber connection: %w", err)
	}
	return p, nil
}

// admit makes a participant part of the room; false when the room is full.
func (r *Room) admit(p *Participant, c signal.Conn) bool {
	old := r.local[p.identity]
	limit := int(r.record.GetSettings().GetMaxParticipants())
	if limit > 0 && old == nil && r.roster.Get(p.identity) == nil && len(r.roster.Members()) >= limit &&
		p.info.Kind == livekit.ParticipantInfo_STANDARD {
		return false
	}
	if old != nil {
		// The identity stays in the room: others see only its new sid.
		delete(r.local, p.identity)
		r.remove(old, livekit.DisconnectReason_DUPLICATE_IDENTITY, livekit.LeaveRequest_DISCONNECT)
	}
	if known := r.roster.Get(p.identity); known != nil && p.joinedNS <= known.JoinedNS {
		// A hybrid clock: this join saw the other, so it is the later one, whatever the
		// clocks of the two nodes say.
		p.joinedNS = known.JoinedNS + 1
	}
	p.conn = c
	p.info.State = livekit.ParticipantInfo_JOINED
	r.local[p.identity] = p
	r.emptySince, r.visited = time.Time{}, true
	p.write(r.joinResponse(p))
	p.refreshToken()
	r.announce([]*Participant{p})
	r.reconcile(p)
	p.work.do(func() {
		if err := p.sub.Negotiate(); err != nil {
			r.log.Warn("first offer", "identity", p.identity, "err", err)
		}
	})
	r.log.Info("participant joined", "identity", p.identity, "sid", p.info.Sid)
	return true
}

func (r *Room) serverInfo() *livekit.ServerInfo {
	return &livekit.ServerInfo{
		Edition: livekit.ServerInfo_Standard, Version: r.env.Version(), Protocol: serverProtocol,
		Region: r.env.Region(), NodeId: "ND_" + r.env.Self(), AgentProtocol: 1,
	}
}

func (r *Room) joinResponse(p *Participant) *livekit.SignalResponse {
	info := r.serverInfo()
	return &livekit.SignalResponse{Message: &livekit.SignalResponse_Join{Join: &livekit.JoinResponse{
		Room: r.info(), Participant: p.member().Info, OtherParticipants: r.others(p),
		ServerVersion: info.Version, ServerInfo: info, ServerRegion: info.Region,
		SubscriberPrimary: true, PingInterval: pingIntervalS, PingTimeout: pingTimeoutS,
		EnabledPublishCodecs: enabledCodecs, FastPublish: p.info.Permission.CanPublish,
	}}}
}

// others lists every visible participant but p.
func (r *Room) others(p *Participant) []*livekit.ParticipantInfo {
	var out []*livekit.ParticipantInfo
	for _, m := range r.roster.Members() {
		if m.Info.Identity != p.identity && !m.Hidden {
			out = append(out, m.Info)
		}
	}
	return out
}

// resume continues a participant on a new socket, or tells the client to join anew.
func (s *Session) resume(ctx context.Context, c signal.Conn) error {
	r := s.room
	var p *Participant
	if err := r.call(func() {
		if p = r.local[s.join.Identity]; p == nil || p.gone {
			p = nil
			return
		}
		if p.conn != nil {
			p.conn.Close(signal.CloseSessionEnded, "resumed on another socket")
		}
		p.conn, p.join = c, s.join
		p.lostAt = r.env.Now()
		info := r.serverInfo()
		p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Reconnect{Reconnect: &livekit.ReconnectResponse{ServerInfo: info}}})
		all := append(r.others(p), p.member().Info)
		p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Update{Update: &livekit.ParticipantUpdate{Participants: all}}})
		p.write(r.roomUpdate())
		p.refreshToken()
		p.work.do(func() {
			if err := p.sub.Restart(); err != nil {
				r.log.Debug("restart offer", "identity", p.identity, "err", err)
			}
		})
	}); err != nil {
		p = nil
	}
	if p == nil {
		leave(c, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
		return nil
	}
	return s.read(ctx, p, c)
}

// socketLost keeps the participant while its media flows.
func (r *Room) socketLost(p *Participant, c signal.Conn) {
	if p.conn != c {
		return
	}
	p.conn = nil
	p.lostAt = r.env.Now()
	if !p.connected {
		r.log.Debug("socket lost before media", "identity", p.identity)
	}
}

// expireResumes removes participants whose socket and media are both gone.
func (r *Room) expireResumes() {
	for _, p := range slices.Collect(maps.Values(r.local)) {
		if p.conn == nil && !p.connected && r.env.Now().Sub(p.lostAt) > resumeWindow {
			r.remove(p, livekit.DisconnectReason_SIGNAL_CLOSE, livekit.LeaveRequest_RECONNECT)
		}
	}
}

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
		r.mute(p, m.Mute.GetSid(), m.Mute.GetMuted())
	case *livekit.SignalRequest_Subscription:
		p.choose(m.Subscription)
		r.reconcile(p)
	case *livekit.SignalRequest_TrackSetting:
		p.set(m.TrackSetting)
	case *livekit.SignalRequest_SubscriptionPermission:
		p.permission = m.SubscriptionPermission
		r.announce([]*Participant{p})
	case *livekit.SignalRequest_SyncState:
		p.choose(m.SyncState.GetSubscription())
		r.reconcile(p)
	case *livekit.SignalRequest_UpdateMetadata:
		r.updateMetadata(p, m.UpdateMetadata)
	case *livekit.SignalRequest_UpdateAudioTrack:
		if pub := p.published[relay.TrackID(m.UpdateAudioTrack.GetTrackSid())]; pub != nil {
			pub.info.AudioFeatures = m.UpdateAudioTrack.Features
			r.announce([]*Participant{p})
		}
	case *livekit.SignalRequest_Simulate:
		r.simulate(p, m.Simulate)
	}
}

// choose notes explicit subscriptions.
func (p *Participant) choose(u *livekit.UpdateSubscription) {
	set := func(sids []string) {
		for _, sid := range sids {
			if len(p.choices) < MaxMembers {
				p.choices[sid] = u.Subscribe
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
		if len(p.settings) >= MaxMembers {
			return
		}
		p.settings[sid] = proto.Clone(u).(*livekit.UpdateTrackSettings)
		p.applySettings(sid)
	}
}

// simulate serves the clients' own fault tests.
func (r *Room) simulate(p *Participant, s *livekit.SimulateScenario) {
	switch s.GetScenario().(type) {
	case *livekit.SimulateScenario_ServerLeave, *livekit.SimulateScenario_NodeFailure, *livekit.SimulateScenario_LeaveRequestFullReconnect:
		r.remove(p, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
	}
}

// Holds reports whether a participant of that identity is attached here.
func (r *Room) Holds(identity string) (ok bool) {
	_ = r.call(func() { ok = r.local[identity] != nil })
	return ok
}
