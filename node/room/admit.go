package room

import (
	"crypto/sha256"
	"time"

	"maille/node/guard"
	"maille/node/signal"
	"maille/proto/livekit"
)

// admit makes a participant part of the room; false when the room is full, or when the
// participant was removed while it came.
func (r *Room) admit(p *Participant, c signal.Conn) bool {
	if r.env.Voided(p.claims) {
		r.env.Refuse(guard.Token)
		return false
	}
	old := r.local[p.identity]
	if old == nil && r.roster.Get(p.identity) == nil && r.full(p.info) {
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
	r.guard(p, func() { r.early(p) })
	r.reconcile(p)
	r.open(p, c)
	r.log.Info("participant joined", "identity", p.identity, "sid", p.info.Sid)
	return true
}

// early does what the client asked for together with its join.
func (r *Room) early(p *Participant) {
	if s := p.join.SyncState; s != nil {
		p.restore(s)
	}
	for _, req := range p.join.Tracks {
		r.addTrack(p, req)
	}
}

// open starts the first exchange of descriptions: with this node's offer or, on a single
// connection, with the client's, which may have come with its join.
func (r *Room) open(p *Participant, c signal.Conn) {
	offer := p.join.Offer
	p.work.do(func() {
		if p.single() {
			if offer != nil {
				p.offered(offer, c)
			}
			return
		}
		if err := p.sub.Negotiate(); err != nil {
			r.log.Warn("first offer", "identity", p.identity, "err", err)
		}
	})
}

// full reports whether max_participants keeps a newcomer out. Agents, recorders and
// other machines neither count nor are refused.
func (r *Room) full(newcomer *livekit.ParticipantInfo) bool {
	limit := int(r.record.GetSettings().GetMaxParticipants())
	if limit == 0 || !counts(newcomer) {
		return false
	}
	for _, m := range r.roster.Members() {
		if counts(m.Info) {
			limit--
		}
	}
	return limit <= 0
}

func counts(info *livekit.ParticipantInfo) bool {
	switch info.Kind {
	case livekit.ParticipantInfo_STANDARD, livekit.ParticipantInfo_SIP:
		return !info.GetPermission().GetHidden()
	}
	return false
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
		SubscriberPrimary: !p.single(), PingInterval: pingIntervalS, PingTimeout: pingTimeoutS,
		IceServers: p.iceServers(), ClientConfiguration: p.configuration(), EnabledPublishCodecs: publishable(p.join.Client),
		SifTrailer: sifTrailer(r.sid), FastPublish: p.info.Permission.CanPublish,
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

// trailerBytes is long enough that no encrypted frame ends so by chance.
const trailerBytes = 16

// sifTrailer is what a frame that the server makes up ends with (rtc.Down.Trailer), for encrypted
// rooms to tell it from a participant's (JoinResponse.sif_trailer). It follows from the
// room's sid, so that it is the same on every node of the room, for as long as the
// room lives and whoever restarts. It is no secret: every participant is told.
func sifTrailer(sid string) []byte {
	sum := sha256.Sum256([]byte("maille sif trailer\x00" + sid))
	return sum[:trailerBytes]
}
