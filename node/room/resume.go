package room

import (
	"context"
	"maps"
	"slices"

	"maille/node/signal"
	"maille/proto/livekit"
)

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
