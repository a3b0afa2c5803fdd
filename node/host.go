package node

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"google.golang.org/protobuf/proto"

	"maille/node/config"
	"maille/node/guard"
	"maille/node/signal"
	"maille/placement"
	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
)

// Join is the entry: it finds the client's region, asks placement for the node that
// shall serve it, and opens the session there, here or through a proxy.
func (n *Node) Join(ctx context.Context, j *signal.Join) (signal.Session, error) {
	if err := n.checkVoid(j.Claims); err != nil {
		return nil, err
	}
	if !n.joins.Take(j.Room+"\x00"+j.Identity, n.now()) {
		n.refused.Add(guard.Session)
		return nil, &signal.Error{Status: http.StatusTooManyRequests, Text: "too many joins of this participant; try again in a few seconds"}
	}
	if j.Reconnect {
		return n.rejoin(ctx, j)
	}
	var avoid []string
	for {
		a, err := n.place(ctx, j, avoid)
		if err != nil {
			return nil, n.refuse(err)
		}
		s, err := n.openSession(ctx, j, a, false)
		if err == nil {
			return s, nil
		}
		n.log.Warn("media node cannot take a participant", "room", j.Room, "media_node", a.Node, "err", err)
		if avoid = append(avoid, a.Node); len(avoid) > maxAvoid || ctx.Err() != nil {
			return nil, signal.Unavailable("the node that serves this room is not reachable; try again", err)
		}
	}
}

// A participant may join or resume joinRate times a second through this node, and once
// in a while joinBurst times: each costs two connections here and news for everyone in
// the room. Clients on a bad line try five times in five seconds.
const (
	joinRate  = 1
	joinBurst = 10
	// joinsHeld bounds the participants told apart: as many as may have a session.
	joinsHeld = signal.DefaultMaxSessions
)

// maxAvoid bounds how many nodes are tried for one join: clients give up after seconds.
const maxAvoid = 2

// openSession opens the session on a node. A resume fails with a redirect if it is
// another's, unless that one is lost or let go: then takeOver is true.
func (n *Node) openSession(ctx context.Context, j *signal.Join, a placement.Assignment, takeOver bool) (signal.Session, error) {
	if a.Node == n.self.Name {
		r, err := n.rooms.get(a.Record)
		if err != nil {
			return nil, err
		}
		if j.Reconnect && !takeOver {
			if err := n.seated(ctx, r, j); err != nil {
				return nil, err
			}
		}
		return r.NewSession(j), nil
	}
	addr, err := n.clusterAddr(a.Node)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, proxyOpen)
	defer cancel()
	s, err := n.dialProxy(ctx, a.Node, addr, j, a.Record, takeOver)
	if err != nil {
		return nil, err
	}
	n.log.Info("signalling proxied", "room", j.Room, "identity", j.Identity, "media_node", a.Node)
	return s, nil
}

// Validate tells whether a join would be let in, without joining.
func (n *Node) Validate(_ context.Context, j *signal.Join) error { return n.checkVoid(j.Claims) }

func (n *Node) place(ctx context.Context, j *signal.Join, avoid []string) (placement.Assignment, error) {
	c, _ := j.Claims.RoomConfiguration() // what cannot be read says nothing
	settings := roomSettings(n.cfg.Room, c)
	return n.placement.Join(ctx, placement.Request{
		Room: j.Room, Region: n.regionOf(j), Settings: settings, Entry: n.self.Name, Avoid: avoid,
	})
}

// roomSettings are those of a new room: what its first token says, else the operator.
func roomSettings(of config.Room, c *livekit.RoomConfiguration) *meshpb.RoomSettings {
	s := &meshpb.RoomSettings{
		EmptyTimeoutS: of.EmptyTimeoutS, DepartureTimeoutS: of.DepartureTimeoutS,
		Loudest: proto.Uint32(of.Loudest), MaxParticipants: of.MaxParticipants,
		MinPlayoutDelayMs: of.MinPlayoutDelayMS, MaxPlayoutDelayMs: of.MaxPlayoutDelayMS,
	}
	if c.GetEmptyTimeout() > 0 {
		s.EmptyTimeoutS = c.EmptyTimeout
	}
	if c.GetDepartureTimeout() > 0 {
		s.DepartureTimeoutS = c.DepartureTimeout
	}
	if c.GetMaxParticipants() > 0 {
		s.MaxParticipants = c.MaxParticipants
	}
	// Together: one of each origin may contradict the other.
	if c.GetMinPlayoutDelay() > 0 || c.GetMaxPlayoutDelay() > 0 {
		s.MinPlayoutDelayMs, s.MaxPlayoutDelayMs = c.MinPlayoutDelay, c.MaxPlayoutDelay
	}
	s.SyncStreams = c.GetSyncStreams()
	s.Metadata = c.GetMetadata()
	return s
}

// regionOf is the region a client is served from: its own hint if it names one that
// exists, else where its address lies, else this node's.
func (n *Node) regionOf(j *signal.Join) string {
	if slices.Contains(n.gossip.Snapshot().Regions(), j.Region) {
		return j.Region
	}
	if region := n.cfg.RegionOf(j.RemoteAddr); region != "" {
		return region
	}
	return n.self.Region
}

// refuse maps what placement says to what the client is told. Nothing that may pass
// is a 401 or 403: clients would never try again.
func (n *Node) refuse(err error) error {
	switch {
	case errors.Is(err, placement.ErrRegionNotAllowed):
		return &signal.Error{Status: 400, Text: "this room may not be joined from your region", Err: err}
	case errors.Is(err, placement.ErrNoNode):
		return signal.Unavailable("no node can take this room now; try again", err)
	case errors.Is(err, placement.ErrNoQuorum):
		return signal.Unavailable("the cluster has no leader to open a new room; try again in a few seconds", err)
	}
	return signal.Unavailable("the room could not be placed; try again", err)
}
