package rtc

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"maille/relay"
	"maille/relay/allocate"
	"maille/relay/bwe"
)

const (
	// packetOverhead is what a packet takes on the path beyond its payload: RTP and its
	// extensions, encryption, UDP and IP.
	packetOverhead = 66
	// divideEvery is how often bandwidth is divided anew while there is enough.
	divideEvery = 1e9 // nanoseconds
	// urgentQueue on the path ends layers that are too much at once, and so does a path that
	// carries no more than urgentShare of what it is given: pictures of such layers would
	// come too late to be seen.
	urgentQueue = 100e6 // nanoseconds
	urgentShare = 0.5
	// absentAfter is how long a layer is asked for in vain before it is believed that the
	// publisher does not send it.
	absentAfter = 3e9 // nanoseconds
	// tryFor is how long a larger picture has to last: what is taken back before was tried
	// in vain.
	tryFor = 10e9 // nanoseconds
)

// pathToClient numbers all packets of a connection that carry a transport-wide number,
// knows from the client's reports what the path carries, and divides that.
type pathToClient struct {
	next   atomic.Uint32 // transport-wide sequence number
	skips  int           // how often it may still be moved by reports, see skip
	bytes  atomic.Uint64 // sent with such a number, and all of video
	sender atomic.Pointer[bwe.Sender]
	pacer  pacer
	short  atomic.Bool   // somebody gets less than was asked for
	dirty  atomic.Bool   // something changed since bandwidth was divided
	limit  atomic.Uint64 // see Peer.Limit

	subscribed atomic.Uint64
	replays    replays

	mu        sync.Mutex // guards all below, and what sender points to but its history; taken before Subscriber.mu
	allocator allocate.Allocator
	subs      []*Subscriber
	tracks    []allocate.Track
	out       []allocate.Choice
	wide      bool    // never found too narrow
	budget    float64 // divided last
	spent     float64
	missing   float64
	at        int64   // when
	rate      float64 // sent of late, bytes per second
	counted   uint64  // of bytes
	countedAt int64
}

// measure keeps the rate; the caller holds mu.
func (c *pathToClient) measure(now int64) {
	bytes := c.bytes.Load()
	if passed := float64(now-c.countedAt) / 1e9; c.countedAt != 0 && passed > 0 {
		c.rate += (float64(bytes-c.counted)/passed - c.rate) * min(passed, 1)
	}
	c.counted, c.countedAt = bytes, now
}

// begin is called with each video's section: with reports if the client agreed to tell
// what arrives.
func (c *pathToClient) begin(reports bool) {
	sender := c.sender.Load()
	if sender == nil {
		c.sender.CompareAndSwap(nil, bwe.NewSender())
		sender = c.sender.Load()
	}
	if !reports {
		c.mu.Lock()
		sender.Blind()
		c.mu.Unlock()
	}
}

// joins gives a new subscription its place, and little for a start when there is too
// little already.
func (c *pathToClient) joins(s *Subscriber) {
	s.nth = c.subscribed.Add(1)
	s.share.class = s.down.Class
	if c.short.Load() && s.down.Kind == relay.Video {
		s.out.grant(allocate.Choice{On: true}, false, s.peer.engine.now())
	}
	c.dirty.Store(true)
}

// share is what a subscription knows of its part of the bandwidth; guarded by
// Subscriber.mu.
type share struct {
	class   allocate.Class
	lowered int64                   // when it last got less
	raised  int64                   // when it last got a larger picture
	tries   int                     // how often that was soon taken back, in a row
	asked   [relay.MaxSpatial]int64 // since when each spatial layer is asked for, 0 if it is not
	absent  [relay.MaxSpatial]bool  // it is asked for in vain
	held    bool                    // the handler was told so
	telling bool
}

// look finds out which layers the publisher does not send: those that do not come while
// they are asked for and others do.
func (h *share) look(live, asked relay.LayerSet, now int64) {
	for spatial := range h.absent {
		n := uint8(spatial)
		switch {
		case !asked.HasSpatial(n):
			h.asked[spatial] = 0
		case h.asked[spatial] == 0:
			h.asked[spatial] = now
		}
		switch {
		case live.HasSpatial(n):
			h.absent[spatial] = false
		case live != relay.NoLayers && h.asked[spatial] != 0 && now-h.asked[spatial] > absentAfter:
			h.absent[spatial] = true
		}
	}
}

// changed notes a grant that is another than before.
func (h *share) changed(before, after allocate.Choice, less bool, now int64) {
	switch {
	case less:
		h.lowered = now
		switch {
		case h.raised == 0:
		case now-h.raised > tryFor:
			h.tries = 0
		default:
			h.tries++
		}
		h.raised = 0
	case after.On && after.Spatial > before.Spatial:
		h.raised = now
	}
}

// note remembers a packet that is about to leave, with the number that head gave it;
// the caller holds mu.
func (s *Subscriber) note(b *binding, payload int, probe bool) {
	c := &s.peer.path
	size := payload + packetOverhead
	if b.ids.TransportCC == 0 {
		if s.down.Kind == relay.Video {
			c.bytes.Add(uint64(size))
		}
		return
	}
	c.bytes.Add(uint64(size))
	if sender := c.sender.Load(); sender != nil {
		sender.History.Sent(binary.BigEndian.Uint16(s.writer.numbers[:]), s.peer.engine.now(), size, probe)
	}
}

// arrived takes the client's report of what arrived.
func (p *Peer) arrived(report []byte) {
	sender := p.path.sender.Load()
	if sender == nil || p.path.skip(report) {
		return
	}
	c, now := &p.path, p.engine.now()
	c.mu.Lock()
	if err := sender.Feedback(now, report); err != nil {
		p.log.Debug("feedback", "err", err)
	}
	budget := c.allowed(sender, now)
	c.pacer.set(sender.Pace(now))
	due := budget < c.spent || c.missing > 0 && budget > 1.05*c.budget
	c.mu.Unlock()
	if due {
		p.allocate(now)
	}
}

// missed takes what a receiver report says of a video, for clients that tell no more.
func (p *Peer) missed(s *Subscriber, b *binding, before, h *Heard) {
	sender := p.path.sender.Load()
	if sender == nil || before == nil || b.ids.TransportCC != 0 || s.down.Kind != relay.Video {
		return
	}
	expected := int(int32(h.Highest - before.Highest))
	c := &p.path
	c.mu.Lock()
	defer c.mu.Unlock()
	sender.Lost(h.At, expected, expected*int(h.Fraction)/256, c.rate)
	c.dirty.Store(true)
}

// divide is due every reportTick: bandwidth is divided when something changed, and
// measured when there is too little.
func (p *Peer) divide(now int64) {
	c := &p.path
	sender := c.sender.Load()
	if sender == nil {
		return
	}
	c.mu.Lock()
	sender.Tick(now, c.bytes.Load())
	c.pacer.set(sender.Pace(now))
	c.measure(now)
	due := c.dirty.Swap(false) || c.missing > 0 || c.allowed(sender, now) < c.budget || now-c.at > divideEvery
	c.mu.Unlock()
	if due {
		p.allocate(now)
	}
	p.measure(now)
}

// allocate divides what the path carries among the videos.
func (p *Peer) allocate(now int64) {
	c := &p.path
	sender := c.sender.Load()
	if sender == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gather(p)
	c.budget, c.at, c.wide = c.allowed(sender, now), now, !sender.Narrow()
	abrupt := sender.Queue() > urgentQueue || c.budget < c.spent*urgentShare
	c.tracks, c.out = c.tracks[:0], c.out[:0]
	wanting := c.subs[:0]
	for _, s := range c.subs {
		if t, ok := s.wanted(now); ok {
			wanting = append(wanting, s)
			c.tracks, c.out = append(c.tracks, t), append(c.out, allocate.Choice{})
		}
	}
	c.spent, c.missing = c.allocator.Divide(now, c.budget, c.tracks, c.out)
	c.short.Store(c.missing > 0)
	for i, s := range wanting {
		choice := c.out[i]
		if choice == c.tracks[i].Want {
			choice = everything // more may be asked for until next time
		}
		s.grant(choice, abrupt, now)
	}
	clear(c.subs)
}

// gather lists the videos in an order that lasts.
func (c *pathToClient) gather(p *Peer) {
	c.subs = c.subs[:0]
	p.mu.Lock()
	for _, s := range p.down.subs {
		if s.down.Kind == relay.Video {
			c.subs = append(c.subs, s)
		}
	}
	p.mu.Unlock()
	slices.SortFunc(c.subs, func(a, b *Subscriber) int { return cmp.Compare(a.nth, b.nth) })
}

// wanted describes the subscription to the allocator, false when the client wants
// nothing of it.
func (s *Subscriber) wanted(now int64) (allocate.Track, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rates, known := s.track.Rates()
	live := s.track.Live()
	if s.ended {
		return allocate.Track{}, false
	}
	f, h := &s.out, &s.share
	if f.wish.Paused {
		if s.peer.path.short.Load() {
			f.granted = allocate.Choice{On: true} // little for a start
			s.tell()
		}
		return allocate.Track{}, false
	}
	h.look(live, s.asked, now)
	o := offer{
		rates: rates, known: known, declared: s.down.Declared, absent: h.absent, svc: f.svc,
		wide: s.peer.path.wide,
	}
	want := allocate.Choice{On: true, Spatial: f.wish.Spatial, Temporal: f.wish.Temporal}
	return allocate.Track{
		Class: h.class, Want: want, Has: f.granted, Lowered: h.lowered, Tries: h.tries, Keep: s.down.Keep,
		Rates: o.costs(),
	}, true
}

// grant gives the subscription its share.
func (s *Subscriber) grant(choice allocate.Choice, abrupt bool, now int64) {
	s.mu.Lock()
	old := s.out.granted
	if choice == old || s.ended {
		s.mu.Unlock()
		return
	}
	before := s.out.want
	s.out.grant(choice, abrupt, now)
	w := s.out.want
	if abrupt && s.out.spatial() < 0 {
		s.peer.path.pacer.forget(s) // it would come too late, and before what follows
	}
	s.share.changed(old, choice, w.Paused || w.Spatial < before.Spatial || w.Temporal < before.Temporal, now)
	s.out.live(s.track.Live(), now)
	s.tell()
	tap := s.tap
	s.mu.Unlock()
	if tap != nil {
		s.refresh(tap)
	}
}

// tell lets the handler know whether the video is held back; it hears only the newest.
// The caller holds mu.
func (s *Subscriber) tell() {
	h := &s.share
	if h.held == !s.out.granted.On || h.telling {
		return
	}
	h.telling = true
	s.peer.post(func() {
		s.mu.Lock()
		held := !s.out.granted.On
		changed := held != h.held && !s.ended
		h.held, h.telling = held, false
		s.mu.Unlock()
		if changed {
			s.peer.h.Stream(s.down.Sid, held)
		}
	})
}

// Rank tells what the video is, for when there is not enough bandwidth for all.
func (s *Subscriber) Rank(c allocate.Class) {
	s.mu.Lock()
	changed := s.share.class != c
	s.share.class = c
	s.mu.Unlock()
	if changed {
		s.peer.path.dirty.Store(true)
	}
}
