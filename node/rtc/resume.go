package rtc

import (
	"fmt"
	"slices"

	"github.com/pion/webrtc/v4"

	"maille/node/rtc/sdp"
	"maille/relay"
)

// Former is what a client's connection was with another node. The client keeps it: its
// sections, in their order, and its data channels, of which it will not speak again.
// Only what lies below is new, and a client that renews DTLS when it sees another
// fingerprint does not notice more of it than a restart of ICE.
type Former struct {
	// Ours is the last description of the node that sends media: its offer to a Downlink,
	// its answer of a Duplex. Theirs is the client's answer to a Downlink.
	Ours, Theirs string
	// Channels are the data channels by their ids.
	Channels map[Channel]uint16
}

// former are the sections of a connection that came from another node, until the next
// exchange: which track each carried. A client must see a section inactive before it
// carries another. Fields are guarded by Peer.nego.
type former struct {
	tracks map[string]relay.TrackID // by mid; nil once settled
	theirs string                   // a Downlink's last answer
}

// Resume prepares a peer made with Options.Resumed for a client that was connected to
// another node, before the first exchange.
func (p *Peer) Resume(f Former) error {
	p.nego.Lock()
	defer p.nego.Unlock()
	if p.closing() {
		return ErrClosed
	}
	if err := p.resumeChannels(f.Channels); err != nil {
		return err
	}
	if p.role == Uplink {
		return nil
	}
	tracks, sections, err := sdp.Carried(f.Ours)
	if err != nil {
		return err
	}
	p.down.former.tracks = tracks
	p.mu.Lock()
	p.down.ask.granted += sections
	p.mu.Unlock()
	if p.role == Downlink && f.Theirs != "" {
		theirs, err := sdp.Check(f.Theirs, sdp.AnswerBounds)
		if err != nil {
			return err
		}
		p.down.former.theirs = sdp.AsOffer(theirs.Text)
	}
	return nil
}

// resumeChannels takes the data channels over as they are: opened long ago, in another
// association.
func (p *Peer) resumeChannels(ids map[Channel]uint16) error {
	for ch := range numChannels {
		id, ok := ids[ch]
		if !ok && p.role != Downlink {
			continue
		}
		init := &webrtc.DataChannelInit{}
		if ok {
			yes := true
			init.Negotiated, init.ID = &yes, &id
		}
		if ch != Reliable {
			ordered, tries := false, uint16(0)
			init.Ordered, init.MaxRetransmits = &ordered, &tries
		}
		dc, err := p.pc.CreateDataChannel(ch.String(), init)
		if err != nil {
			return fmt.Errorf("rtc: channel %s: %w", ch, err)
		}
		if p.role.sends() {
			p.sendOn(ch, dc)
		}
		p.listen(ch, dc)
	}
	return nil
}

// resumeSections makes pion's side of a Downlink's sections, before the first offer: the
// client's last answer, taken for an offer, has them all. What pion answers stays here.
// The caller holds nego.
func (p *Peer) resumeSections() error {
	text := p.down.former.theirs
	p.down.former.theirs = ""
	if text == "" {
		return nil
	}
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: text}); err != nil {
		return fmt.Errorf("%w: former answer: %w", ErrRefused, err)
	}
	p.mu.Lock()
	subs := make(map[relay.TrackID]*Subscriber, len(p.down.subs))
	for sid, s := range p.down.subs {
		subs[sid] = s
	}
	p.mu.Unlock()
	empty := p.settle(subs, func(*webrtc.RTPTransceiver) bool { return true })
	p.mu.Lock()
	for _, t := range empty {
		p.down.leaving[kindOf(t)]++
	}
	p.mu.Unlock()
	reply, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return fmt.Errorf("%w: former answer: %w", ErrRefused, err)
	}
	if err := p.pc.SetLocalDescription(reply); err != nil {
		return fmt.Errorf("rtc: former answer: %w", err)
	}
	return nil
}

// settle puts subscribers into the sections that carried their tracks before, and
// returns those sections that carry nothing now. pion takes the first section that is
// free, so what is to stay empty is filled meanwhile. The caller holds nego.
func (p *Peer) settle(subs map[relay.TrackID]*Subscriber, takes func(*webrtc.RTPTransceiver) bool) (empty []*webrtc.RTPTransceiver) {
	tracks := p.down.former.tracks
	p.down.former.tracks = nil
	var fillers []*webrtc.RTPSender
	for _, t := range p.pc.GetTransceivers() {
		if t.Sender() != nil || !takes(t) {
			continue
		}
		s := subs[tracks[t.Mid()]]
		var fill webrtc.TrackLocal = filler(kindOf(t))
		if s != nil {
			fill = local{s}
		}
		sender, err := p.pc.AddTrack(fill)
		switch {
		case err != nil:
			p.log.Warn("former section", "mid", t.Mid(), "err", err)
		case s == nil || t.Sender() != sender:
			fillers, empty = append(fillers, sender), append(empty, t)
		default:
			p.mu.Lock()
			s.transceiver = t
			p.mu.Unlock()
		}
	}
	for _, sender := range fillers {
		if err := p.pc.RemoveTrack(sender); err != nil {
			p.log.Debug("empty section", "err", err)
		}
	}
	return empty
}

// filler is a track that keeps a section.
func filler(kind relay.Kind) webrtc.TrackLocal {
	mime := webrtc.MimeTypeVP8
	if kind == relay.Audio {
		mime = webrtc.MimeTypeOpus
	}
	t, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, "-", "-")
	if err != nil {
		panic(err) // it depends on nothing
	}
	return t
}

// resettle is place for the first offer of a client that was on another node: each
// track stays in its sdp.Section, and the others become inactive first.
func (p *Peer) resettle(byMid map[string]sdp.Section) {
	a := &p.down.ask
	p.mu.Lock()
	subs := make(map[relay.TrackID]*Subscriber, len(a.homeless))
	for _, s := range a.homeless {
		subs[s.down.Sid] = s
	}
	p.mu.Unlock()
	for _, t := range p.settle(subs, func(t *webrtc.RTPTransceiver) bool { return byMid[t.Mid()].Takes }) {
		a.leaving[t.Mid()] = true
	}
	for _, s := range subs {
		p.mu.Lock()
		t := s.transceiver
		if t != nil {
			a.homeless = slices.DeleteFunc(a.homeless, func(o *Subscriber) bool { return o == s })
		}
		p.mu.Unlock()
		if t != nil {
			p.preferSent(t, byMid[t.Mid()], s.down.Mime)
		}
	}
}
