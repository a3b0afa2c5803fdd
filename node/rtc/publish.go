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
	"maille/relay/codec"
)

const (
	// maxExpected bounds pending AddTracks; the protocol refuses the 21st.
	maxExpected = sdp.MaxOfferSections
	// A client on a failing network restarts ICE a few times; more is an attack on the
	// node's CPU.
	maxRestarts   = 8
	restartWindow = int64(time.Minute)
)

// uplink is what a client publishes on this peer. Fields are guarded by Peer.mu.
type uplink struct {
	expected []Expect // oldest first
	sections map[string]*upSection
	readers  map[*reader]struct{}
	ufrag    string
	restarts restarts
	// early holds streams that pion told of before their section was adopted, by mid: no
	// more than pion has transceivers, and so than sdp.MaxOfferSections.
	early  map[string][]arrival
	gapped chan struct{}    // a reader misses packets
	labels map[uint32]label // by SSRC, see Label
}

// upSection is a sending m-line of the client's last offer.
type upSection struct {
	sdp.Section
	terms  terms
	pub    *publication // nil while parked: its AddTrack has not come
	ended  bool         // taken from the client, who may still send
	remote []arrival    // streams that began before the AddTrack
}

// arrival is one RTP stream of a section.
type arrival struct {
	track    *webrtc.TrackRemote
	receiver *webrtc.RTPReceiver
}

// waiting adds a stream to those of a section that nothing reads yet. A section has at
// most sdp.MaxRids; of more the newest are those that still run.
func waiting(list []arrival, a arrival) []arrival {
	if len(list) == sdp.MaxRids {
		list = list[1:]
	}
	return append(list, a)
}

func (u *uplink) init() {
	u.sections, u.readers = make(map[string]*upSection), make(map[*reader]struct{})
	u.early, u.gapped = make(map[string][]arrival), make(chan struct{}, 1)
}

// Expect announces a track that the client was told it may publish. If its m-line is
// already there, it is published at once.
func (p *Peer) Expect(e Expect) error {
	if !p.role.receives() {
		return ErrRole
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.up.expected) >= maxExpected {
		return limit("pending tracks", len(p.up.expected)+1, maxExpected)
	}
	p.up.expected = append(p.up.expected, e)
	p.match()
	return nil
}

// SetOffer takes the client's offer and returns the answer, with all candidates in
// it. id is only for the caller's logs: a client's offers are answered in turn. An
// error of kind ErrRefused or ErrLimit means that the offer is unacceptable and
// changed nothing in the tracks.
func (p *Peer) SetOffer(text string, id uint32) (string, error) {
	if !p.role.receives() {
		return "", ErrRole
	}
	in, err := sdp.Check(text, p.nextBounds())
	if err != nil {
		p.refuse(guard.Description)
		return "", err
	}
	p.nego.Lock()
	defer p.nego.Unlock()
	if p.closing() {
		return "", ErrClosed
	}
	resumed, err := p.restarted(in.Ufrag)
	if err != nil {
		p.refuse(guard.Restart)
		return "", err
	}
	out, err := p.exchange(in, resumed)
	if err != nil {
		return "", fmt.Errorf("offer %d: %w", id, err)
	}
	p.mu.Lock()
	p.candidates = 0
	p.adopt(in, agreed(out))
	out = p.audioTerms(out)
	p.mu.Unlock()
	if p.role == Duplex {
		p.exchanged(in, resumed)
		p.startReady()
	}
	return out, nil
}

// exchange has pion answer an offer; the caller holds nego. pion may tell of its
// streams before exchange returns.
func (p *Peer) exchange(in *sdp.Checked, resumed bool) (string, error) {
	if p.role == Duplex {
		p.vacate(resumed)
	}
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp.Prune(in.Text, takes)}); err != nil {
		return "", fmt.Errorf("%w: %w", ErrRefused, err)
	}
	p.chooseCodecs(in)
	if p.role == Duplex {
		p.place(in, resumed)
	}
	answer, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("%w: answer: %w", ErrRefused, err)
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("rtc: answer: %w", err)
	}
	select {
	case <-gathered:
	case <-p.done:
		return "", ErrClosed
	}
	out := p.candidateLines(p.pc.LocalDescription().SDP)
	if p.role == Duplex && !p.idleOpen {
		out = sdp.Quiet(out)
	}
	return out, nil
}

// nextBounds are those of the client's next offer. A Duplex peer takes as many sections
// more as it asked for.
func (p *Peer) nextBounds() sdp.Bounds {
	b := sdp.OfferBounds
	if p.role == Duplex {
		p.mu.Lock()
		defer p.mu.Unlock()
		b.Sections = min(b.Sections+p.down.ask.granted, sdp.MaxSections)
		b.Bytes = sdp.MaxAnswerBytes
	}
	return b
}

// restarted tells whether the client restarts ICE, which it does when it resumes on a new
// socket, and bounds that: each restart builds new candidates and forgets the old.
func (p *Peer) restarted(ufrag string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ufrag == p.up.ufrag {
		return false, nil
	}
	first := p.up.ufrag == ""
	p.up.ufrag = ufrag
	if first {
		return false, nil
	}
	if !p.up.restarts.allow(p.engine.now()) {
		return false, limit("ICE restarts a minute", maxRestarts+1, maxRestarts)
	}
	return true, nil
}

// restarts are when ICE was restarted, the last maxRestarts times.
type restarts []int64

// allow reports whether it may be restarted at now, and if so notes it.
func (r *restarts) allow(now int64) bool {
	if n := len(*r); n >= maxRestarts {
		if now-(*r)[n-maxRestarts] < restartWindow {
			return false
		}
		*r = (*r)[1:]
	}
	*r = append(*r, now)
	return true
}

// chooseCodecs answers each new section with one codec in use, which is its first.
// Packets of another are dropped (terms.accept): a track never changes its codec under
// its subscribers.
func (p *Peer) chooseCodecs(in *sdp.Checked) {
	for _, t := range p.pc.GetTransceivers() {
		i := slices.IndexFunc(in.Sections, func(s sdp.Section) bool { return s.Mid == t.Mid() && s.Sends })
		if i < 0 || t.Receiver() == nil {
			continue
		}
		chosen := choose(t.Receiver().GetParameters().Codecs, p.wishedMime(in.Sections[i]))
		if chosen == nil {
			continue // pion answers such a section with port 0
		}
		if err := t.SetCodecPreferences(chosen); err != nil {
			p.log.Debug("codec preference", "mid", t.Mid(), "err", err)
		}
	}
}

// wishedMime is the codec that the section's AddTrack or running publication has.
func (p *Peer) wishedMime(s sdp.Section) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.up.sections[s.Mid]; known != nil && known.TrackID == s.TrackID && known.pub != nil {
		return known.terms.mime
	}
	for _, e := range p.up.expected {
		if e.names(s) {
			return e.Mime
		}
	}
	return ""
}

// adopt brings the tracks in line with the negotiated sections; the caller holds mu.
func (p *Peer) adopt(in *sdp.Checked, terms map[string]terms) {
	seen := make(map[string]bool)
	for _, s := range in.Sections {
		t, ok := terms[s.Mid]
		if !ok || !s.Sends {
			continue
		}
		seen[s.Mid] = true
		if known := p.up.sections[s.Mid]; known != nil {
			if known.TrackID == s.TrackID {
				known.Section, known.terms = s, t
				continue
			}
			p.unpublish(s.Mid)
		}
		p.up.sections[s.Mid] = &upSection{Section: s, terms: t, remote: p.up.early[s.Mid]}
	}
	clear(p.up.early)
	for mid := range p.up.sections {
		if !seen[mid] {
			p.unpublish(mid)
		}
	}
	p.match()
}

// names reports whether the section carries one of the ids that were announced.
func (e *Expect) names(s sdp.Section) bool {
	return relayKind(s.Kind) == e.Kind && s.TrackID != "" && (s.TrackID == e.Cid || slices.Contains(e.CodecCids, s.TrackID))
}

// match publishes parked sections that were announced: by id first, then, since some
// browsers rewrite ids, the oldest of the same kind. The caller holds mu.
func (p *Peer) match() {
	var parked []*upSection
	for _, s := range p.up.sections {
		if s.pub == nil && !s.ended {
			parked = append(parked, s)
		}
	}
	slices.SortFunc(parked, func(a, b *upSection) int {
		return strings.Compare(fmt.Sprintf("%8s", a.Mid), fmt.Sprintf("%8s", b.Mid))
	})
	for _, exact := range []bool{true, false} {
		for _, s := range parked {
			if s.pub != nil {
				continue
			}
			i := slices.IndexFunc(p.up.expected, func(e Expect) bool {
				return e.names(s.Section) || !exact && relayKind(s.Kind) == e.Kind
			})
			if i < 0 {
				continue
			}
			e := p.up.expected[i]
			p.up.expected = slices.Delete(p.up.expected, i, i+1)
			if e.Into != nil && e.Into.pub.track.Mime() != s.terms.mime {
				p.log.Info("further codec without its section", "track", e.Into.pub.track.ID(), "mime", s.terms.mime)
				continue
			}
			p.publish(s, e)
		}
	}
}

// publish starts a track on a section; the caller holds mu.
func (p *Peer) publish(s *upSection, e Expect) {
	pub := newPublication(p, s, e)
	s.pub = pub
	told := Published{
		Sid: e.Sid, Cid: e.Cid, SdpCid: s.TrackID, Mid: s.Mid, Mime: s.terms.mime,
		Encodings: max(1, len(s.Rids)), Track: pub.track,
	}
	p.post(func() { p.h.Published(told) })
	if !pub.further {
		pub.track.SetSource(pub)
	}
	for _, a := range s.remote {
		p.read(pub, s, a)
	}
	s.remote = nil
}

// unpublish ends a section; the caller holds mu.
func (p *Peer) unpublish(mid string) {
	s := p.up.sections[mid]
	delete(p.up.sections, mid)
	if s.pub == nil {
		return
	}
	pub := s.pub
	p.post(func() {
		if !pub.further {
			pub.track.Close()
		}
		p.h.Unpublished(pub.track.ID())
	})
}

// Unpublish ends a track in all its codecs, expected or running, while its client may
// go on sending: what still comes is dropped. An unknown sid is ignored.
func (p *Peer) Unpublish(sid relay.TrackID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up.expected = slices.DeleteFunc(p.up.expected, func(e Expect) bool { return e.Sid == sid })
	for _, s := range p.up.sections {
		if s.pub == nil || s.pub.sid != sid {
			continue
		}
		pub := s.pub
		s.pub, s.ended = nil, true
		p.post(func() {
			pub.track.Close()
			p.h.Unpublished(pub.track.ID())
		})
	}
}

// endPublications closes what is left when the transport is gone; nothing reads any
// more.
func (p *Peer) endPublications() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for mid := range p.up.sections {
		p.unpublish(mid)
	}
}

// received is told by pion of each incoming stream.
func (p *Peer) received(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	t := receiver.RTPTransceiver()
	if t == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.up.sections[t.Mid()]
	switch a := (arrival{track, receiver}); {
	case p.closing():
	case s == nil:
		p.up.early[t.Mid()] = waiting(p.up.early[t.Mid()], a)
	case s.pub == nil:
		s.remote = waiting(s.remote, a)
	default:
		p.read(s.pub, s, a)
	}
}

// read starts the loops of one stream; the caller holds mu.
func (p *Peer) read(pub *publication, s *upSection, a arrival) {
	encoding, ok := sdp.EncodingOf(s.Rids, a.track.RID())
	if !ok || p.closing() {
		return
	}
	r := &reader{
		pub: pub, encoding: encoding, simulcast: len(s.Rids) > 1 && a.track.RID() != "", terms: s.terms, arrival: a, now: p.engine.now,
		inspect: codec.NewInspector(s.terms.mime),
	}
	p.up.readers[r] = struct{}{}
	pub.ssrc[encoding].Store(uint32(a.track.SSRC()))
	p.loops.Go(r.packets)
	p.loops.Go(r.reports)
}

func (p *Peer) forget(r *reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.up.readers, r)
}

func relayKind(media string) relay.Kind {
	if media == "audio" {
		return relay.Audio
	}
	return relay.Video
}
