package node

import (
	"time"

	"maille/node/auth"
	"maille/node/config"
	"maille/node/guard"
	"maille/node/room"
	"maille/node/rtc"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/track"
)

// env is what rooms see of the node.
type env struct{ n *Node }

func (e *env) Self() string                     { return e.n.self.Name }
func (e *env) Region() string                   { return e.n.self.Region }
func (e *env) Engine() *rtc.Engine              { return e.n.engine }
func (e *env) ICEServers() []*livekit.ICEServer { return iceServers(e.n.cfg.ICEServers) }
func (e *env) Version() string                  { return CompatVersion }
func (e *env) Now() time.Time                   { return e.n.now() }
func (e *env) Void(c *auth.Claims)              { e.n.void(auth.Revoke(c, e.n.now())) }
func (e *env) Voided(c *auth.Claims) bool       { return e.n.revoked.Void(c, e.n.now()) }

func (e *env) Refuse(why guard.Reason) { e.n.refused.Add(why) }
func (e *env) Send(node, channel string, msg []byte) error {
	return e.n.send(node, channel, msg)
}

func (e *env) Offer(node, channel string, msg []byte) error {
	s := e.n.links.Session(node)
	if s == nil {
		return errNoLink
	}
	return s.Offer(channel, msg)
}

// Linked is false for a session that is about to end: nothing new comes of it.
func (e *env) Linked(node string) bool {
	s := e.n.links.Session(node)
	if s == nil {
		return false
	}
	select {
	case <-s.Done():
		return false
	default:
		return true
	}
}

func (e *env) RegionOf(node string) string {
	m, _ := e.n.gossip.Snapshot().Node(node)
	return m.Region
}

func (e *env) Pull(node, roomName string, into *track.Track) room.Upstream {
	return e.n.pull(node, roomName, into)
}

func (e *env) Revoke(node string, id relay.TrackID) {
	if s := e.n.links.Session(node); s != nil {
		s.Revoke(id)
	}
}

func (e *env) Token(p *room.Participant) string {
	token, err := e.n.verifier.Refresh(p.Current())
	if err != nil {
		e.n.log.Error("refresh token", "err", err)
	}
	return token
}

func iceServers(list config.ICEServers) []*livekit.ICEServer {
	var out []*livekit.ICEServer
	for _, s := range list {
		out = append(out, &livekit.ICEServer{Urls: s.URLs, Username: s.Username, Credential: s.Credential})
	}
	return out
}
