package node

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"maille/node/auth"
	"maille/node/guard"
	linkpb "maille/proto/link"
)

// Who is removed from a room must not come back with the token it had, by whatever node
// it tries. So every node holds the revocations of the whole cluster: those it hears of
// it need not pass on, as every node has a link to every other.

// revokedChannel carries revocations between nodes.
const revokedChannel = "revoked"

// revokedBatch bounds the revocations of one message to 300 kB.
const revokedBatch = 500

// Remove ends a participant of a room that is open here, on whatever node it is, and
// makes its tokens void everywhere. It reports whether there is one of that identity.
func (n *Node) Remove(roomName, identity string) bool {
	r := n.rooms.find(roomName)
	return r != nil && r.Order(&linkpb.Order{Identity: identity, Remove: true})
}

// void makes tokens void here and everywhere, and ends who came by them.
func (n *Node) void(v auth.Revocation) {
	if !n.takeRevoked(v) {
		return
	}
	for _, s := range n.links.Sessions() {
		n.tellRevoked(s.Peer(), []auth.Revocation{v})
	}
}

// takeRevoked reports whether the revocation is news.
func (n *Node) takeRevoked(v auth.Revocation) bool {
	if !n.revoked.Add(v, n.now()) {
		return false
	}
	if r := n.rooms.find(v.Room); r != nil {
		r.Expel(v.Identity)
	}
	return true
}

func (n *Node) tellRevoked(peer string, all []auth.Revocation) {
	for part := range slices.Chunk(all, revokedBatch) {
		m := new(linkpb.Revocations)
		for _, v := range part {
			m.Revocations = append(m.Revocations, &linkpb.Revocation{
				Room: v.Room, Identity: v.Identity,
				IssuedUntilMs: v.IssuedUntil.UnixMilli(), ExpiresUntilMs: v.ExpiresUntil.UnixMilli(),
			})
		}
		b, err := proto.Marshal(m)
		if err == nil {
			err = n.send(peer, revokedChannel, b)
		}
		if err != nil {
			n.log.Debug("revocations not sent", "peer", peer, "err", err) // they are, when the link is back
			return
		}
	}
}

func (n *Node) heardRevoked(peer string, msg []byte) {
	m := new(linkpb.Revocations)
	if err := proto.Unmarshal(msg, m); err != nil || len(m.Revocations) > revokedBatch {
		n.log.Warn("bad revocations", "peer", peer, "err", err)
		return
	}
	for _, v := range m.Revocations {
		n.takeRevoked(auth.Revocation{
			Room: v.Room, Identity: v.Identity,
			IssuedUntil: time.UnixMilli(v.IssuedUntilMs), ExpiresUntil: time.UnixMilli(v.ExpiresUntilMs),
		})
	}
}

// checkVoid refuses the tokens of who was removed.
func (n *Node) checkVoid(c *auth.Claims) error {
	if !n.revoked.Void(c, n.now()) {
		return nil
	}
	n.refused.Add(guard.Token)
	return &auth.Error{Kind: auth.Withdrawn}
}
