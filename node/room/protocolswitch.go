package room

import (
	"maps"
	"slices"
	"strings"
	"time"

	"maille/node/room/roster"
	"maille/proto/livekit"
)

// switchedFor is how long after a simulated switch of protocols a client may join anew
// to have it.
const switchedFor = time.Minute

// switched is what protocol a client is to connect by next.
type switched struct {
	to livekit.CandidateProtocol
	at time.Time
}

// switchProtocol has a client's next connection to this node be over another protocol
// than UDP, the usual one.
func (r *Room) switchProtocol(identity string, to livekit.CandidateProtocol) {
	now := r.env.Now()
	maps.DeleteFunc(r.switched, func(_ string, s switched) bool { return now.Sub(s.at) > switchedFor })
	delete(r.switched, identity)
	usual := to != livekit.CandidateProtocol_TCP && to != livekit.CandidateProtocol_TLS
	if !usual && len(r.switched) < roster.MaxMembers {
		r.switched[identity] = switched{to, now}
	}
}

// switchedTo is the protocol that a client connects by now.
func (r *Room) switchedTo(identity string) livekit.CandidateProtocol {
	s, ok := r.switched[identity]
	if !ok || r.env.Now().Sub(s.at) > switchedFor {
		return livekit.CandidateProtocol_UDP
	}
	if s.to == livekit.CandidateProtocol_TLS && len(overTLS(r.env.ICEServers())) == 0 {
		return livekit.CandidateProtocol_TCP // as near as this node comes: TLS is for a TURN server
	}
	return s.to
}

// overTLS lists the TURN servers that are reached by TLS (RFC 7065, turns).
func overTLS(all []*livekit.ICEServer) (out []*livekit.ICEServer) {
	for _, s := range all {
		urls := slices.DeleteFunc(slices.Clone(s.Urls), func(u string) bool { return !strings.HasPrefix(u, "turns:") })
		if len(urls) > 0 {
			out = append(out, &livekit.ICEServer{Urls: urls, Username: s.Username, Credential: s.Credential})
		}
	}
	return out
}

// iceServers are the STUN and TURN servers that the client is told.
func (p *Participant) iceServers() []*livekit.ICEServer {
	all := p.room.env.ICEServers()
	if p.protocol == livekit.CandidateProtocol_TLS {
		return overTLS(all)
	}
	return all
}

// configuration is what the client is to do otherwise than by default; nil for nothing.
func (p *Participant) configuration() *livekit.ClientConfiguration {
	if p.protocol == livekit.CandidateProtocol_TLS {
		return &livekit.ClientConfiguration{ForceRelay: livekit.ClientConfigSetting_ENABLED}
	}
	return nil
}
