package placement

import (
	"context"
	"errors"
	"slices"
	"time"

	"maille/mesh/view"
	"maille/placement/consensus"
)

// doubtFor is how long a newcomer that did not prove its name is not asked again: each
// question may keep the leader for statusWait.
const doubtFor = 15 * time.Second

// step is the most urgent change to Raft's servers, if any. Whoever has the gossip key can
// bring names; one that is to be added must answer to it first, over a connection that
// proves it. One is asked a turn at most.
func (s *Service) step(ctx context.Context, m members) (step, bool) {
	asked := false
	for {
		next, ok := m.next()
		if !ok || next.what != "add" {
			return next, ok
		}
		if !asked && m.page.now.Sub(s.doubts[next.server.Name]) >= doubtFor {
			asked = true
			if s.proves(ctx, next.server) {
				delete(s.doubts, next.server.Name)
				return next, true
			}
			s.doubts[next.server.Name] = m.page.now
		}
		m.view.Nodes = slices.DeleteFunc(slices.Clone(m.view.Nodes), func(n view.Node) bool { return n.Name == next.server.Name })
	}
}

func (s *Service) proves(ctx context.Context, c consensus.Server) bool {
	res, err := s.status(ctx, c.Name)
	if err == nil && res.GetIncarnation() != c.Incarnation {
		err = errors.New("it answers as another incarnation")
	}
	if err != nil {
		s.logger.Warn("a node that gossip knows is not added: it does not prove its name", "peer", c.Name, "err", err)
	}
	return err == nil
}
