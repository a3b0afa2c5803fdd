package node

import (
	"context"
	"time"

	"google.golang.org/grpc/connectivity"

	"maille/relay/link"
)

// watchRetry is how soon a peer that gossip does not know yet is looked up again.
const watchRetry = time.Second

// watchProcess keeps the connection to a linked peer's cluster port open, until the
// session ends. Links learn of a peer's death by its silence; the kernel of a dead
// process resets its connections at once, and then the link makes sure.
func (n *Node) watchProcess(s *link.Session) {
	ctx, cancel := context.WithCancel(n.life)
	defer cancel()
	go func() { // ends with ctx
		select {
		case <-s.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	select {
	case <-n.met: // links come up before it
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		n.watchConnection(ctx, s)
		select {
		case <-time.After(watchRetry):
		case <-ctx.Done():
		}
	}
}

// watchConnection returns when the connection is gone for good, as when the peer's
// address changed, or is not to be had.
func (n *Node) watchConnection(ctx context.Context, s *link.Session) {
	addr, err := n.clusterAddr(s.Peer())
	if err != nil {
		return
	}
	conn, err := n.pool.Conn(s.Peer(), addr)
	if err != nil {
		return
	}
	for before := connectivity.Idle; ; {
		now := conn.GetState()
		if before == connectivity.Ready && now != connectivity.Ready {
			s.Suspect()
		}
		if now == connectivity.Shutdown {
			return
		}
		conn.Connect()
		before = now
		if !conn.WaitForStateChange(ctx, now) {
			return
		}
	}
}
