package rtc

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/node/guard"
	"maille/node/rtc/sdp"
	"maille/relay"
	"maille/relay/track"
)

const (
	// firstOfferWithin lets the subscriptions of a joining client share the first offer.
	firstOfferWithin = 5 * time.Millisecond
	// offerEvery gathers later changes; an offer costs the client tens of milliseconds.
	offerEvery = 50 * time.Millisecond
	// maxSubscriptions bounds what one client watches at once: its sections, less the one
	// for data.
	maxSubscriptions = sdp.MaxSections - 1
)

// downlink is what the peer sends. Fields are guarded by Peer.mu.
type downlink struct {
	subs     map[relay.TrackID]*Subscriber
	changes  []change // to be applied to pion before the next offer, by negotiate
	restarts restarts
	urgent   bool // the next offer does not wait for more changes
	restart  bool // the next offer restarts ICE
	offerID  uint32
	waiting  bool   // the offer offerID has no answer yet
	last     string // its text
	offered  int    // its sections
	kick     chan struct{}
	answered chan struct{}
	idle     map[relay.Kind]int // transceivers that can be used again
	leaving  map[relay.Kind]int // those whose removal is being negotiated
	ask      asking             // of a Duplex peer
	told     chan struct{}      // a hold ends soon
	// named are the kinds whose codecs the client has answered, see preferring.
	named  map[relay.Kind]bool
	former former // of a client that was on another node
	// extmaps are the header extensions offered of each kind ("audio"), see sdp.Extensions.
	extmaps map[string]string
}

// change gives a subscriber a section or takes it from it. One that was to get its
// section and ends before is no change any more, so there are never more of them than
// sections and subscribers, however often a client changes its mind.
type change struct {
	s      *Subscriber
	attach bool
	apply  func()
}

func (d *downlink) init() {
	d.subs = make(map[relay.TrackID]*Subscriber)
	d.kick, d.answered = make(chan struct{}, 1), make(chan struct{}, 1)
	d.idle, d.leaving = make(map[relay.Kind]int), make(map[relay.Kind]int)
	d.ask.init()
	d.told = make(chan struct{}, 1)
	d.named, d.extmaps = make(map[relay.Kind]bool), make(map[string]string)
}

// schedule asks for an offer; the caller holds mu.
func (p *Peer) schedule() {
	select {
	case p.down.kick <- struct{}{}:
	default:
	}
}

// Negotiate sends an offer without waiting for more changes. The first one may carry
// the data channels only.
func (p *Peer) Negotiate() error {
	if p.role != Downlink {
		return ErrRole
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down.urgent = true
	p.schedule()
	return nil
}

// Waiting returns the id of the offer that has no answer yet, which the handler may not
// have been told of; 0 if there is none.
func (p *Peer) Waiting() (id uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down.waiting {
		return p.down.offerID
	}
	return 0
}

// Restart sends an offer that restarts ICE, for a client whose network changed. An
// offer that waits for its answer is sent again first: one of the two may be lost. It
// fails with ErrLimit when the client has it restart too often.
func (p *Peer) Restart() error {
	p.mu.Lock()
	if !p.down.restarts.allow(p.engine.now()) {
		p.mu.Unlock()
		p.refuse(guard.Restart)
		return limit("ICE restarts a minute", maxRestarts+1, maxRestarts)
	}
	p.down.restart = true
	if p.down.waiting {
		text, id := p.down.last, p.down.offerID
		p.post(func() { p.h.Offer(text, id) })
	}
	p.mu.Unlock()
	return p.Negotiate()
}

// Subscribe sends a track to the client after the next offer and answer. The
// subscription ends with Unsubscribe, the track's end or the peer's.
func (p *Peer) Subscribe(d Down, t *track.Track) (*Subscriber, error) {
	if !p.role.sends() {
		return nil, ErrRole
	}
	if _, ok := preferring(d.Kind, d.Mime, false); !ok {
		return nil, fmt.Errorf("%w: %s", ErrCodec, d.Mime)
	}
	if p.closing() {
		return nil, ErrClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.down.subs[d.Sid]; old != nil {
		return nil, refuse("track %s is subscribed already", d.Sid)
	}
	if len(p.down.subs) >= maxSubscriptions {
		return nil, limit("subscriptions", len(p.down.subs)+1, maxSubscriptions)
	}
	s := newSubscriber(p, d, t)
	p.down.subs[d.Sid] = s
	if p.role == Duplex {
		p.down.ask.homeless = append(p.down.ask.homeless, s)
	} else {
		p.down.changes = append(p.down.changes, change{s, true, func() { p.attach(s) }})
	}
	p.schedule()
	return s, nil
}

// Unsubscribe stops sending a track at once and frees its section with the next
// offer. An unknown sid is ignored.
func (p *Peer) Unsubscribe(sid relay.TrackID) {
	p.mu.Lock()
	s := p.down.subs[sid]
	delete(p.down.subs, sid)
	switch {
	case s == nil:
	case p.role == Duplex:
		p.leave(s)
	default:
		before := len(p.down.changes)
		p.down.changes = slices.DeleteFunc(p.down.changes, func(c change) bool { return c.s == s && c.attach })
		if len(p.down.changes) == before {
			p.down.changes = append(p.down.changes, change{s, false, func() { p.detach(s) }})
		}
		p.schedule()
	}
	p.mu.Unlock()
	if s != nil {
		s.end()
	}
}

// attach gives the subscriber a section, a free one if there is one. negotiate calls
// it between two exchanges.
func (p *Peer) attach(s *Subscriber) {
	p.mu.Lock()
	housed, reuse := s.transceiver != nil, p.down.idle[s.down.Kind] > 0
	prefer, _ := preferring(s.down.Kind, s.down.Mime, !p.down.named[s.down.Kind])
	p.mu.Unlock()
	if housed {
		return // where it was on another node
	}
	t, err := p.section(s, reuse)
	if err != nil {
		p.log.Warn("subscription without section", "track", s.down.Sid, "err", err)
		return
	}
	if err := t.SetCodecPreferences(prefer); err != nil {
		p.log.Debug("codec preference", "track", s.down.Sid, "err", err)
	}
	p.mu.Lock()
	if reuse {
		p.down.idle[s.down.Kind]--
	}
	s.transceiver = t
	p.mu.Unlock()
}

func (p *Peer) section(s *Subscriber, reuse bool) (*webrtc.RTPTransceiver, error) {
	if !reuse {
		return p.pc.AddTransceiverFromTrack(local{s}, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	}
	sender, err := p.pc.AddTrack(local{s})
	if err != nil {
		return nil, err
	}
	for _, t := range p.pc.GetTransceivers() {
		if t.Sender() == sender {
			return t, nil
		}
	}
	return nil, fmt.Errorf("rtc: sender without transceiver")
}

func (p *Peer) detach(s *Subscriber) {
	p.mu.Lock()
	t := s.transceiver
	s.transceiver = nil
	p.mu.Unlock()
	if t == nil || t.Sender() == nil {
		return
	}
	if err := p.pc.RemoveTrack(t.Sender()); err != nil {
		p.log.Debug("free section", "track", s.down.Sid, "err", err)
		return
	}
	p.mu.Lock()
	p.down.leaving[s.down.Kind]++
	p.mu.Unlock()
}

// negotiate makes the offers, one at a time.
func (p *Peer) negotiate() {
	first := true
	for {
		select {
		case <-p.done:
			return
		case <-p.down.kick:
		}
		if !p.gather(first) {
			return
		}
		first = false
		if err := p.offer(); err != nil {
			if !p.closing() {
				p.shut(fmt.Errorf("rtc: offer: %w", err))
			}
			return
		}
		select {
		case <-p.done:
			return
		case <-p.down.answered:
		}
	}
}

// gather waits for further changes, false when the peer closes.
func (p *Peer) gather(first bool) bool {
	wait := offerEvery
	if first {
		wait = firstOfferWithin
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		p.mu.Lock()
		urgent := p.down.urgent
		p.down.urgent = false
		p.mu.Unlock()
		if urgent {
			return true
		}
		select {
		case <-p.done:
			return false
		case <-timer.C:
			return true
		case <-p.down.kick: // urgent, or one more change
		}
	}
}

func (p *Peer) offer() error {
	p.nego.Lock()
	defer p.nego.Unlock()
	if p.closing() {
		return ErrClosed
	}
	p.mu.Lock()
	select {
	case <-p.down.kick: // this offer has it
	default:
	}
	changes, restart := p.down.changes, p.down.restart
	p.down.changes, p.down.restart = nil, false
	p.mu.Unlock()
	if err := p.resumeSections(); err != nil {
		return err
	}
	for _, c := range changes {
		c.apply()
	}
	// A restart needs something to restart.
	restart = restart && p.pc.CurrentRemoteDescription() != nil
	offer, err := p.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: restart})
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	select {
	case <-gathered:
	case <-p.done:
		return ErrClosed
	}
	text := p.candidateLines(p.pc.LocalDescription().SDP)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down.offerID++
	text = p.stereoTerms(sdp.Extensions(text, p.down.extmaps))
	p.down.waiting, p.down.last, p.down.offered = true, text, strings.Count(text, "\nm=")
	id := p.down.offerID
	p.post(func() { p.h.Offer(text, id) })
	return nil
}

// SetAnswer takes the client's answer. One that carries another offer's id (other than
// 0, which some clients always send) or comes unasked is ignored. After an error the
// connection cannot go on; the caller closes it.
func (p *Peer) SetAnswer(text string, id uint32) error {
	if p.role != Downlink {
		return ErrRole
	}
	in, err := sdp.Check(text, sdp.AnswerBounds)
	if err != nil {
		p.refuse(guard.Description)
		return err
	}
	p.nego.Lock()
	defer p.nego.Unlock()
	if p.closing() {
		return ErrClosed
	}
	p.mu.Lock()
	current, waiting, offered := p.down.offerID, p.down.waiting, p.down.offered
	p.mu.Unlock()
	if !waiting || id != 0 && id != current {
		return nil
	}
	if len(in.Sections) != offered { // RFC 3264 section 6, and pion would find out the slow way
		p.refuse(guard.Description)
		return refuse("answer of %d sections to an offer of %d", len(in.Sections), offered)
	}
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: in.Text}); err != nil {
		return fmt.Errorf("%w: answer %d: %w", ErrRefused, id, err)
	}
	p.mu.Lock()
	p.candidates = 0
	p.down.waiting, p.down.last = false, ""
	for _, s := range in.Sections {
		if s.Kind != "application" {
			p.down.named[relayKind(s.Kind)] = true
		}
	}
	for kind, n := range p.down.leaving {
		p.down.idle[kind] += n
	}
	clear(p.down.leaving)
	p.mu.Unlock()
	select {
	case p.down.answered <- struct{}{}:
	default:
	}
	p.startReady()
	return nil
}

// startReady attaches the subscribers that are negotiated and encrypted to their
// tracks.
func (p *Peer) startReady() {
	var ready []*Subscriber
	p.mu.Lock()
	if p.state == Connected {
		for _, s := range p.down.subs {
			ready = append(ready, s)
		}
	}
	p.mu.Unlock()
	p.allocate(p.engine.now())
	for _, s := range ready {
		s.start()
	}
}

func (p *Peer) endSubscribers() {
	p.mu.Lock()
	var all []*Subscriber
	for sid, s := range p.down.subs {
		delete(p.down.subs, sid)
		all = append(all, s)
	}
	p.mu.Unlock()
	for _, s := range all {
		s.end()
	}
}

// each calls f with every subscriber, without mu.
func (p *Peer) each(f func(*Subscriber)) {
	p.mu.Lock()
	all := make([]*Subscriber, 0, len(p.down.subs))
	for _, s := range p.down.subs {
		all = append(all, s)
	}
	p.mu.Unlock()
	for _, s := range all {
		f(s)
	}
}
