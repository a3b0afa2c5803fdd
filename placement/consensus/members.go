package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Server is a member of the Raft configuration.
type Server struct {
	Name        string
	Incarnation string
	Voter       bool
}

// Servers returns the newest configuration known here, in Raft's order.
func (c *Consensus) Servers() []Server {
	f := c.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	var out []Server
	for _, s := range f.Configuration().Servers {
		name, inc := splitID(s.ID)
		out = append(out, Server{Name: name, Incarnation: inc, Voter: s.Suffrage == raft.Voter})
	}
	return out
}

// Initialised reports whether this server belongs to a cluster, or did: such a server
// is never bootstrapped.
func (c *Consensus) Initialised() bool { return len(c.Servers()) > 0 || c.raft.LastIndex() > 0 }

// Bootstrap gives a new cluster its first configuration. One server calling it is
// enough, as the others vote without a configuration; if several do, the lists must be
// identical. It does nothing on an initialised server.
func (c *Consensus) Bootstrap(servers []Server) error {
	if c.Initialised() {
		return nil
	}
	var conf raft.Configuration
	for _, s := range servers {
		suffrage := raft.Nonvoter
		if s.Voter {
			suffrage = raft.Voter
		}
		conf.Servers = append(conf.Servers, raft.Server{
			Suffrage: suffrage,
			ID:       serverID(s.Name, s.Incarnation),
			Address:  serverAddress(s.Name, s.Incarnation),
		})
	}
	err := c.raft.BootstrapCluster(conf).Error()
	if errors.Is(err, raft.ErrCantBootstrap) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("consensus: bootstrap: %w", err)
	}
	return nil
}

// AddVoter adds or promotes a server. Only the leader changes servers.
func (c *Consensus) AddVoter(ctx context.Context, name, incarnation string) error {
	return c.wait(ctx, func(d time.Duration) error {
		return c.raft.AddVoter(serverID(name, incarnation), serverAddress(name, incarnation), 0, d).Error()
	})
}

// AddNonvoter adds a server that receives the log and does not vote.
func (c *Consensus) AddNonvoter(ctx context.Context, name, incarnation string) error {
	return c.wait(ctx, func(d time.Duration) error {
		return c.raft.AddNonvoter(serverID(name, incarnation), serverAddress(name, incarnation), 0, d).Error()
	})
}

// Demote takes a server's vote and keeps it as a non-voter.
func (c *Consensus) Demote(ctx context.Context, name, incarnation string) error {
	return c.wait(ctx, func(d time.Duration) error {
		return c.raft.DemoteVoter(serverID(name, incarnation), 0, d).Error()
	})
}

// RemoveServer drops a server from the configuration.
func (c *Consensus) RemoveServer(ctx context.Context, name, incarnation string) error {
	return c.wait(ctx, func(d time.Duration) error {
		return c.raft.RemoveServer(serverID(name, incarnation), 0, d).Error()
	})
}
