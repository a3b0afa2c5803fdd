package gossip

import (
	"context"
	"fmt"
	"time"
)

// queueOnly is how long a change of facts waits for its broadcast: not at all.
const queueOnly = time.Nanosecond

// publish tells the others what changed here. It alone speaks for this node, so
// that nothing follows a goodbye.
func (g *Gossip) publish() {
	tick := time.NewTicker(softInterval)
	defer tick.Stop()
	left := false
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-g.facts:
			if !left {
				g.list.UpdateNode(queueOnly) // its only error is not having waited
			}
		case bye := <-g.leaving:
			var err error
			if !left {
				left = true
				err = g.goodbye(bye.ctx)
			}
			bye.done <- err
		case now := <-tick.C:
			if l, ok := g.table.ownLoad(); ok {
				g.loads.put(l.Node, marshal(l))
			}
			if g.table.forget(now) {
				g.wake(g.changed)
			}
		}
	}
}

func (g *Gossip) goodbye(ctx context.Context) error {
	// The facts go first: a bare leave does not tell one who goes from one who died.
	if err := g.list.UpdateNode(within(ctx)); err != nil {
		g.log.Warn("gossip: leaving, but not every node was told why", "err", err)
	}
	if err := g.list.Leave(within(ctx)); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

// notify calls OnChange.
func (g *Gossip) notify() {
	tick := time.NewTicker(softInterval)
	defer tick.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-g.changed:
			t := time.NewTimer(coalesce)
			select {
			case <-g.ctx.Done():
				t.Stop()
				return
			case <-t.C:
			}
			select {
			case <-g.changed:
			default:
			}
		case <-tick.C:
			if !g.soft.Load() {
				continue
			}
		}
		g.soft.Store(false)
		if g.cfg.OnChange != nil {
			g.cfg.OnChange(g.Snapshot())
		}
	}
}
