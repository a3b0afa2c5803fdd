package node

import (
	"context"
	"errors"
	"time"

	"maille/node/room"
	"maille/node/signal"
	"maille/placement"
)

// maxRejoin bounds the nodes asked for one resume: the one that has the participant,
// the one that is to have it, and one more for each if the room moved meanwhile.
const maxRejoin = 4

// peersWithin is how long a node that has just begun to serve a room waits to hear who
// is in it: one round trip to the farthest peer, and their links may be new.
const peersWithin = time.Second

// redirect says where a resume should have gone.
type redirect struct {
	node   string
	moving bool // away from where it was asked for
}

func (r *redirect) Error() string {
	if r.moving {
		return "node: the participant was sent away from here"
	}
	return "node: the participant is on " + r.node
}

// rejoin opens the session that a client wants to resume: where its participant is, or
// else on the node that placement names, which goes on with what the client remembers.
func (n *Node) rejoin(ctx context.Context, j *signal.Join) (signal.Session, error) {
	var (
		next     placement.Assignment // an empty Node asks placement
		avoid    []string
		left     placement.Assignment // the node that sent the participant away
		takeOver bool
	)
	if r := n.rooms.find(j.Room); r != nil {
		next.Record = r.Record()
		next.Node, _ = r.Seat(j.Identity, j.ParticipantSid)
	}
	for range maxRejoin {
		if next.Node == "" {
			var err error
			if next, err = n.place(ctx, j, avoid); err != nil {
				if left.Node == "" {
					return nil, n.refuse(err)
				}
				next = left // nobody else can have it
			}
		}
		s, err := n.openSession(ctx, j, next, takeOver)
		if err == nil {
			return s, nil
		}
		to, sent := errors.AsType[*redirect](err)
		switch {
		case sent && !to.moving:
			next.Node = to.node
			continue
		case sent:
			left = next
		default:
			n.log.Warn("resume: a node cannot be reached", "room", j.Room, "identity", j.Identity, "media_node", next.Node, "err", err)
		}
		avoid, takeOver = append(avoid, next.Node), true
		next = placement.Assignment{}
	}
	return nil, signal.Unavailable("the session was not found; try again", nil)
}

// seated makes sure that a resume has come to the right node.
func (n *Node) seated(ctx context.Context, r *room.Room, j *signal.Join) error {
	ctx, cancel := context.WithTimeout(ctx, peersWithin)
	defer cancel()
	r.AwaitPeers(ctx)
	switch node, moving := r.Seat(j.Identity, j.ParticipantSid); {
	case moving:
		return &redirect{moving: true}
	case node != "" && node != n.self.Name:
		return &redirect{node: node}
	}
	return nil
}
