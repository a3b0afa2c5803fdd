package room

import (
	"maps"
	"slices"
	"time"

	"maille/node/signal"
	"maille/proto/livekit"
)

const (
	// resumeWindow is how long a participant whose socket and media are both gone may
	// come back and find its session (LiveKit's clients retry within it at least twice).
	resumeWindow = 10 * time.Second
	// failedWindow is how long one whose transport failed has to resume: it was told, so
	// it knows (LiveKit's own time).
	failedWindow = 5 * time.Second
	// activeWithin is how long a participant has to get its media up after joining.
	activeWithin = time.Minute
	// answerWithin is how long a client that is there has to answer an offer (LiveKit's own
	// time); then its view and ours have parted.
	answerWithin = 15 * time.Second
)

// remove ends a participant: the client is told, the room hears of it, media stops.
func (r *Room) remove(p *Participant, reason livekit.DisconnectReason, action livekit.LeaveRequest_Action) {
	if p.gone {
		return
	}
	p.gone = true
	if reason != livekit.DisconnectReason_CLIENT_INITIATED {
		p.write(leaveRequest(reason, action))
	}
	if p.conn != nil {
		// In-session closes never use 1000: clients would not react to it.
		p.conn.Close(signal.CloseSessionEnded, reason.String())
		p.conn = nil
	}
	p.info.State = livekit.ParticipantInfo_DISCONNECTED
	p.info.DisconnectReason = reason
	for sid := range p.subs {
		r.unsubscribe(p, sid)
	}
	for _, pub := range p.published {
		r.retract(pub)
	}
	p.withdrawData()
	if r.local[p.identity] == p {
		delete(r.local, p.identity)
		r.announceGone(p)
	}
	if len(r.local) == 0 {
		r.emptySince = r.env.Now()
	}
	p.work.finish(func() {
		if reason == livekit.DisconnectReason_MIGRATION {
			r.linger()
		}
		p.closePeers()
	})
	r.log.Info("participant left", "identity", p.identity, "sid", p.info.Sid, "reason", reason)
}

// lingerFor is how long the connections of a client that moved stay open: it may not
// have heard from its new node yet, and a goodbye would reach it.
const lingerFor = 5 * time.Second

func (r *Room) linger() {
	late := time.NewTimer(lingerFor)
	defer late.Stop()
	select {
	case <-late.C:
	case <-r.done:
	}
}

func (p *Participant) closePeers() {
	p.pub.Close()
	p.sub.Close()
}

// leave tells a client that is not in the room to leave, as the first message.
func leave(c signal.Conn, reason livekit.DisconnectReason, action livekit.LeaveRequest_Action) {
	_ = c.Write(leaveRequest(reason, action))
	c.Close(signal.CloseSessionEnded, reason.String())
}

func leaveRequest(reason livekit.DisconnectReason, action livekit.LeaveRequest_Action) *livekit.SignalResponse {
	return &livekit.SignalResponse{Message: &livekit.SignalResponse_Leave{Leave: &livekit.LeaveRequest{
		Reason: reason, Action: action, CanReconnect: action != livekit.LeaveRequest_DISCONNECT,
	}}}
}

// dismiss ends a client's socket but not its participant, which is expected back.
func (r *Room) dismiss(p *Participant, reason livekit.DisconnectReason) {
	p.lostAt = r.env.Now()
	if p.conn == nil {
		return
	}
	p.write(leaveRequest(reason, livekit.LeaveRequest_RESUME))
	p.conn.Close(signal.CloseInterrupted, reason.String())
	p.conn = nil
	p.pub.Away()
}

// transportFailed asks a client whose media is lost to resume: it restarts ICE on a
// new socket. The connection that it receives by may be up all the while.
func (r *Room) transportFailed(p *Participant, primary bool) {
	p.connected, p.failing = p.connected && !primary, true
	r.dismiss(p, livekit.DisconnectReason_CONNECTION_TIMEOUT)
}

// socketLost keeps the participant while its media flows.
func (r *Room) socketLost(p *Participant, c signal.Conn) {
	if p.conn != c {
		return
	}
	p.conn = nil
	p.pub.Away()
	p.lostAt = r.env.Now()
	if !p.connected {
		r.log.Debug("socket lost before media", "identity", p.identity)
	}
}

// unanswered reports whether the client has not answered the last offer that it was sent.
// The next one may have been made already, and be on its way to the loop.
func (p *Participant) unanswered() bool {
	if p.conn == nil || p.single() {
		return false
	}
	id := p.sub.Waiting()
	return id != 0 && id == p.offerID
}

// expire removes participants who never arrived, or are gone without a word.
func (r *Room) expire() {
	now := r.env.Now()
	for _, p := range slices.Collect(maps.Values(r.local)) {
		lost := now.Sub(p.lostAt)
		r.arrive(p)
		switch {
		case p.moving && p.conn == nil && lost > resumeWindow:
			r.remove(p, livekit.DisconnectReason_MIGRATION, livekit.LeaveRequest_RECONNECT)
		case p.failing && p.conn == nil && lost > failedWindow:
			r.remove(p, livekit.DisconnectReason_CONNECTION_TIMEOUT, livekit.LeaveRequest_DISCONNECT)
		case p.conn == nil && !p.connected && lost > resumeWindow:
			r.remove(p, livekit.DisconnectReason_SIGNAL_CLOSE, livekit.LeaveRequest_RECONNECT)
		case p.unanswered() && now.Sub(p.offeredAt) > answerWithin:
			r.log.Info("offer without answer", "identity", p.identity)
			r.remove(p, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
		case !p.active() && now.Sub(p.since) > activeWithin:
			r.remove(p, livekit.DisconnectReason_JOIN_FAILURE, livekit.LeaveRequest_DISCONNECT)
		}
	}
}
