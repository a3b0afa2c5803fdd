package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"maille/proto/livekit"
)

// shutdownTimeout bounds each polite step of Close.
const shutdownTimeout = 5 * time.Second

// Close ends the node in order: clients are told and leave for another node, the
// cluster is told, then everything stops. When it returns no goroutine is left.
func (n *Node) Close() error {
	var errs []error
	n.closed.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if n.rooms != nil {
			// RECONNECT, not DISCONNECT: the client joins again by the same name and lands on
			// a node that lives.
			n.rooms.close(livekit.DisconnectReason_SERVER_SHUTDOWN, livekit.LeaveRequest_RECONNECT)
		}
		if n.signal != nil {
			errs = append(errs, n.signal.Close())
		}
		n.cancel()
		for _, s := range []*http.Server{n.web, n.ops} {
			if s != nil {
				errs = append(errs, s.Shutdown(ctx))
			}
		}
		for _, l := range []net.Listener{n.webAddr, n.opsAddr} {
			if l != nil {
				_ = l.Close() // a server closes only what it served
			}
		}
		if n.opsGRPC != nil {
			n.opsGRPC.Stop()
		}
		if n.gossip != nil {
			// The others find out by themselves when nobody hears the goodbye, as when all
			// leave at once.
			if err := n.gossip.Leave(ctx); err != nil {
				n.log.Info("leaving", "err", err)
			}
		}
		if n.unwatch != nil {
			n.unwatch()
		}
		if n.grpc != nil {
			n.grpc.Stop()
		}
		if n.links != nil {
			errs = append(errs, n.links.Close(), n.linkConn.Close())
		}
		if n.engine != nil {
			errs = append(errs, n.engine.Close())
		}
		if n.raft != nil {
			errs = append(errs, n.raft.Close())
		}
		if n.gossip != nil {
			errs = append(errs, n.gossip.Close())
		}
		if n.pool != nil {
			errs = append(errs, n.pool.Close())
		}
		if n.mux != nil {
			errs = append(errs, n.mux.Close())
		}
		n.wg.Wait()
		if n.meters != nil {
			errs = append(errs, n.meters.metrics.Close())
		}
	})
	return errors.Join(errs...)
}
