package node

import (
	"errors"
	"log/slog"
	"slices"

	"maille/node/room"
	"maille/relay/link"
	"maille/relay/track"
)

// links hears the node's links and hands what they bring to the rooms. It is the
// link.Handler of the node's endpoint.
type links struct {
	n *Node
}

// errNotServed refuses a peer that asks for a track of a room not served here, or
// one not published here.
var errNotServed = errors.New("node: no such track here")

// maxPathHops bounds how far a track travels from its origin: two hops, three while
// it is rerouted (DESIGN section 4).
const maxPathHops = 3

func (l *links) Up(s *link.Session) {
	l.n.log.Info("link up", "peer", s.Peer())
	l.n.wg.Go(func() { l.n.watchProcess(s) })
	l.n.tellRevoked(s.Peer(), l.n.revoked.All(l.n.now()))
	for _, r := range l.n.rooms.all() {
		r.LinkUp(s.Peer())
	}
}

func (l *links) Down(s *link.Session, err error) {
	level := slog.LevelWarn
	if link.Orderly(err) {
		level = slog.LevelInfo
	}
	l.n.log.Log(l.n.life, level, "link down", "peer", s.Peer(), "err", err)
	for _, r := range l.n.rooms.all() {
		r.LinkDown(s.Peer())
	}
}

func (l *links) Message(s *link.Session, channel string, msg []byte) {
	if name, ok := room.LossyRoom(channel); ok {
		if r := l.n.rooms.find(name); r != nil {
			r.ReceiveLossy(s.Peer(), msg)
		}
		return
	}
	if channel == revokedChannel {
		l.n.heardRevoked(s.Peer(), msg)
		return
	}
	name, ok := room.ChannelRoom(channel)
	if !ok {
		return
	}
	if r := l.n.rooms.find(name); r != nil {
		r.Receive(s.Peer(), msg)
	}
}

func (l *links) Serve(s *link.Session, ref link.TrackRef) (*track.Track, error) {
	if len(ref.Path) > maxPathHops || slices.Contains(ref.Path, l.n.self.Name) {
		return nil, errNotServed
	}
	r := l.n.rooms.find(ref.Room)
	if r == nil {
		return nil, errNotServed
	}
	return r.Serve(s.Peer(), ref.ID)
}

// pull makes a link the source of a track. The request carries no path but this node: it is
// one for all who want the track here, now and later, so that a path it came by would soon
// be untrue. Loops cannot form by the rule of who may serve whom (room/route).
func (n *Node) pull(peer, roomName string, into *track.Track) room.Upstream {
	s := n.links.Session(peer)
	if s == nil {
		return nil
	}
	return s.Pull(link.TrackRef{Room: roomName, ID: into.ID()}, into)
}

// errNoLink is returned for messages to a node without a session.
var errNoLink = errors.New("node: no link to that node")

func (n *Node) send(peer, channel string, msg []byte) error {
	s := n.links.Session(peer)
	if s == nil {
		return errNoLink
	}
	return s.Send(channel, msg)
}
