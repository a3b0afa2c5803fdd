package rtc

import "math"

// Bandwidth is what is known of the path to a client, in bytes per second with all
// headers.
type Bandwidth struct {
	// Estimate is what may be sent of video now, 0 while nothing is known or there is no
	// limit.
	Estimate float64
	// Short tells that some video is held back, or sent in less than was asked for.
	Short bool
}

// Bandwidth returns what this peer's client can be sent. Peers that send nothing know
// nothing.
func (p *Peer) Bandwidth() (b Bandwidth) {
	c := &p.path
	sender := c.sender.Load()
	if sender == nil {
		return b
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.budget == 0 {
		return b // not divided yet
	}
	if now := c.allowed(sender, p.engine.now()); !math.IsInf(now, 1) {
		b.Estimate = now
	}
	b.Short = c.missing > 0
	return b
}
