package layer

import "maille/relay"

// note takes a packet as a sign of life of its layer, and learns how long the layer
// is quiet between pictures.
func (s *Selector) note(p *relay.Packet) {
	seen, quiet := &s.seen[p.Spatial], &s.quiet[p.Spatial]
	if *seen != 0 && p.FrameStart {
		*quiet = min(max(p.Arrived-*seen, *quiet-*quiet/8), quietMax)
	}
	*seen = max(*seen, p.Arrived, 1)
}

// sent reports whether packets of the spatial layer came lately.
func (s *Selector) sent(spatial int8) bool {
	at := s.seen[spatial]
	return at != 0 && s.now-at < max(silence, 2*s.quiet[spatial])
}

// best returns the spatial layer nearest to the wanted one that is being sent: from
// below if there is any, for it costs the subscriber less, else from above.
func (s *Selector) best() (int8, bool) {
	for spatial := int8(s.want.Spatial); spatial >= 0; spatial-- {
		if s.sent(spatial) {
			return spatial, true
		}
	}
	for spatial := int8(s.want.Spatial) + 1; spatial < relay.MaxSpatial; spatial++ {
		if s.sent(spatial) {
			return spatial, true
		}
	}
	return none, false
}

// choose sets the target.
func (s *Selector) choose() {
	if s.want.Paused {
		s.aim(none)
		s.current, s.former, s.found = none, none, 0
		return
	}
	wanted := int8(s.want.Spatial)
	best, any := s.best()
	switch {
	case !any:
		s.aim(wanted)
		s.found = 0
		return
	case best == wanted:
		s.aim(wanted)
		s.found = 0
		return
	case s.target == none:
		s.aim(wanted)
	}
	if s.found == 0 {
		s.found = max(s.now, 1)
	}
	// Someone who sees nothing yet gets the substitute soon; someone who sees a picture
	// can give a layer just asked for the time to come.
	patient := s.current != none && s.target == wanted && s.now-s.since < silence
	if !patient && s.now-s.found >= settle {
		s.aim(best)
	}
}

func (s *Selector) aim(target int8) {
	if s.target == target {
		return
	}
	s.target, s.since = target, s.now
	if target != none && !s.svc {
		s.asked[target] = 0
	}
}

// required computes what is needed: nothing more than is forwarded and aimed at, unless the
// wanted layer fails to come.
func (s *Selector) required() relay.LayerSet {
	if s.want.Paused {
		return relay.NoLayers
	}
	wanted := int8(s.want.Spatial)
	low, high := min(s.target, wanted), max(s.target, wanted)
	failing := s.target == wanted && !s.sent(wanted)
	late := s.now-s.since >= silence
	switch {
	case failing && s.current == none && late:
		return relay.AllLayers // nothing that was wanted comes: anything else, then
	case failing && (s.current == none || late):
		low = 0 // whatever is below may have to stand in
	}
	if s.svc { // upper layers are predicted from those below
		return s.span(0, max(high, s.current))
	}
	set := s.span(low, high)
	if s.current != none {
		set |= s.span(s.current, s.current)
	}
	return set
}

// span returns what is needed of the spatial layers low to high, both included.
func (s *Selector) span(low, high int8) (set relay.LayerSet) {
	for ; low <= high; low++ {
		set |= relay.UpTo(uint8(low), s.want.Temporal)
	}
	return set
}
