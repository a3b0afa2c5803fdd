package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"maille/placement"
)

// readyPoll is how often readiness is looked at; people wait for it, machines do not.
const readyPoll = 50 * time.Millisecond

// Region and SignalURL describe the node to whoever runs it.
func (n *Node) Region() string    { return n.self.Region }
func (n *Node) SignalURL() string { return n.self.Signal }

// until polls a condition; the line describes the last state, also on failure.
func until(ctx context.Context, look func() (line string, ok bool)) (string, error) {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		line, ok := look()
		if ok {
			return line, nil
		}
		select {
		case <-ctx.Done():
			return line, ctx.Err()
		case <-tick.C:
		}
	}
}

// WaitMembers waits until gossip sees so many nodes.
func (n *Node) WaitMembers(ctx context.Context, want int) (string, error) {
	return until(ctx, func() (string, bool) {
		var names []string
		for _, m := range n.gossip.Snapshot().Nodes {
			names = append(names, m.Name)
		}
		return fmt.Sprintf("%d of %d nodes (%s)", len(names), want, strings.Join(names, ", ")), len(names) >= want
	})
}

// WaitLeader waits for a Raft leader and so many servers.
func (n *Node) WaitLeader(ctx context.Context, want int) (string, error) {
	return until(ctx, func() (string, bool) {
		leader, servers := n.raft.Leader(), len(n.raft.Servers())
		if leader == "" {
			return fmt.Sprintf("no leader yet, %d servers", servers), false
		}
		return fmt.Sprintf("leader %s, %d servers", leader, servers), servers >= want
	})
}

// WaitLinks waits for sessions to all other nodes.
func (n *Node) WaitLinks(ctx context.Context, nodes int) (string, error) {
	return until(ctx, func() (string, bool) {
		up := len(n.links.Sessions())
		return fmt.Sprintf("%d of %d QUIC links up from %s", up, nodes-1, n.self.Name), up >= nodes-1
	})
}

// Placement is the node's part in placing rooms, for programs that embed a node.
func (n *Node) Placement() *placement.Service { return n.placement }
