package track

import "maille/relay"

// Demand returns the union of what the sinks want.
func (t *Track) Demand() relay.LayerSet { return relay.LayerSet(t.demand.Load()) }

// SetSource sets where the track comes from, or replaces it (nil: nowhere for now).
// The new source is told the demand at once. The old one is told nothing: whoever
// replaces it ends it.
func (t *Track) SetSource(s relay.Source) {
	t.mu.Lock()
	t.source, t.fresh = s, true
	t.mu.Unlock()
	t.tell()
}

// demandLinger is how long layers that nobody wants any more are still asked for, in
// nanoseconds: people flip between views and sizes, and each return would otherwise
// cost a keyframe and its wait. More is always asked for at once.
const demandLinger = 1500 * 1e6

// tell brings the source up to date. The source is called without mu, by one
// goroutine at a time, so that it hears the newest demand last.
func (t *Track) tell() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.telling {
		return
	}
	t.telling = true
	for t.source != nil {
		next := t.asking()
		if !t.fresh && next == t.told {
			break
		}
		source := t.source
		t.told, t.fresh = next, false
		t.meter.asked.set(next)
		t.mu.Unlock()
		source.Demand(next)
		t.mu.Lock()
	}
	t.telling = false
}

// asking is what the source should be told now; the caller holds mu. Less is told once
// it was true for demandLinger: a packet that comes then tells it (see Push), and
// while none comes nothing is lost by asking.
func (t *Track) asking() relay.LayerSet {
	want := t.Demand()
	if t.fresh || t.closed || t.told&^want == 0 {
		t.lowerAt.Store(never)
		return want
	}
	now := t.now()
	if at := t.lowerAt.Load(); at == never {
		t.lowerAt.Store(now + demandLinger)
	} else if now >= at {
		t.lowerAt.Store(never)
		return want
	}
	return t.told | want
}

// Resend asks upstream for packets that Lookup did not find. What is not missing is
// left out, and each packet climbs once per 50 ms and three times at most, however
// many sinks ask.
func (t *Track) Resend(encoding uint8, seqs []uint16) {
	if encoding >= relay.MaxSpatial {
		return
	}
	missing := t.encodings[encoding].misses(t.now(), seqs)
	if len(missing) == 0 {
		return
	}
	if source := t.current(); source != nil {
		source.Resend(encoding, missing)
	}
}

func (t *Track) keyframe(spatial uint8) {
	if spatial >= relay.MaxSpatial || t.muted.Load() {
		return
	}
	now := t.now()
	t.mu.Lock()
	source := t.source
	if source == nil {
		t.budget.remember(spatial)
	}
	send := source != nil && t.budget.request(now, spatial, t.keyframeGap(spatial))
	t.keyframeDue.Store(t.budget.next())
	t.mu.Unlock()
	if send {
		source.Keyframe(spatial)
	}
}

// keyframeGap is the least time between two keyframes of a layer.
func (t *Track) keyframeGap(spatial uint8) int64 {
	e := &t.encodings[spatial]
	if e.packets.Load() == 0 {
		e = &t.encodings[0] // SVC: all layers in one stream
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cost.gap()
}

// served notes that a keyframe of the layer came.
func (t *Track) served(spatial uint8) {
	if t.keyframeDue.Load() == never {
		return
	}
	t.mu.Lock()
	t.budget.arrived(spatial)
	t.keyframeDue.Store(t.budget.next())
	t.mu.Unlock()
}

// sendDue sends the keyframe requests whose window has ended.
func (t *Track) sendDue(now int64) {
	var due [relay.MaxSpatial]bool
	t.mu.Lock()
	for spatial := range due {
		due[spatial] = t.budget.due(now, uint8(spatial))
	}
	t.keyframeDue.Store(t.budget.next())
	source := t.source
	t.mu.Unlock()
	if source == nil {
		return
	}
	for spatial, yes := range due {
		if yes {
			source.Keyframe(uint8(spatial))
		}
	}
}

func (t *Track) current() relay.Source {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.source
}
