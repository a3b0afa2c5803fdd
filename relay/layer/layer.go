// Package layer chooses, for one subscriber, which packets of a video track go on:
// the highest wanted layer that is really sent, changed only where a decoder can
// follow. A selector is pure: packets and ticks go in; verdicts, keyframe requests
// and the demand for upstream come out. Time is an argument, in nanoseconds of
// Packet.Arrived's clock.
package layer

import "maille/relay"

const (
	// silence is how long a layer that was asked for may send nothing before the next
	// best is taken: above the longest gap of a 5 fps screen share with a lost frame,
	// below what a viewer takes for a broken picture. A layer with longer pauses is
	// given twice its longest one: browsers repeat a still screen once a second.
	silence  = 500 * 1e6
	quietMax = 1250 * 1e6

	// settle is how long the layers of one publisher take to show up after the first of
	// them, so that the best is chosen and not the fastest.
	settle = 60 * 1e6

	// askEvery repeats a keyframe request that brought none: a round trip to a publisher
	// far away and the time to encode. Tracks let no more through than that.
	askEvery = 500 * 1e6

	// stragglers is how long after a switch late packets of the layer before may still
	// go on, for the picture that was under way.
	stragglers = 200 * 1e6

	none = int8(-1)
)

// Want is what a subscriber asks for.
type Want struct {
	Spatial, Temporal uint8 // highest layers; beyond relay's bounds means the highest
	Paused            bool
}

// Verdict is what to do with one packet.
type Verdict struct {
	// Forward sends the packet; otherwise Why says why not. Just after a switch packets
	// of the encoding before are forwarded too: those that fill a gap have a number kept
	// for them, the others find none (rewrite.Next) and end there.
	Forward bool
	Why     relay.Drop
	// Switched tells that the packet begins a new stretch: another encoding, or the
	// first after a pause. Its numbers are to go on from what was sent before.
	Switched bool
	// Skipped tells that the packet is left out of the stretch under way: the next one
	// is to follow without a gap.
	Skipped bool
	// Top tells that the packet is of the highest spatial layer that is forwarded: at
	// the end of its frame the marker is due.
	Top bool
}

// Selector chooses layers for one subscriber. It is not safe for concurrent use.
type Selector struct {
	svc  bool
	want Want
	now  int64

	target  int8  // spatial layer aimed at, none while paused
	since   int64 // when target was chosen
	found   int64 // when a substitute for the wanted layer was first seen, 0 if none
	current int8  // spatial layer being forwarded, none before the first keyframe
	former  int8  // the one before, for its stragglers
	changed int64 // when current last changed

	temporal uint8 // highest temporal layer being forwarded

	seen  [relay.MaxSpatial]int64 // last packet of each spatial layer, 0 if none
	quiet [relay.MaxSpatial]int64 // longest pause between pictures, slowly forgotten
	asked [relay.MaxSpatial]int64 // last keyframe request, 0 if none is open
	needs relay.LayerSet
}

// New returns a selector. svc says that one encoding carries all spatial layers.
func New(svc bool, want Want, now int64) *Selector {
	s := &Selector{svc: svc, target: none, current: none, former: none}
	s.Want(want, now)
	return s
}

// Want changes what the subscriber asks for.
func (s *Selector) Want(want Want, now int64) {
	want.Spatial = min(want.Spatial, relay.MaxSpatial-1)
	want.Temporal = min(want.Temporal, relay.MaxTemporal-1)
	moved := want.Spatial != s.want.Spatial
	s.want, s.now = want, max(s.now, now)
	if moved && !want.Paused {
		s.found = 0
		s.aim(int8(want.Spatial))
	}
	s.Tick(now)
}

// Live tells which layers the track has seen lately, when that is known before the
// first packet comes: the right one is then asked for at once.
func (s *Selector) Live(live relay.LayerSet, now int64) {
	for spatial := range uint8(relay.MaxSpatial) {
		if live.HasSpatial(spatial) {
			s.seen[spatial] = now
		}
	}
	s.Tick(now)
}

// Tick lets time pass. It is due every 100 ms or so: a layer that falls silent brings
// no packet to notice it by.
func (s *Selector) Tick(now int64) {
	s.now = max(s.now, now)
	s.choose()
	s.needs = s.required()
}

// Packet judges one packet, at the time of its arrival.
func (s *Selector) Packet(p *relay.Packet) Verdict {
	if p.Spatial >= relay.MaxSpatial {
		return Verdict{Why: relay.DropMalformed}
	}
	s.note(p)
	s.Tick(p.Arrived)
	v := s.judge(p)
	if v.Switched {
		s.needs = s.required()
	}
	return v
}

func (s *Selector) judge(p *relay.Packet) Verdict {
	switch {
	case s.want.Paused:
		return Verdict{Why: relay.DropMuted}
	case len(p.Payload) == 0:
		return Verdict{Why: relay.DropNotWanted, Skipped: s.svc || int8(p.Encoding) == s.current}
	case s.svc:
		return s.judgeLayered(p)
	}
	spatial := int8(p.Spatial)
	switch {
	case spatial != s.current && p.Keyframe && p.FrameStart && s.takes(spatial):
		s.turn(spatial)
		return Verdict{Forward: true, Switched: true, Top: true}
	case spatial == s.current:
		return s.thin(p, Verdict{Forward: true, Top: true})
	case spatial == s.former && s.now-s.changed < stragglers:
		return Verdict{Forward: true, Top: true}
	case spatial == s.target:
		return Verdict{Why: relay.DropAwaitingKey}
	}
	return Verdict{Why: relay.DropNotWanted}
}

// takes reports whether a keyframe of the layer is where to go on: the target's, or
// while nothing is shown yet that of any other that is asked for. A late keyframe of a
// layer asked for no more would be followed by a hole.
func (s *Selector) takes(spatial int8) bool {
	return spatial == s.target ||
		s.current == none && spatial <= int8(s.want.Spatial) && s.needs.HasSpatial(uint8(spatial))
}

// turn makes the spatial layer the one being forwarded.
func (s *Selector) turn(spatial int8) {
	s.former, s.current, s.changed = s.current, spatial, s.now
	s.temporal = s.want.Temporal
	s.asked[spatial] = 0
	if s.svc {
		s.asked[0] = 0
	}
}

// judgeLayered judges a packet of an encoding with spatial layers inside.
func (s *Selector) judgeLayered(p *relay.Packet) Verdict {
	spatial := int8(p.Spatial)
	began := s.current != none
	switch {
	case p.Keyframe && p.FrameStart && s.target != s.current:
		s.turn(s.target)
	case !began:
		return Verdict{Why: relay.DropAwaitingKey}
	case p.FrameStart && s.target < s.current:
		s.current = s.target // what is below needs nothing from above
	case p.Keyframe && spatial == s.current+1 && s.target > s.current:
		s.current = spatial // predicted from below only (RFC 9628 section 4.2, P clear)
		s.asked[0] = 0
	}
	if spatial > s.current {
		why := relay.DropNotWanted
		if spatial <= s.target {
			why = relay.DropAwaitingKey
		}
		return Verdict{Why: why, Skipped: true}
	}
	return s.thin(p, Verdict{Forward: true, Switched: !began, Top: spatial == s.current})
}

// thin leaves out temporal layers. The limit falls where a picture begins and rises
// where a decoder may move up.
func (s *Selector) thin(p *relay.Packet, v Verdict) Verdict {
	switch {
	case p.Keyframe:
		s.temporal = s.want.Temporal
	case p.FrameStart && s.temporal > s.want.Temporal:
		s.temporal = s.want.Temporal
	case p.FrameStart && p.SwitchPoint && p.Temporal > s.temporal && p.Temporal <= s.want.Temporal:
		s.temporal = p.Temporal
	}
	if p.Temporal > s.temporal {
		return Verdict{Why: relay.DropNotWanted, Skipped: true}
	}
	return v
}

// Current returns the layers being forwarded, false before the first keyframe and
// while paused.
func (s *Selector) Current() (spatial, temporal uint8, ok bool) {
	if s.current == none {
		return 0, 0, false
	}
	return uint8(s.current), s.temporal, true
}

// Needs returns the layers this subscriber needs from upstream now: what is forwarded,
// what it moves to, and while the wanted layer is not sent, what could stand in for it.
func (s *Selector) Needs() relay.LayerSet { return s.needs }

// Demand returns Needs rounded up to whole encodings. It is what to ask for where a
// layer left out upstream cannot be told from loss (relay.Packet.Omitted is not set),
// and what to hear in any case.
func (s *Selector) Demand() relay.LayerSet {
	if s.svc && s.needs != relay.NoLayers {
		return relay.AllLayers
	}
	var set relay.LayerSet
	for spatial := range uint8(relay.MaxSpatial) {
		if s.needs.HasSpatial(spatial) {
			set |= relay.Spatial(spatial)
		}
	}
	return set
}

// Keyframe reports whether to ask for a keyframe now, and of which spatial layer. It
// counts the request as sent. It is to be called after Packet, Want, Live and Tick.
func (s *Selector) Keyframe(now int64) (spatial uint8, ask bool) {
	s.now = max(s.now, now)
	up := s.target > s.current || !s.svc && s.target != s.current
	if s.target == none || !up {
		return 0, false
	}
	spatial = uint8(s.target)
	if s.svc {
		spatial = 0 // one request serves all layers of the encoding
	}
	if at := s.asked[spatial]; at != 0 {
		// A layer that is not sent starts with a keyframe when it comes.
		if s.now-at < askEvery || s.current != none && !s.sent(s.target) {
			return 0, false
		}
	}
	s.asked[spatial] = max(s.now, 1)
	return spatial, true
}
