package rtc

import (
	"time"

	"maille/relay"
	"maille/relay/bwe"
	"maille/relay/rewrite"
)

const (
	// probeTick spaces the packets of a probe.
	probeTick = 5 * time.Millisecond
	// probePadding is the most that one packet of padding holds (RFC 3550 section 5.1).
	probePadding = 255
	// probeBurst bounds the packets of one tick.
	probeBurst = 64
)

// measure finds out whether the path carries what is missing. It costs nothing while
// nothing is.
func (p *Peer) measure(now int64) {
	c := &p.path
	sender := c.sender.Load()
	c.mu.Lock()
	missing := c.missing
	if missing == 0 || c.limit.Load() > 0 {
		c.mu.Unlock()
		return
	}
	padder, later := p.padder(now)
	if padder == nil && later {
		c.mu.Unlock()
		return
	}
	if padder == nil {
		sender.Assume(now, missing)
		c.mu.Unlock()
		return
	}
	rate, due := sender.Probe(now, missing)
	c.pacer.set(sender.Pace(now))
	c.mu.Unlock()
	if !due {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closing() {
		p.loops.Go(func() { p.probe(sender, padder, rate) })
	}
}

// padder is a subscription whose section takes padding; nil if there is none, or none
// before a hold ends.
func (p *Peer) padder(now int64) (ready *Subscriber, later bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.down.subs {
		if b := s.bound.Load(); b == nil || b.rtx == 0 || b.ids.TransportCC == 0 || s.down.Kind != relay.Video {
			continue
		}
		if !s.held.on(now) {
			return s, false
		}
		later = true
	}
	return nil, later
}

// probe fills up what is sent to a rate, for a moment.
func (p *Peer) probe(sender *bwe.Sender, s *Subscriber, rate float64) {
	c := &p.path
	tick := time.NewTicker(probeTick)
	defer tick.Stop()
	began, sent := p.engine.now(), c.bytes.Load()
	for {
		select {
		case <-p.done:
			return
		case <-tick.C:
		}
		passed := p.engine.now() - began
		c.mu.Lock()
		on := sender.Probing()
		c.mu.Unlock()
		if !on || passed > int64(bwe.ProbeFor) {
			return
		}
		due := uint64(rate * float64(passed) / 1e9)
		for range probeBurst {
			if c.bytes.Load()-sent >= due || !s.fill() {
				break
			}
		}
	}
}

// fill sends a packet of padding on the retransmission stream, which has numbers of its
// own: the pictures are not disturbed.
func (s *Subscriber) fill() bool {
	b := s.bound.Load()
	if b == nil || b.rtx == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	w := &s.writer
	w.head(&s.peer.path, b, nil, nil, rewrite.Out{Seq: w.rtxSeq, Timestamp: w.header.Timestamp}, false)
	w.rtxSeq++
	w.header.PayloadType, w.header.SSRC = b.rtx, b.rtxSSRC
	w.header.Padding, w.header.PaddingSize = true, probePadding
	s.note(b, probePadding, true)
	if _, err := b.writer.WriteRTP(&w.header, nil); err != nil {
		s.drops.Add(relay.DropSend)
		return false
	}
	return true
}
