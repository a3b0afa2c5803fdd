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
	want  atomic.Uint32 // relay.LayerSet, read by every Push
}

// Attach adds a sink that wants the given layers. The sink gets what is pushed from
// now on; Replay gives it the past, LastClock the clock pairs. On a closed track the
// sink is closed at once.
//
// A sink is given every packet of an encoding of which it wants any layer, and leaves
// out the layers it does not want (Wants) itself: only so can it tell a packet left
// out from a packet lost. Of encodings it does not want it sees nothing.
func (t *Track) Attach(s relay.Sink, want relay.LayerSet) *Tap {
	tap := &Tap{track: t, sink: s}
	tap.want.Store(uint32(want))
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
	if tap.want.Swap(uint32(want)) == uint32(want) {
		return
	}
	t := tap.track
	t.mu.Lock()
	t.unite()
	t.mu.Unlock()
	t.tell()
}

// Wants reports whether the packet is of a layer that the sink wants.
func (tap *Tap) Wants(p *relay.Packet) bool {
	return relay.LayerSet(tap.want.Load()).Has(p.Spatial, p.Temporal)
}

// Keyframe asks upstream for a keyframe of a spatial layer. Many sinks may ask at
// once: the source is asked at most once per layer and 500 ms.
func (tap *Tap) Keyframe(spatial uint8) { tap.track.keyframe(spatial) }

// Replay pushes the running group of pictures of an encoding to this sink, before any
// further live packet of that encoding. It returns false and pushes nothing when the
// group is not there in full; the sink then asks for a keyframe. It must not be called
// from within a Push (every other method may be).
func (tap *Tap) Replay(encoding uint8) bool {
	if encoding >= relay.MaxSpatial {
		return false
	}
	t := tap.track
	e := &t.encodings[encoding]
	e.turn.Lock()
	defer e.turn.Unlock()
	packets := e.running(t.now())
	for _, p := range packets {
		tap.sink.Push(p)
		p.Release()
	}
	return len(packets) > 0
}

// unite recomputes the demand of all sinks; the caller holds mu.
func (t *Track) unite() {
	var union uint32
	for _, tap := range *t.taps.Load() {
		union |= tap.want.Load()
	}
	t.demand.Store(union)
}
