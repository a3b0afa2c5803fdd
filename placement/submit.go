package placement

import (
	"context"
	"time"

	"maille/mesh/view"
	meshpb "maille/proto/mesh"
)

const (
	// refuseAfter is how long a request waits once it is clear that there is no quorum.
	refuseAfter = 2 * time.Second
	// askWait bounds a request while there may be one: noticing a dead leader takes up
	// to two heartbeats, an election as much again, and the commit follows.
	askWait = 5 * time.Second
	// attemptWait bounds one question to one leader: a commit over 300 ms round trips
	// with slow disks.
	attemptWait = 2 * time.Second
	// retryPause is between attempts while nothing is known to have changed.
	retryPause = 100 * time.Millisecond
)

// Submit commits a command, here or through the leader, and returns what the reducer
// made of it; a refusal is an *Error. Time is the leader's. It returns within 5 s.
func (s *Service) Submit(ctx context.Context, cmd *meshpb.Command) (*meshpb.Result, error) {
	var res *meshpb.Result
	err := s.withLeader(ctx, func(ctx context.Context, leader string) (err error) {
		if leader == s.cfg.Self {
			res, err = s.apply(ctx, cmd)
			return err
		}
		r, err := s.cfg.Forward.Submit(ctx, leader, &meshpb.SubmitRequest{Command: cmd})
		if err != nil {
			return err
		}
		res = r.GetResult()
		return resultError(res)
	}, nil)
	return res, err
}

// withLeader calls try with the leader's name, again while leadership moves and try's
// error is one that may pass. Once the cluster is known to be without a leader it calls
// otherwise, and ends if that returns true. Errors are *Error.
func (s *Service) withLeader(ctx context.Context, try func(ctx context.Context, leader string) error, otherwise func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	began := s.now()
	hint := ""
	for {
		changes := s.log.Changes()
		err := s.tryLeader(ctx, hint, try)
		if err == nil {
			return nil
		}
		e := kindOf(err)
		if !passing(e) {
			return e
		}
		hopeless := s.log.Leaderless() >= s.log.Timings().ElectionBudget()
		over := ctx.Err() != nil
		if (hopeless || over) && otherwise != nil && otherwise() {
			return nil
		}
		if over || hopeless && s.now().Sub(began) >= refuseAfter {
			if e.Kind != meshpb.Error_NO_QUORUM {
				e = &Error{Kind: meshpb.Error_NO_QUORUM, Message: e.Error()}
			}
			return e
		}
		if hint = e.Leader; hint == s.cfg.Self {
			hint = ""
		}
		select {
		case <-changes:
			hint = ""
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

func (s *Service) tryLeader(ctx context.Context, hint string, try func(ctx context.Context, leader string) error) error {
	if s.log.IsLeader() {
		return try(ctx, s.cfg.Self)
	}
	leader := hint
	if leader == "" {
		leader = s.log.Leader()
	}
	if leader == "" || leader == s.cfg.Self {
		return &Error{Kind: meshpb.Error_NO_QUORUM, Message: "no leader"}
	}
	ctx, cancel := s.whileLeads(ctx, leader)
	defer cancel()
	return try(ctx, leader)
}

// whileLeads returns a context that ends when another node takes the lead, so that a
// question to a dead leader does not outlast the election.
func (s *Service) whileLeads(ctx context.Context, leader string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, attemptWait)
	before := s.log.Leader()
	go func() {
		for {
			changes := s.log.Changes()
			if now := s.log.Leader(); now != before && now != "" && now != leader {
				cancel()
			}
			select {
			case <-changes:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}

// apply commits cmd with this leader's time.
func (s *Service) apply(ctx context.Context, cmd *meshpb.Command) (*meshpb.Result, error) {
	if cmd.GetBody() == nil {
		return nil, &Error{Kind: meshpb.Error_INVALID, Message: "empty command"}
	}
	res, err := s.log.Apply(ctx, &meshpb.Command{NowMs: s.now().UnixMilli(), Body: cmd.GetBody()})
	if err != nil {
		return nil, kindOf(err)
	}
	return res, resultError(res)
}

// SetState records this node's own state for the whole cluster.
func (s *Service) SetState(ctx context.Context, st view.State) error {
	self, _ := s.cfg.View().Node(s.cfg.Self)
	_, err := s.Submit(ctx, &meshpb.Command{Body: &meshpb.Command_SetNode{SetNode: &meshpb.SetNode{
		Node:        s.cfg.Self,
		Incarnation: s.log.Incarnation(),
		State:       meshpb.NodeState(st),
		Region:      self.Region,
	}}})
	return err
}
