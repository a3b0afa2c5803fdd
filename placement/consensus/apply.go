package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	meshpb "maille/proto/mesh"
)

// Errors of Apply and of changes to the servers.
var (
	// ErrNotLeader: nothing was proposed; the leader takes commands.
	ErrNotLeader = errors.New("consensus: not the leader")
	// ErrUncertain: proposed, outcome unknown. All commands may be proposed again.
	ErrUncertain = errors.New("consensus: outcome unknown")
	// ErrBusy: nothing was proposed, too much is in flight.
	ErrBusy = errors.New("consensus: too many commands in flight")
	// ErrStopped: closed, or Raft given up (see Failed).
	ErrStopped = errors.New("consensus: stopped")
)

const (
	// maxApplies bounds commands in flight: some seconds' worth at WAN latency.
	maxApplies = 256
	// applyWait bounds an Apply whose context has no deadline.
	applyWait = 2 * time.Second
	// maxCommand bounds an encoded command; metadata is the bulk of it.
	maxCommand = 256 << 10
)

// Apply commits cmd and returns its outcome, as state.Apply gave it on every replica.
// It returns within the context's deadline, or 2 s without one, even if the disk or
// the quorum is gone: then with ErrUncertain.
func (c *Consensus) Apply(ctx context.Context, cmd *meshpb.Command) (*meshpb.Result, error) {
	b, err := proto.Marshal(cmd)
	if err != nil {
		return nil, fmt.Errorf("consensus: encode command: %w", err)
	}
	if len(b) > maxCommand {
		return nil, fmt.Errorf("consensus: command of %d bytes", len(b))
	}
	var res *meshpb.Result
	err = c.wait(ctx, func(enqueue time.Duration) error {
		f := c.raft.Apply(b, enqueue)
		err := f.Error()
		if err == nil {
			res = f.Response().(*meshpb.Result)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// wait runs one raft operation under the caller's deadline. Raft's own timeouts only
// cover the way into its queue; once there, a stalled disk holds the operation and its
// goroutine until raft goes down.
func (c *Consensus) wait(ctx context.Context, op func(enqueue time.Duration) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, applyWait)
		defer cancel()
	}
	if c.ctx.Err() != nil || c.Failed() != nil {
		return ErrStopped
	}
	select {
	case c.applies <- struct{}{}:
	default:
		return ErrBusy
	}
	deadline, _ := ctx.Deadline()
	done := make(chan error, 1)
	go func() {
		defer func() { <-c.applies }()
		// Zero means no limit to raft.
		done <- op(max(time.Until(deadline), time.Millisecond))
	}()
	select {
	case err := <-done:
		return mapError(err)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUncertain, ctx.Err())
	case <-c.ended:
		return ErrStopped
	}
}

func mapError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrBusy
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrStopped
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	default:
		return fmt.Errorf("consensus: %w", err)
	}
}
