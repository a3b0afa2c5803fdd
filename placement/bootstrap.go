package placement

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"maille/mesh/view"
	"maille/placement/consensus"
	meshpb "maille/proto/mesh"
)

const (
	// bootstrapEvery is how often a node without a cluster looks again.
	bootstrapEvery = 500 * time.Millisecond
	// statusWait bounds one question to one peer.
	statusWait = 2 * time.Second
	// outsideFor is how long a node may be outside of the cluster before its operator is
	// told what to look at, and how often then.
	outsideFor = 30 * time.Second
)

// founders returns the servers a new cluster begins with, once expect willing nodes are
// in sight: the first of them by name.
func founders(v view.Snapshot, expect int) []consensus.Server {
	var willing []voter
	incarnations := map[string]string{}
	for _, n := range v.Nodes {
		if n.Voter && n.State == view.Serving && n.Incarnation != "" && len(willing) < expect {
			willing = append(willing, voter{name: n.Name, region: n.Region})
			incarnations[n.Name] = n.Incarnation
		}
	}
	if len(willing) < expect {
		return nil
	}
	voting := spread(willing, odd(expect))
	var out []consensus.Server
	for _, w := range willing {
		out = append(out, consensus.Server{Name: w.name, Incarnation: incarnations[w.name], Voter: slices.Contains(voting, w.name)})
	}
	slices.SortFunc(out, func(a, b consensus.Server) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// bootstrap returns when this node belongs to a cluster. One node begins it, the first
// founder that votes, after every node in sight said that it knows of none; the others
// vote for it without a configuration of their own. Two nodes with different views can
// so not begin two clusters that both work, and a node that lost its store does not
// begin one beside the others.
func (s *Service) bootstrap(ctx context.Context) {
	tick := time.NewTicker(bootstrapEvery)
	defer tick.Stop()
	told, since := "", s.now()
	for !s.log.Initialised() {
		err := s.tryBootstrap(ctx)
		if err != nil && err.Error() != told {
			told = err.Error()
			s.logger.Info("not beginning a cluster yet", "why", err)
		}
		if now := s.now(); now.Sub(since) >= outsideFor {
			since = now
			s.logger.Warn("still outside of the cluster", "why", told, "check", outside(s.cfg.View()))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// outside tells an operator what keeps a node out of a cluster, by whether gossip finds
// the others.
func outside(v view.Snapshot) string {
	if len(v.Nodes) < 2 {
		return "no other node is found: seeds, gossip_keys, cluster, and that the gossip port is open, TCP and UDP"
	}
	return "the others are found and do not take this node in: that its certificate is of their authority, that the cluster port is open, and bootstrap_expect if the cluster is new"
}

func (s *Service) tryBootstrap(ctx context.Context) error {
	if s.cfg.BootstrapExpect <= 0 {
		return errors.New("waiting to be added")
	}
	v := s.cfg.View()
	servers := founders(v, s.cfg.BootstrapExpect)
	if servers == nil {
		return fmt.Errorf("%d nodes are expected", s.cfg.BootstrapExpect)
	}
	first := servers[slices.IndexFunc(servers, func(c consensus.Server) bool { return c.Voter })]
	if first.Name != s.cfg.Self || first.Incarnation != s.log.Incarnation() {
		return fmt.Errorf("%s begins it", first.Name)
	}
	for _, n := range v.Nodes {
		if n.Name == s.cfg.Self || n.State == view.Left {
			continue
		}
		res, err := s.status(ctx, n.Name)
		switch {
		case err != nil:
			return fmt.Errorf("%s does not answer: %w", n.Name, err)
		case res.GetInitialised():
			return fmt.Errorf("%s has a cluster, waiting to be added", n.Name)
		case res.GetIncarnation() != n.Incarnation:
			return fmt.Errorf("%s has just restarted", n.Name)
		}
	}
	s.logger.Info("beginning a cluster", "servers", servers, "damaged", s.log.Damaged())
	return s.log.Bootstrap(servers)
}

func (s *Service) status(ctx context.Context, node string) (*meshpb.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	return s.cfg.Forward.Status(ctx, node, &meshpb.StatusRequest{})
}
