package placement

import (
	"context"
	"slices"
	"sync"
	"time"

	"maille/mesh/view"
	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

const (
	// turnEvery is how often the leader looks after the cluster.
	turnEvery = time.Second
	// commitWait bounds one of the leader's own commits.
	commitWait = 2 * time.Second
	// moveAfter is how long another leader must look better before the lead moves, and
	// how long a new leader keeps it at least.
	moveAfter = 5 * time.Minute
)

// Run bootstraps or waits for a cluster, reports to the leader, and leads when this node
// does. It returns when ctx ends and everything it began has.
func (s *Service) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { s.bootstrap(ctx) })
	tasks.Go(func() { s.reportLoop(ctx) })
	tasks.Go(func() { s.leadLoop(ctx) })
	tasks.Wait()
	return ctx.Err()
}

// leadLoop takes a turn every second while this node leads.
func (s *Service) leadLoop(ctx context.Context) {
	tick := time.NewTicker(turnEvery)
	defer tick.Stop()
	led := false
	var since time.Time // since when another leader looks better, or since the lead
	for {
		leads := s.log.IsLeader()
		if leads {
			if !led {
				s.books.reset()
				clear(s.doubts)
				since = s.now()
			}
			since = s.turn(ctx, since)
		}
		led = leads
		changes := s.log.Changes()
		select {
		case <-tick.C:
		case <-changes:
		case <-ctx.Done():
			return
		}
	}
}

// turn does what is due now: one change to Raft's servers, some to nodes and rooms.
func (s *Service) turn(ctx context.Context, betterSince time.Time) time.Time {
	v, st, now := s.cfg.View(), s.log.State(), s.now()
	servers := s.log.Servers()
	var known []string
	for _, m := range servers {
		known = append(known, m.Name)
	}
	for room := range st.Rooms() {
		known = append(known, state.ServingNodes(room)...)
	}
	slices.Sort(known)
	s.books.update(v, st, slices.Compact(known), now)
	p := s.books.open(now)

	for _, cmd := range nodeSteps(v, st, p) {
		s.commit(ctx, cmd)
	}
	s.checkGone(ctx, st, &p)
	for _, cmd := range roomSteps(st, p) {
		s.commit(ctx, cmd)
	}
	m := members{self: s.cfg.Self, applied: s.log.Applied(), servers: servers, view: v, page: p}
	if step, ok := s.step(ctx, m); ok {
		err := s.within(ctx, func(ctx context.Context) error {
			return step.do(s.log, ctx, step.server.Name, step.server.Incarnation)
		})
		s.logger.Info("raft server", "do", step.what, "peer", step.server.Name, "why", step.why, "err", err)
		return now
	}
	better, ok := m.betterLeader()
	if !ok {
		return now
	}
	if now.Sub(betterSince) >= moveAfter {
		err := s.within(ctx, func(ctx context.Context) error { return s.log.Transfer(ctx, better.Name, better.Incarnation) })
		s.logger.Info("raft lead moves nearer to the others", "to", better.Name, "err", err)
		return now
	}
	return betterSince
}

// checkGone asks nodes that gossip has lost, and that are about to lose their rooms,
// directly: gossip also loses nodes that only it cannot reach.
func (s *Service) checkGone(ctx context.Context, st *state.State, p *page) {
	serving := map[string]bool{}
	for room := range st.Rooms() {
		for _, node := range state.ServingNodes(room) {
			serving[node] = true
		}
	}
	for node := range serving {
		if p.gone(node) < holdDown {
			continue
		}
		if _, err := s.status(ctx, node); err == nil {
			s.logger.Info("gossip lost a node that answers", "peer", node)
			delete(p.seen, node)
		}
	}
}

// nodeSteps mirrors what nodes say of themselves into the replicated state: new nodes,
// new lives, and states that take fewer participants. Serving again is the node's own
// word (SetState), as an operator may have drained it. It is pure.
func nodeSteps(v view.Snapshot, st *state.State, p page) []*meshpb.Command {
	var out []*meshpb.Command
	set := func(name, incarnation, region string, state meshpb.NodeState) {
		out = append(out, &meshpb.Command{Body: &meshpb.Command_SetNode{SetNode: &meshpb.SetNode{
			Node: name, Incarnation: incarnation, Region: region, State: state, Mirrored: true,
		}}})
	}
	for _, n := range v.Nodes {
		rec := st.Node(n.Name)
		said := meshpb.NodeState(n.State)
		if n.Incarnation != "" && (rec == nil && n.State != view.Left ||
			rec != nil && (rec.GetIncarnation() != n.Incarnation || said > rec.GetState())) {
			set(n.Name, n.Incarnation, n.Region, said)
		}
	}
	for rec := range st.Nodes() {
		if _, ok := v.Node(rec.GetName()); ok {
			continue
		}
		switch left := rec.GetState() == meshpb.NodeState_NODE_STATE_LEFT; {
		case !left && p.gone(rec.GetName()) >= removeAfter:
			set(rec.GetName(), rec.GetIncarnation(), rec.GetRegion(), meshpb.NodeState_NODE_STATE_LEFT)
		case left && p.gone(rec.GetName()) >= holdDown:
			out = append(out, &meshpb.Command{Body: &meshpb.Command_ForgetNode{ForgetNode: &meshpb.ForgetNode{Node: rec.GetName()}}})
		}
	}
	return out[:min(len(out), maxSteps)]
}

func (s *Service) commit(ctx context.Context, cmd *meshpb.Command) {
	err := s.within(ctx, func(ctx context.Context) error {
		_, err := s.apply(ctx, cmd)
		return err
	})
	if err != nil {
		s.logger.Warn("placement upkeep", "err", err)
	}
}

func (s *Service) within(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, commitWait)
	defer cancel()
	return f(ctx)
}
