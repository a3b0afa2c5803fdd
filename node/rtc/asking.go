package rtc

import (
	"time"

	"maille/node/rtc/sdp"
	"maille/relay"
)

const (
	// askWithin gathers subscriptions before the client is asked for sections. It gathers
	// a while itself before it offers.
	askWithin = 20 * time.Millisecond
	// askAgain is how long an answer to a request is waited for: it may have been lost
	// with its socket, and an offer that crossed it brings nothing. It doubles up to
	// askSeldom.
	askAgain  = 2 * time.Second
	askSeldom = 16 * time.Second
	// askResumed is how long it is waited for once the client has resumed: what was asked
	// before went to its former socket, unless it was a moment ago.
	askResumed = 500 * time.Millisecond
)

// asking is how a Duplex peer gets sections to send in. Fields are guarded by Peer.mu.
type asking struct {
	homeless  []*Subscriber   // without a section, oldest first
	leavers   []*Subscriber   // to be taken out of their sections with the next offer
	sections  [2]int          // that the client's last offer takes media in, by kind
	free      [2]int          // those of them that nothing is sent in
	total     int             // sections of its last offer
	granted   int             // sections it was asked for so far
	offered   bool            // its first offer was answered
	exchanges uint64          // how many were
	refused   [2]bool         // by kind: the client has no codec that this node sends
	answered  chan struct{}   // an offer was answered
	resumed   bool            // by one that restarted ICE
	leaving   map[string]bool // mids that the exchange frees; under Peer.nego
}

func (a *asking) init() {
	a.answered, a.leaving = make(chan struct{}, 1), make(map[string]bool)
}

// exchanged notes what the client offered, once it is answered.
func (p *Peer) exchanged(in *sdp.Checked, resumed bool) {
	used := make(map[string]bool)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.down.subs {
		if s.transceiver != nil {
			used[s.transceiver.Mid()] = true
		}
	}
	a := &p.down.ask
	a.sections, a.free, a.total, a.offered, a.resumed = [2]int{}, [2]int{}, len(in.Sections), true, resumed
	a.exchanges++
	for _, s := range in.Sections {
		if !s.Takes {
			continue
		}
		a.sections[relayKind(s.Kind)]++
		if !used[s.Mid] {
			a.free[relayKind(s.Kind)]++
		}
	}
	if len(a.homeless) > 0 || len(a.leavers) > 0 {
		p.schedule()
	}
	select {
	case a.answered <- struct{}{}:
	default:
	}
}

// want is what to ask the client for; ok is false when there is nothing to ask.
func (a *asking) want() (more [2]int, ok bool) {
	if !a.offered {
		return more, false
	}
	var need [2]int
	for _, s := range a.homeless {
		if !a.refused[s.down.Kind] {
			need[s.down.Kind]++
		}
	}
	ok = len(a.leavers) > 0
	room := sdp.MaxSections - a.total
	for kind := range need {
		more[kind] = min(max(0, need[kind]-a.free[kind]), room)
		room -= more[kind]
		ok = ok || more[kind] > 0 || min(need[kind], a.free[kind]) > 0
	}
	return more, ok
}

// askSections asks the client for its next offers, one at a time.
func (p *Peer) askSections() {
	for {
		select {
		case <-p.done:
			return
		case <-p.down.kick:
		}
		if !p.pause(askWithin) {
			return
		}
		for wait := askAgain; ; wait = min(2*wait, askSeldom) {
			p.mu.Lock()
			a := &p.down.ask
			more, ok := a.want()
			var enough [2]int
			if ok {
				a.granted += more[relay.Audio] + more[relay.Video]
				for kind := range enough {
					enough[kind] = a.sections[kind] + more[kind]
				}
				select {
				case <-a.answered: // before this
				default:
				}
				p.post(func() { p.h.Sections(uint32(more[relay.Audio]), uint32(more[relay.Video])) })
			}
			p.mu.Unlock()
			if !ok || p.offeredWithin(wait, enough) {
				break
			}
		}
		if p.closing() {
			return
		}
	}
}

// pause waits, false when the peer closes meanwhile.
func (p *Peer) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.done:
		return false
	case <-timer.C:
		return true
	}
}

// offeredWithin waits for an offer that has the sections asked for, or leaves nothing to
// ask for. It is true also when the peer closes.
func (p *Peer) offeredWithin(d time.Duration, enough [2]int) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for first := true; ; first = false {
		select {
		case <-p.done:
			return true
		case <-timer.C:
			return false
		case <-p.down.ask.answered:
		}
		p.mu.Lock()
		a := &p.down.ask
		_, more := a.want()
		ok := !more || a.sections[relay.Audio] >= enough[relay.Audio] && a.sections[relay.Video] >= enough[relay.Video]
		resumed := a.resumed
		p.mu.Unlock()
		switch {
		case ok:
			return true
		case resumed:
			timer.Reset(askResumed)
		case first:
			timer.Reset(askAgain) // it crossed the request
		}
	}
}
