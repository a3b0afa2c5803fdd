package consensus

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"maille/placement/state"
)

// Leader returns the name of the leader as known here, "" if none is.
func (c *Consensus) Leader() string {
	_, id := c.raft.LeaderWithID()
	name, _ := splitID(id)
	return name
}

// IsLeader reports whether this server leads. It may be wrong for the length of a
// lease; only a commit proves leadership.
func (c *Consensus) IsLeader() bool { return c.raft.State() == raft.Leader }

// Quorum reports whether commits can be expected to work: this server leads, or heard
// a leader within twice the heartbeat timeout.
func (c *Consensus) Quorum() bool {
	if c.IsLeader() {
		return true
	}
	return c.Leader() != "" && time.Since(c.raft.LastContact()) < 2*c.Timings().Heartbeat
}

// Leaderless returns for how long no leader has been known here, 0 if one is.
func (c *Consensus) Leaderless() time.Duration {
	if c.Leader() != "" {
		return 0
	}
	return max(c.leaderless.elapsed(), 1)
}

// Changes returns a channel that is closed when leadership next changes, or when Raft
// ends.
func (c *Consensus) Changes() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *Consensus) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// observe turns raft's observations into Changes. Raft drops observations we are too
// slow for, so each only says "look again".
func (c *Consensus) observe() {
	ch := make(chan raft.Observation, 16)
	o := raft.NewObserver(ch, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	c.raft.RegisterObserver(o)
	defer c.raft.DeregisterObserver(o)
	for {
		select {
		case <-ch:
			if c.Leader() != "" {
				c.leaderless.stop()
			} else if c.leaderless.elapsed() == 0 {
				c.leaderless.start()
			}
			c.announce()
		case <-c.ended:
			return
		}
	}
}

// Transfer asks the named server to take over the lead.
func (c *Consensus) Transfer(ctx context.Context, name, incarnation string) error {
	return c.wait(ctx, func(time.Duration) error {
		return c.raft.LeadershipTransferToServer(serverID(name, incarnation), serverAddress(name, incarnation)).Error()
	})
}

// Barrier returns once everything committed before it is applied here; on the leader
// only. A State read after it is linearizable.
func (c *Consensus) Barrier(ctx context.Context) error {
	return c.wait(ctx, func(enqueue time.Duration) error { return c.raft.Barrier(enqueue).Error() })
}

type watch struct{ fn func(*state.State) }

// Watch calls fn with the newest state after each change, and once now; versions in
// between may be left out. Calls come one at a time from a goroutine of the server,
// which fn must not hold for long. The returned function ends the watch.
func (c *Consensus) Watch(fn func(*state.State)) (cancel func()) {
	w := &watch{fn: fn}
	c.mu.Lock()
	c.watches = append(c.watches, w)
	c.mu.Unlock()
	c.fsm.poke()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, x := range c.watches {
			if x == w {
				c.watches = append(c.watches[:i:i], c.watches[i+1:]...)
				return
			}
		}
	}
}

func (c *Consensus) notifyWatches() {
	for {
		select {
		case <-c.fsm.changes:
			c.mu.Lock()
			ws := c.watches
			c.mu.Unlock()
			s := c.State()
			for _, w := range ws {
				w.fn(s)
			}
		case <-c.ctx.Done():
			return
		}
	}
}
