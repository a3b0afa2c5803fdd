package rtc

import (
	"sync"
	"sync/atomic"

	"github.com/pion/webrtc/v4"

	"maille/node/rtc/missing"
	"maille/relay"
	"maille/relay/packet"
	"maille/relay/track"
)

// Subscriber is one track on its way to one client, the relay.Sink of the track. It chooses a layer, renumbers, encrypts, and answers the
// client's feedback.
type Subscriber struct {
	peer *Peer
	down Down
	nth  uint64 // of the peer's subscriptions

	transceiver *webrtc.RTPTransceiver // guarded by Peer.mu
	held        hold                   // guarded by Peer.mu
	bound       atomic.Pointer[binding]

	sent, bytes, resent atomic.Uint64
	nacked, keyframes   atomic.Uint64
	drops               relay.Drops
	heard               atomic.Pointer[Heard]

	mu      sync.Mutex // guards all below
	track   *track.Track
	tap     *track.Tap // nil until started
	started bool
	ended   bool
	out     forwarder
	asked   relay.LayerSet // what the tap was last told to want
	heeds   relay.LayerSet // and to hear
	writer  writer
	repair  repairBudget
	begun   uint16 // first number sent, of a packet with media
	newest  uint16 // highest number sent
	key     uint16 // where the newest keyframe begins, if keyed
	keyed   bool
	pending missing.Pending
	settled missing.Settled

	opening  opening
	share    share
	reported int64         // when the last sender report went out
	reports  [4]sentReport // the last ones
	reportAt int
}

// binding is what was negotiated with the client for this track.
type binding struct {
	writer  webrtc.TrackLocalWriter
	pt, rtx uint8 // rtx is 0 without retransmission format
	red     uint8 // payload type of RED, 0 when the client does not take it
	ssrc    uint32
	rtxSSRC uint32
	ids     packet.ExtMap
	usable  bool                        // the client takes the codec
	formats []webrtc.RTPCodecParameters // all that the client takes
}

func newSubscriber(p *Peer, d Down, t *track.Track) *Subscriber {
	s := &Subscriber{peer: p, down: d, track: t, out: newForwarder(d, p.engine.now()), writer: newWriter()}
	s.writer.delay = p.playout.bytes(d.Kind)
	p.path.joins(s)
	return s
}

// start attaches the subscriber to its track once it can send.
func (s *Subscriber) start() {
	b := s.bound.Load()
	if b == nil || !b.usable {
		return
	}
	s.peer.mu.Lock()
	held := s.held.on(s.peer.engine.now())
	s.peer.mu.Unlock()
	if held {
		return
	}
	s.mu.Lock()
	if s.started || s.ended {
		s.mu.Unlock()
		return
	}
	s.started = true
	t := s.track
	if e := t.Stats().Encodings; s.out.svc && e[1].Packets+e[2].Packets > 0 {
		s.out.simulcast(s.peer.engine.now())
	}
	s.out.live(t.Live(), s.peer.engine.now())
	s.asked, s.heeds = s.out.wants(), s.out.hears()
	want, hear := s.asked, s.heeds
	s.mu.Unlock()
	for encoding := range uint8(relay.MaxSpatial) {
		if c, ok := t.LastClock(encoding); ok {
			s.Clock(c)
		}
	}

	tap := t.Attach(s, want) // closes s at once if the track has ended
	tap.Hear(hear)
	s.mu.Lock()
	ended := s.ended || s.track != t
	if !ended {
		s.tap = tap
	}
	s.mu.Unlock()
	if ended {
		tap.Detach()
		return
	}
	s.refresh(tap)
}

// refresh shows a picture as soon as possible: the running group of pictures of the
// layer that is due, if the track has it, else the next keyframe. Until that comes, if it
// does, the next lower layer that the track has is shown. A client that sees
// a picture already is not sent the past, nor one whose path would queue it. The replay
// must not hold mu: it pushes.
func (s *Subscriber) refresh(tap *track.Tap) {
	now := s.peer.engine.now()
	s.mu.Lock()
	s.want(tap)
	spatial, due := s.out.keyframe(now)
	shown := s.out.spatial() >= 0
	sent := s.track.Live().HasSpatial(spatial)
	s.mu.Unlock()
	if !due || !shown && s.replay(tap, spatial, now) {
		return
	}
	tap.Keyframe(spatial)
	for ; !shown && !sent && spatial > 0; spatial-- {
		if s.replay(tap, spatial-1, now) {
			return
		}
	}
}

// replay shows the running group of pictures of an encoding, if it is there and affordable.
func (s *Subscriber) replay(tap *track.Tap, encoding uint8, now int64) bool {
	return s.peer.path.affords(tap.Behind(encoding), now) && tap.Replay(encoding)
}

func (s *Subscriber) want(tap *track.Tap) {
	if want := s.out.wants(); want != s.asked {
		s.asked = want
		tap.Want(want)
	}
	if hear := s.out.hears(); hear != s.heeds {
		s.heeds = hear
		tap.Hear(hear)
	}
}

// upstream brings the track's idea of this subscriber up to date; the caller holds mu,
// which the track never takes while it holds its own.
func (s *Subscriber) upstream(now int64) {
	if s.tap == nil {
		return
	}
	s.want(s.tap)
	if spatial, ok := s.out.keyframe(now); ok {
		s.tap.Keyframe(spatial)
	}
	if s.pending.Ready(now) {
		for encoding, seqs := range s.pending.Due(now) {
			if len(seqs) > 0 {
				s.track.Resend(uint8(encoding), seqs)
			}
		}
	}
}

// tick lets time pass while no packets do.
func (s *Subscriber) tick(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.tick(now)
	s.open(now)
	s.upstream(now)
}

// end stops sending; the section is freed by the peer.
func (s *Subscriber) end() {
	s.mu.Lock()
	tap := s.tap
	s.ended = true
	s.mu.Unlock()
	if tap != nil {
		tap.Detach()
	}
}

// Close is called by the track when it ends. The peer forgets the subscription and
// frees its section.
func (s *Subscriber) Close() {
	p := s.peer
	p.mu.Lock()
	mine := p.down.subs[s.down.Sid] == s
	p.mu.Unlock()
	if mine {
		p.Unsubscribe(s.down.Sid)
	}
}

// Select bounds the layers sent: spatial 0 to 2 from the smallest picture, temporal 0
// to 3. The nearest layer that the publisher sends within them is taken.
func (s *Subscriber) Select(maxSpatial, maxTemporal uint8) {
	s.change(func(now int64) { s.out.limit(maxSpatial, maxTemporal, now) })
}

// Pause stops and resumes the packets; the section stays.
func (s *Subscriber) Pause(paused bool) {
	s.change(func(now int64) { s.out.pause(paused, now) })
}

func (s *Subscriber) change(f func(now int64)) {
	now := s.peer.engine.now()
	s.mu.Lock()
	f(now)
	s.out.live(s.track.Live(), now)
	tap := s.tap
	s.mu.Unlock()
	if tap != nil {
		s.refresh(tap)
	}
}

// SubscriberStats are counters of one subscription since it began.
type SubscriberStats struct {
	Packets, Bytes uint64 // sent for the first time; payload bytes
	Resent         uint64 // packets
	Nacked         uint64 // packets the client asked for again
	Keyframes      uint64 // requests of the client
	Drops          map[string]uint64
	// Spatial is the spatial layer being sent, -1 for none.
	Spatial int
	Heard   *Heard // the client's last receiver report, nil before
}

// Report returns how many packets were sent for the first time, and the client's last
// receiver report, nil before it.
func (s *Subscriber) Report() (sent uint64, last *Heard) { return s.sent.Load(), s.heard.Load() }

// Stats returns the counters.
func (s *Subscriber) Stats() SubscriberStats {
	s.mu.Lock()
	spatial := s.out.spatial()
	s.mu.Unlock()
	return SubscriberStats{
		Packets: s.sent.Load(), Bytes: s.bytes.Load(), Resent: s.resent.Load(), Nacked: s.nacked.Load(),
		Keyframes: s.keyframes.Load(), Drops: s.drops.Snapshot(), Spatial: spatial, Heard: s.heard.Load(),
	}
}
