package placement

import (
	"context"
	"errors"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"maille/placement/policy"
	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

// Join names the node that shall serve a participant, creating the room if need be. It
// returns within 5 s: an *Error of kind NO_QUORUM if a room must be created and no
// leader can (2 s once the cluster is known to be without one).
func (s *Service) Join(ctx context.Context, req Request) (Assignment, error) {
	req, err := s.withDefaults(req)
	if err != nil {
		return Assignment{}, err
	}
	if a, ok := s.known(req); ok {
		return a, nil
	}
	var a Assignment
	err = s.withLeader(ctx, func(ctx context.Context, leader string) (err error) {
		// Another's join may have made the room known here meanwhile.
		var ok bool
		if a, ok = s.known(req); ok {
			return nil
		}
		a, err = s.ask(ctx, leader, req)
		return err
	}, func() bool {
		var ok bool
		a, ok = s.withoutRaft(req)
		return ok
	})
	if err != nil {
		return Assignment{}, err
	}
	return a, nil
}

// known answers a join to a room that is served where the participant is, from what
// this node holds.
func (s *Service) known(req Request) (Assignment, bool) {
	room := s.log.State().Room(req.Room)
	if room == nil {
		return Assignment{}, false
	}
	for i, row := range policy.Explain(s.view(), room, s.policyRequest(req)) {
		if row.Eligible() && row.Serves && (i == 0 || row.Near() && !row.Full()) {
			return s.assign(room, row.Node, row.Region), true
		}
	}
	return Assignment{}, false
}

// withoutRaft picks a node for a known room though Raft cannot record it now.
func (s *Service) withoutRaft(req Request) (Assignment, bool) {
	room := s.log.State().Room(req.Room)
	if room == nil {
		return Assignment{}, false
	}
	plan, err := policy.Join(s.view(), room, s.policyRequest(req))
	if err != nil {
		return Assignment{}, false
	}
	a := s.assign(room, plan.Node, plan.Region)
	a.Unrecorded = plan.New
	if plan.New {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.pending) < maxPending {
			s.pending[req.Room] = unrecorded{epoch: a.Epoch, region: a.Region, node: a.Node}
		}
	}
	return a, true
}

// ask decides here if this node leads, else asks the leader.
func (s *Service) ask(ctx context.Context, leader string, req Request) (Assignment, error) {
	if leader == s.cfg.Self {
		return s.lead(ctx, req)
	}
	res, err := s.cfg.Forward.Join(ctx, leader, &meshpb.JoinRequest{
		Room:     req.Room,
		Region:   req.Region,
		Settings: req.Settings,
		Entry:    req.Entry,
		Avoid:    req.Avoid,
		Sid:      req.Sid,
	})
	if err != nil {
		return Assignment{}, err
	}
	region, _ := state.Serving(res.GetRoom(), res.GetNode())
	a := s.assign(res.GetRoom(), res.GetNode(), region)
	a.Created = res.GetCreated()
	return a, nil
}

// lead decides as the leader. Joins of one room from one region share a decision.
func (s *Service) lead(ctx context.Context, req Request) (Assignment, error) {
	s.books.joined(req.Room, s.now())
	if len(req.Avoid) > 0 {
		return s.decide(ctx, req)
	}
	res := s.flights.DoChan(req.Room+"\x00"+req.Region+"\x00"+req.Entry, func() (any, error) {
		// Not the first caller's context: others share the outcome.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptWait)
		defer cancel()
		a, err := s.decide(ctx, req)
		return &flight{Assignment: a}, err
	})
	select {
	case r := <-res:
		if r.Err != nil {
			return Assignment{}, r.Err
		}
		f := r.Val.(*flight)
		a := f.Assignment
		a.Created = a.Created && f.told.CompareAndSwap(false, true)
		return a, nil
	case <-ctx.Done():
		return Assignment{}, kindOf(ctx.Err())
	}
}

// flight is a decision several joins share; one of them is told that it created the room.
type flight struct {
	Assignment
	told atomic.Bool
}

// decideTries is how often a decision is made anew because the state it was made on
// had moved.
const decideTries = 3

func (s *Service) decide(ctx context.Context, req Request) (a Assignment, err error) {
	for range decideTries {
		room := s.log.State().Room(req.Room)
		plan, planErr := policy.Join(s.view(), room, s.policyRequest(req))
		if planErr != nil {
			return Assignment{}, kindOf(planErr)
		}
		if !plan.New {
			return s.assign(room, plan.Node, plan.Region), nil
		}
		sid := req.Sid
		if sid == "" {
			sid = s.cfg.NewSid()
		}
		var res *meshpb.Result
		res, err = s.log.Apply(ctx, &meshpb.Command{
			NowMs: s.now().UnixMilli(),
			Body: &meshpb.Command_OpenRoom{OpenRoom: &meshpb.OpenRoom{
				Name:     req.Room,
				Sid:      sid,
				Settings: proto.CloneOf(req.Settings),
				Region:   plan.Region,
				Node:     plan.Node,
			}},
		})
		if err != nil {
			return Assignment{}, kindOf(err)
		}
		if err = resultError(res); err == nil {
			a = s.assign(res.GetRoom(), plan.Node, plan.Region)
			a.Created = res.GetCreated()
			return a, nil
		}
		if !errors.Is(err, ErrRegionNotAllowed) && !errors.Is(err, ErrNoNode) {
			break
		}
	}
	return Assignment{}, err
}

func (s *Service) assign(room *meshpb.Room, node, region string) Assignment {
	s.placed(node)
	return Assignment{
		Room:   room.GetName(),
		Sid:    room.GetSid(),
		Epoch:  room.GetEpoch(),
		Node:   node,
		Region: region,
		Record: room,
	}
}
