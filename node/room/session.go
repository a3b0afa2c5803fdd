package room

import (
	"context"
	"fmt"

	"maille/node/rtc"
	"maille/node/signal"
	"maille/proto/livekit"
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
	p, err := r.newPeers(s.join, false)
	if err != nil {
		leave(c, livekit.DisconnectReason_JOIN_FAILURE, livekit.LeaveRequest_DISCONNECT)
		return err
	}
	admitted := false
	if err := r.call(func() { admitted = r.admit(p, c) }); err != nil || !admitted {
		action := livekit.LeaveRequest_RECONNECT // the room closed here meanwhile: another node may have it
		if err == nil {
			action, err = livekit.LeaveRequest_DISCONNECT, ErrFull
		}
		leave(c, livekit.DisconnectReason_JOIN_FAILURE, action)
		p.work.finish(p.closePeers)
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
		if done := p.handle(ctx, c, req); done {
			return nil
		}
	}
}

// newPeers makes the participant and its peer connections, off the loop; resumed when
// it comes from another node.
func (r *Room) newPeers(j *signal.Join, resumed bool) (*Participant, error) {
	p := newParticipant(r, j)
	gecko := isGecko(j.Client)
	o := rtc.Options{Name: p.identity, Resumed: resumed, IdleOpen: gecko, Hold: gecko, Opening: hearsByPacket(j.Client)}
	_ = r.call(func() { p.protocol, o.Playout = r.switchedTo(p.identity), playout(r.record.GetSettings()) })
	o.TCPOnly = p.protocol == livekit.CandidateProtocol_TCP
	connect := func(role rtc.Role, target livekit.SignalTarget) (*rtc.Peer, error) {
		o.Role = role
		peer, err := r.env.Engine().NewPeer(&transport{p: p, target: target}, o)
		if err != nil {
			return nil, fmt.Errorf("room: %s connection: %w", role, err)
		}
		return peer, nil
	}
	up := rtc.Uplink
	if j.SinglePC {
		up = rtc.Duplex
	}
	var err error
	if p.pub, err = connect(up, livekit.SignalTarget_PUBLISHER); err != nil {
		p.work.finish(func() {})
		return nil, err
	}
	if p.sub = p.pub; j.SinglePC {
		return p, nil
	}
	if p.sub, err = connect(rtc.Downlink, livekit.SignalTarget_SUBSCRIBER); err != nil {
		p.work.finish(func() { p.pub.Close() })
		return nil, err
	}
	return p, nil
}

// Holds reports whether a participant of that identity is attached here.
func (r *Room) Holds(identity string) (ok bool) {
	_ = r.call(func() { ok = r.local[identity] != nil })
	return ok
}
