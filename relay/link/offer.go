package link

// What waits of a channel's offers: newer ones push out older ones beyond it.
const (
	offerBytes = 256 << 10
	offerQueue = 1024 // messages
)

// Offer queues a message that may be lost: when the peer does not keep up, the oldest
// waiting offers of the channel make room, counted, and the session lives on. Otherwise
// it is as Send, and a name is for the one or the other.
func (s *Session) Offer(name string, msg []byte) error {
	if len(msg) > offerBytes || name == "" || len(name) > maxName {
		return ErrTooLarge
	}
	cs := &s.channels
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if s.ctx.Err() != nil || cs.done {
		return ErrClosed
	}
	c := cs.out[name]
	if c == nil {
		if len(cs.out) >= maxChannels {
			return ErrFull
		}
		c = &channel{name: name}
		cs.out[name] = c
	}
	for len(c.pending) > 0 && (len(c.pending) >= offerQueue || c.waiting+len(msg) > offerBytes) {
		cs.forget(c)
		s.counters.offersLost.Add(1)
	}
	if cs.held+len(msg) > channelsBytes {
		s.counters.offersLost.Add(1)
		return nil
	}
	s.enqueue(c, msg)
	return nil
}

// forget drops the oldest waiting message of a channel.
func (cs *channels) forget(c *channel) {
	n := len(c.pending[0])
	c.pending[0] = nil
	c.pending = c.pending[1:]
	c.waiting -= n
	c.bytes -= n
	cs.held -= n
}
