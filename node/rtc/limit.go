package rtc

import (
	"maille/relay/bwe"
)

// Limit caps what the client is sent of video, in bytes per second, whatever its path is
// thought to carry; 0 lifts it. It is for clients that rehearse a narrow path (LiveKit's
// SimulateScenario.subscriber_bandwidth).
func (p *Peer) Limit(bytesPerSecond uint64) {
	p.path.limit.Store(bytesPerSecond)
	p.path.dirty.Store(true)
}

// estimated takes the client's own estimate of its path, in bytes per second, if it tells
// no more.
func (p *Peer) estimated(b *binding, estimate float64) {
	c := &p.path
	sender := c.sender.Load()
	if sender == nil || b.ids.TransportCC != 0 {
		return
	}
	now := p.engine.now()
	c.mu.Lock()
	sender.Remb(now, estimate, c.rate)
	due := c.allowed(sender, now) < c.spent
	c.mu.Unlock()
	c.dirty.Store(true)
	if due {
		p.allocate(now)
	}
}

// allowed is what may be sent of video now, in bytes per second; the caller holds mu.
func (c *pathToClient) allowed(sender *bwe.Sender, now int64) float64 {
	budget := sender.Budget(now)
	if limit := c.limit.Load(); limit > 0 {
		budget = min(budget, float64(limit))
	}
	return budget
}
