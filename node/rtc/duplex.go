package rtc

import (
	"slices"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

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
)

// asking is how a Duplex peer gets sections to send in. Fields are guarded by Peer.mu.
type asking struct {
	homeless []*Subscriber   // without a section, oldest first
	leavers  []*Subscriber   // to be taken out of their sections with the next offer
	sections [2]int          // that the client's last offer takes media in, by kind
	free     [2]int          // those of them that nothing is sent in
	total    int             // sections of its last offer
	granted  int             // sections it was asked for so far
	offered  bool            // its first offer was answered
	refused  [2]bool         // by kind: the client has no codec that this node sends
	answered chan struct{}   // an offer was answered
	leaving  map[string]bool // mids that the exchange under way frees; under Peer.nego
}

func (a *asking) init() {
	a.answered, a.leaving = make(chan struct{}, 1), make(map[string]bool)
}

// leave frees the section of a subscription that ended, with the client's next offer;
// the caller holds mu.
func (p *Peer) leave(s *Subscriber) {
	a := &p.down.ask
	if i := slices.Index(a.homeless, s); i >= 0 {
		a.homeless = slices.Delete(a.homeless, i, i+1)
		return
	}
	a.leavers = append(a.leavers, s)
	p.schedule()
}

// vacate takes the subscriptions that ended out of their sections. A section is told to
// be inactive before it is used again: clients notice a new track by that change only.
func (p *Peer) vacate() {
	p.mu.Lock()
	leavers := p.down.ask.leavers
	p.down.ask.leavers = nil
	p.mu.Unlock()
	for _, s := range leavers {
		if t := p.evict(s); t != nil {
			p.down.ask.leaving[t.Mid()] = true
		}
	}
}

// evict takes a subscriber out of its section.
func (p *Peer) evict(s *Subscriber) *webrtc.RTPTransceiver {
	p.mu.Lock()
	t := s.transceiver
	s.transceiver = nil
	p.mu.Unlock()
	if t == nil || t.Sender() == nil {
		return t
	}
	if err := p.pc.RemoveTrack(t.Sender()); err != nil {
		p.log.Debug("free section", "track", s.down.Sid, "err", err)
	}
	return t
}

// place gives the subscriptions without section those that the offer has free. The
// caller holds nego; pion has the offer.
func (p *Peer) place(in *checked) {
	byMid := make(map[string]section, len(in.sections))
	for _, s := range in.sections {
		byMid[s.mid] = s
	}
	p.reclaim(byMid)
	if p.down.former.tracks != nil {
		p.resettle(byMid)
		return
	}
	var free [2]int
	var refused [2]bool
	for _, t := range p.pc.GetTransceivers() {
		kind := kindOf(t)
		if t.Sender() != nil || !byMid[t.Mid()].takes || p.down.ask.leaving[t.Mid()] || refused[kind] {
			continue
		}
		if free[kind] == 0 && len(sendable(offeredCodecs(t), "")) == 0 {
			refused[kind] = true // pion would fail the whole answer
			continue
		}
		free[kind]++
	}
	p.mu.Lock()
	p.down.ask.refused = refused
	waiting := slices.Clone(p.down.ask.homeless)
	p.mu.Unlock()
	for _, s := range waiting {
		if free[s.down.Kind] > 0 && p.house(s, byMid) {
			free[s.down.Kind]--
		}
	}
}

// reclaim makes subscribers homeless whose section the client takes no media in any
// more.
func (p *Peer) reclaim(byMid map[string]section) {
	p.mu.Lock()
	var lost []*Subscriber
	for _, s := range p.down.subs {
		if s.transceiver != nil && !byMid[s.transceiver.Mid()].takes {
			lost = append(lost, s)
		}
	}
	p.down.ask.homeless = append(p.down.ask.homeless, lost...)
	p.mu.Unlock()
	for _, s := range lost {
		p.evict(s)
	}
}

// house gives a subscriber the first free section of its kind.
func (p *Peer) house(s *Subscriber, byMid map[string]section) bool {
	sender, err := p.pc.AddTrack(local{s})
	if err != nil {
		p.log.Warn("subscription without section", "track", s.down.Sid, "err", err)
		return false
	}
	i := slices.IndexFunc(p.pc.GetTransceivers(), func(t *webrtc.RTPTransceiver) bool { return t.Sender() == sender })
	t := p.pc.GetTransceivers()[i]
	p.preferSent(t, byMid[t.Mid()], s.down.Mime)
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &p.down.ask
	s.transceiver = t
	if i := slices.Index(a.homeless, s); i >= 0 {
		a.homeless = slices.Delete(a.homeless, i, i+1)
	} else { // it ended meanwhile
		a.leavers = append(a.leavers, s)
	}
	return true
}

// preferSent answers a section with the codec that the node sends in it, and what it
// receives there if the client sends in it too.
func (p *Peer) preferSent(t *webrtc.RTPTransceiver, s section, mime string) {
	var codecs []webrtc.RTPCodecParameters
	if s.sends {
		codecs = offeredCodecs(t) // chosen by chooseCodecs
	}
	_ = t.SetCodecPreferences(nil)
	for _, c := range sendable(offeredCodecs(t), mime) {
		if !slices.ContainsFunc(codecs, func(have webrtc.RTPCodecParameters) bool { return have.PayloadType == c.PayloadType }) {
			codecs = append(codecs, c)
		}
	}
	if err := t.SetCodecPreferences(codecs); err != nil {
		p.log.Debug("codec preference", "mid", t.Mid(), "err", err)
	}
}

// sendable orders the codecs of a client for a section that carries mime: it, then
// whatever else this node sends, each with its retransmissions.
func sendable(offered []webrtc.RTPCodecParameters, mime string) (out []webrtc.RTPCodecParameters) {
	for _, wanted := range []bool{true, false} {
		for _, c := range offered {
			if strings.EqualFold(c.MimeType, mime) != wanted || !isSent(c.MimeType) {
				continue
			}
			out = append(out, c)
			for _, rtx := range offered {
				if repeats(rtx, c) {
					out = append(out, rtx)
				}
			}
		}
	}
	return out
}

// isSent tells of a mime type whether this node sends it to clients.
func isSent(mime string) bool {
	return slices.ContainsFunc(codecs, func(c format) bool { return c.down && strings.EqualFold(c.mime, mime) })
}

func offeredCodecs(t *webrtc.RTPTransceiver) []webrtc.RTPCodecParameters {
	if t.Receiver() == nil {
		return nil
	}
	return t.Receiver().GetParameters().Codecs
}

func kindOf(t *webrtc.RTPTransceiver) relay.Kind {
	if t.Kind() == webrtc.RTPCodecTypeAudio {
		return relay.Audio
	}
	return relay.Video
}

// exchanged notes what the client offered, once it is answered.
func (p *Peer) exchanged(in *checked) {
	clear(p.down.ask.leaving)
	used := make(map[string]bool)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.down.subs {
		if s.transceiver != nil {
			used[s.transceiver.Mid()] = true
		}
	}
	a := &p.down.ask
	a.sections, a.free, a.total, a.offered = [2]int{}, [2]int{}, len(in.sections), true
	for _, s := range in.sections {
		if !s.takes {
			continue
		}
		a.sections[relayKind(s.kind)]++
		if !used[s.mid] {
			a.free[relayKind(s.kind)]++
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
	room := maxSections - a.total
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
		p.mu.Unlock()
		if ok {
			return true
		}
		if first {
			timer.Reset(askAgain) // it crossed the request, or came on a new socket
		}
	}
}

// quiet marks the sections of an answer inactive that nothing is sent in: a client takes
// one that says otherwise for a track of nobody.
func quiet(answer string) string {
	var out, part strings.Builder
	msid := false
	flush := func() {
		text := part.String()
		part.Reset()
		if !msid {
			text = strings.Replace(text, "\r\na=sendonly\r\n", "\r\na=inactive\r\n", 1)
		}
		out.WriteString(text)
		msid = false
	}
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "m=") {
			flush()
		}
		msid = msid || strings.HasPrefix(line, "a=msid:")
		part.WriteString(line)
	}
	flush()
	return out.String()
}
