package rtc

import (
	"math"
	"time"
)

// What a section begins to carry may be there before the answer that says so, which comes
// by another way, or was lost with its socket. Firefox then takes it for something that
// another section sends in the same format, and the section that it was meant for shows
// nothing, also later. To such a client nothing of a section is sent before it has surely
// heard of it; then it begins as any subscription does, with a keyframe. Other browsers
// mend that themselves.

// holdFor is how long the client has for an answer that was written to its socket. What is
// sent takes as long over the network, so it is for TCP to repeat the answer once (200 ms
// at least, on Linux) and for the browser to apply it.
const holdFor = 250 * time.Millisecond

// untold is the end of a hold whose answer was not written yet.
const untold = math.MaxInt64

// hold is the time that a subscription waits for its client to hear of its section. The
// zero value is none.
type hold struct {
	exchange uint64 // of Peer.Exchanges, which gave it the section
	until    int64  // engine time
}

// on reports whether nothing may be sent yet.
func (h *hold) on(now int64) bool { return now < h.until }

// told has the hold end soon, if an answer that names the section was written.
func (h *hold) told(exchange uint64, now int64) {
	if h.until == untold && h.exchange <= exchange {
		h.until = now + int64(holdFor)
	}
}

// away undoes told for a client whose socket ended meanwhile.
func (h *hold) away(now int64) {
	if h.on(now) {
		h.until = untold
	}
}

// Exchanges is how many of the client's offers were answered.
func (p *Peer) Exchanges() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down.ask.exchanges
}

// Told says that the client is written the answer of that exchange, counted from 1. It is
// of use with Options.Hold only.
func (p *Peer) Told(exchange uint64) {
	p.holds(func(h *hold, now int64) { h.told(exchange, now) })
	select {
	case p.down.told <- struct{}{}:
	default:
	}
}

// Away says that the client has lost its socket, and what was written to it a moment ago
// perhaps. Told follows with the next answer.
func (p *Peer) Away() {
	p.holds(func(h *hold, now int64) { h.away(now) })
}

func (p *Peer) holds(f func(h *hold, now int64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.engine.now()
	for _, s := range p.down.subs {
		f(&s.held, now)
	}
}

// begin holds a subscription that was given a section, except in the first exchange: the
// client cannot connect before it has that answer. The caller holds mu.
func (p *Peer) begin(s *Subscriber) {
	if a := &p.down.ask; p.hold && a.offered {
		s.held = hold{exchange: a.exchanges + 1, until: untold}
	}
}

// endHolds starts the subscriptions whose hold is over.
func (p *Peer) endHolds() {
	timer := time.NewTimer(holdFor)
	defer timer.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-p.down.told:
		case <-timer.C:
			p.startReady()
		}
		next, now := int64(untold), p.engine.now()
		p.holds(func(h *hold, now int64) {
			if h.on(now) {
				next = min(next, h.until)
			}
		})
		if next != untold {
			timer.Reset(time.Duration(next - now))
		}
	}
}
