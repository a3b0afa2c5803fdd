package track

import (
	"slices"
	"sync/atomic"

	"maille/relay"
)

// Tap is one sink's place on a track.
type Tap struct {
	track *Track
	sink  relay.Sink
	gets  atomic.Uint32 // relay.LayerSet given to the sink: want and hear, read by every Push

	want, hear relay.LayerSet // guarded by track.mu
}

// Attach adds a sink that wants the given layers. The sink gets what is pushed from
// now on; Replay gives it the past, LastClock the clock pairs. On a closed track the
// sink is closed at once.
func (t *Track) Attach(s relay.Sink, want relay.LayerSet) *Tap {
	tap := &Tap{track: t, sink: s, want: want}
	tap.gets.Store(uint32(want))
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		s.Close()
		return tap
	}
	taps := append(slices.Clone(*t.taps.Load()), tap)
	t.taps.Store(&taps)
	t.unite()
	t.mu.Unlock()
	t.tell()
	return tap
}

// Detach removes the sink; it is not closed. A Push or Clock already under way in
// another goroutine may still reach it, so a sink must bear calls after Detach.
// Detach may be called again.
func (tap *Tap) Detach() {
	t := tap.track
	t.mu.Lock()
	old := *t.taps.Load()
	i := slices.Index(old, tap)
	if i < 0 {
		t.mu.Unlock()
		return
	}
	taps := slices.Delete(slices.Clone(old), i, i+1)
	t.taps.Store(&taps)
	t.unite()
	t.mu.Unlock()
	t.tell()
}

// Want replaces the layers the sink gets and asks for upstream.
func (tap *Tap) Want(want relay.LayerSet) {
	if tap.set(want) {
		tap.track.tell()
	}
}

// set replaces what is wanted; true if that changes anything, and the source is to be told.
func (tap *Tap) set(want relay.LayerSet) (changed bool) {
	t := tap.track
	t.mu.Lock()
	defer t.mu.Unlock()
	if tap.want == want {
		return false
	}
	tap.want = want
	tap.gets.Store(uint32(want | tap.hear))
	t.unite()
	return true
}

// Hear replaces the layers the sink also gets when they pass for others, without
// asking for them upstream. A sink that leaves out some layers of an encoding hears
// all of them: only so can it tell a packet left out from a packet lost.
func (tap *Tap) Hear(hear relay.LayerSet) {
	t := tap.track
	t.mu.Lock()
	defer t.mu.Unlock()
	tap.hear = hear
	tap.gets.Store(uint32(tap.want | hear))
}

// Keyframe asks upstream for a keyframe of a spatial layer. Many sinks may ask at
// once: the source is asked at most once per layer and 500 ms.
func (tap *Tap) Keyframe(spatial uint8) { tap.track.keyframe(spatial) }

// Replay pushes the running group of pictures of an encoding to this sink, as far as
// it gets its layers, before any further live packet of that encoding. It returns false
// and pushes nothing when the group is not there in full; the sink then asks for a
// keyframe. It must not be called from within a Push (every other method but Begin may be).
func (tap *Tap) Replay(encoding uint8) bool {
	if encoding >= relay.MaxSpatial {
		return false
	}
	e := &tap.track.encodings[encoding]
	e.turn.Lock()
	defer e.turn.Unlock()
	return tap.replay(e)
}

// replay pushes the running group of an encoding; the caller holds its turn.
func (tap *Tap) replay(e *encoding) bool {
	packets := e.running(tap.track.now())
	for _, p := range packets {
		if tap.gets.Load()&uint32(relay.Layer(p.Spatial, p.Temporal)) != 0 {
			tap.sink.Push(p)
		}
		p.Release()
	}
	return len(packets) > 0
}

// Begin replaces the layers the sink wants, as Want does, and pushes the running groups of
// pictures of some encodings, as Replay does, so that no packet of theirs comes before or
// between. ready is called before all that, and while nothing of them is pushed. Begin tells
// which groups were there in full.
func (tap *Tap) Begin(want relay.LayerSet, groups [relay.MaxSpatial]bool, ready func()) (pushed [relay.MaxSpatial]bool) {
	t := tap.track
	for i := range t.encodings {
		if groups[i] {
			t.encodings[i].turn.Lock()
		}
	}
	ready()
	changed := tap.set(want)
	for i := range t.encodings {
		if groups[i] {
			pushed[i] = tap.replay(&t.encodings[i])
			t.encodings[i].turn.Unlock()
		}
	}
	if changed {
		t.tell()
	}
	return pushed
}

// Behind is about how many bytes Replay of an encoding would push, 0 when it would push
// nothing.
func (tap *Tap) Behind(encoding uint8) int {
	if encoding >= relay.MaxSpatial {
		return 0
	}
	return tap.track.encodings[encoding].behind(tap.track.now())
}

// unite recomputes the demand of all sinks; the caller holds mu.
func (t *Track) unite() {
	var union relay.LayerSet
	for _, tap := range *t.taps.Load() {
		union |= tap.want
	}
	t.demand.Store(uint32(union))
}
