package rtc

import (
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"maille/node/rtc/sdp"
	"maille/relay"
)

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
// A client that resumed may have lost the answer that said so, and is told again.
func (p *Peer) vacate(resumed bool) {
	p.mu.Lock()
	leavers := p.down.ask.leavers
	p.down.ask.leavers = nil
	p.mu.Unlock()
	if !resumed {
		clear(p.down.ask.leaving)
	}
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

// place gives the subscriptions without section those that the offer has free. While
// some are to stay empty for a client that resumed, all of the kind are, as pion takes
// the first. The caller holds nego; pion has the offer.
func (p *Peer) place(in *sdp.Checked, resumed bool) {
	byMid := make(map[string]sdp.Section, len(in.Sections))
	for _, s := range in.Sections {
		byMid[s.Mid] = s
	}
	p.reclaim(byMid)
	if p.down.former.tracks != nil {
		p.resettle(byMid)
		return
	}
	var free [2]int
	var refused, kept [2]bool
	for _, t := range p.pc.GetTransceivers() {
		kind := kindOf(t)
		if t.Sender() != nil || !byMid[t.Mid()].Takes || refused[kind] {
			continue
		}
		if p.down.ask.leaving[t.Mid()] {
			kept[kind] = resumed
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
		if free[s.down.Kind] > 0 && !kept[s.down.Kind] && p.house(s, byMid) {
			free[s.down.Kind]--
		}
	}
}

// reclaim makes subscribers homeless whose section the client takes no media in any
// more.
func (p *Peer) reclaim(byMid map[string]sdp.Section) {
	p.mu.Lock()
	var lost []*Subscriber
	for _, s := range p.down.subs {
		if s.transceiver != nil && !byMid[s.transceiver.Mid()].Takes {
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
func (p *Peer) house(s *Subscriber, byMid map[string]sdp.Section) bool {
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
	p.begin(s)
	if i := slices.Index(a.homeless, s); i >= 0 {
		a.homeless = slices.Delete(a.homeless, i, i+1)
	} else { // it ended meanwhile
		a.leavers = append(a.leavers, s)
	}
	return true
}

// preferSent answers a section with the codec that the node sends in it, and what it
// receives there if the client sends in it too.
func (p *Peer) preferSent(t *webrtc.RTPTransceiver, s sdp.Section, mime string) {
	var codecs []webrtc.RTPCodecParameters
	if s.Sends {
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
