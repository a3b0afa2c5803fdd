// Package track is the hot path and the only fan-out: one Source, any number of
// Sinks, whether clients or links to other nodes. Packets pass it with origin
// numbering and are never copied; a sink gets those of the layers it wants, and the
// union of what the sinks want climbs to the source. Feedback (keyframes, misses)
// climbs the same way, made one from many. A track has no goroutine: it works in
// those that push, and due requests are sent by the packets that come next.
package track

import (
	"sync"
	"sync/atomic"

	"maille/relay"
	"maille/relay/ring"
)

const (
	// liveFor is how long a layer counts as sent after its last packet.
	liveFor = 1e9 // nanoseconds
	never   = 1<<63 - 1
	// clockEvery is the least time between clock pairs of an encoding that pass. Publishers
	// report once in a second or five; one that floods would make every link on the way
	// carry a control message for each.
	clockEvery = 100 * 1e6 // nanoseconds
)

// Track carries one published track through this node. Its methods may be called
// from any goroutine; Push of one encoding is taken in turn, several encodings run
// at once.
type Track struct {
	id   relay.TrackID
	kind relay.Kind
	mime string
	now  func() int64

	taps      atomic.Pointer[[]*Tap] // copy on write under mu
	classify  atomic.Pointer[Classifier]
	encodings [relay.MaxSpatial]encoding
	seen      [relay.MaxSpatial * relay.MaxTemporal]atomic.Int64 // last arrival by layer, 0 never
	clocks    [relay.MaxSpatial]atomic.Pointer[relay.Clock]
	demand    atomic.Uint32
	muted     atomic.Bool
	meter     meter
	drops     relay.Drops

	keyframeDue atomic.Int64 // when a remembered keyframe request falls due
	lowerAt     atomic.Int64 // when the source is told to send less

	mu      sync.Mutex // guards all below and every write of taps and demand
	source  relay.Source
	told    relay.LayerSet // what source was last told
	fresh   bool           // source was told nothing yet
	telling bool           // one goroutine is telling the source, without mu
	budget  keyframeBudget
	closed  bool
}

// Classifier may move packets to another layer before anything else sees them: audio
// that is not among a room's loudest to one that links and most sinks do not want.
type Classifier interface {
	// Classify is called for each packet that is pushed, late ones and duplicates too, for
	// one packet of an encoding at a time. It may set Temporal, and Omitted on a packet
	// that follows some of another layer.
	Classify(*relay.Packet)
}

// SetClassifier sets the track's classifier, best before the first packet.
func (t *Track) SetClassifier(c Classifier) { t.classify.Store(&c) }

// Option changes a new track.
type Option func(*Track)

// WithClock sets the clock of keyframe and resend requests, in nanoseconds on the
// clock of Packet.Arrived. The default is relay.Now.
func WithClock(now func() int64) Option { return func(t *Track) { t.now = now } }

// New returns a track without source and sinks. mime is its codec, such as
// "video/VP8".
func New(id relay.TrackID, kind relay.Kind, mime string, options ...Option) *Track {
	t := &Track{id: id, kind: kind, mime: mime, now: relay.Now}
	for _, option := range options {
		option(t)
	}
	t.taps.Store(new([]*Tap))
	t.keyframeDue.Store(never)
	t.lowerAt.Store(never)
	return t
}

// ID returns the track's name in the mesh.
func (t *Track) ID() relay.TrackID { return t.id }

// Kind tells audio from video.
func (t *Track) Kind() relay.Kind { return t.kind }

// Mime returns the codec.
func (t *Track) Mime() string { return t.mime }

// Push takes over the caller's reference to p, stores it for repair and gives it to
// every sink that wants or hears its layer. Duplicates go no further; late packets that fill
// a gap do. It allocates nothing.
func (t *Track) Push(p *relay.Packet) {
	defer p.Release()
	if p.Encoding >= relay.MaxSpatial || p.Spatial >= relay.MaxSpatial || p.Temporal >= relay.MaxTemporal {
		t.drops.Add(relay.DropMalformed)
		return
	}
	e := &t.encodings[p.Encoding]
	e.turn.Lock()
	if t.withheld(e, p) {
		e.turn.Unlock()
		t.withhold(p)
		return
	}
	if c := t.classify.Load(); c != nil {
		(*c).Classify(p)
	}
	fresh := t.pass(e, p)
	e.turn.Unlock()
	if fresh && p.Arrived >= t.keyframeDue.Load() {
		t.sendDue(p.Arrived)
	}
	if p.Arrived >= t.lowerAt.Load() {
		t.tell()
	}
}

// pass stores and fans out one packet; the caller holds the encoding's turn.
func (t *Track) pass(e *encoding, p *relay.Packet) bool {
	switch e.put(p, t.ringSize()) {
	case ring.Duplicate:
		e.duplicates.Add(1)
		t.drops.Add(relay.DropDuplicate)
		return false
	case ring.Late:
		t.drops.Add(relay.DropLate)
		return false
	}
	e.packets.Add(1)
	e.bytes.Add(uint64(len(p.Payload)))
	t.meter.note(p)
	t.seen[p.Spatial*relay.MaxTemporal+p.Temporal].Store(p.Arrived)
	if p.Keyframe {
		t.served(p.Spatial)
	}

	layer := uint32(relay.Layer(p.Spatial, p.Temporal))
	wanted := false
	for _, tap := range *t.taps.Load() {
		if tap.gets.Load()&layer != 0 {
			tap.sink.Push(p)
			wanted = true
		}
	}
	switch {
	case wanted:
	case t.kind == relay.Audio && p.Temporal > 0:
		t.drops.Add(relay.DropSilent)
	default:
		t.drops.Add(relay.DropNotWanted)
	}
	return true
}

func (t *Track) ringSize() int {
	if t.kind == relay.Audio {
		return audioRing
	}
	return videoRing
}

// Clock notes a clock pair and passes it to every sink, one per encoding and 100 ms.
func (t *Track) Clock(c relay.Clock) {
	if c.Spatial >= relay.MaxSpatial {
		t.drops.Add(relay.DropMalformed)
		return
	}
	last := &t.clocks[c.Spatial]
	before := last.Load()
	if before != nil && uint64(c.Arrived-before.Arrived) < clockEvery || !last.CompareAndSwap(before, &c) {
		return
	}
	for _, tap := range *t.taps.Load() {
		tap.sink.Clock(c)
	}
}

// LastClock returns the newest clock pair of an encoding, false when none came yet.
func (t *Track) LastClock(encoding uint8) (relay.Clock, bool) {
	if encoding >= relay.MaxSpatial {
		return relay.Clock{}, false
	}
	c := t.clocks[encoding].Load()
	if c == nil {
		return relay.Clock{}, false
	}
	return *c, true
}

// Lookup returns a packet from the ring, retained for the caller, or nil.
func (t *Track) Lookup(encoding uint8, seq uint16) *relay.Packet {
	if encoding >= relay.MaxSpatial {
		return nil
	}
	return t.encodings[encoding].lookup(seq)
}

// Live returns the layers that arrived within the last second.
func (t *Track) Live() relay.LayerSet {
	now := t.now()
	var live relay.LayerSet
	for i := range t.seen {
		if at := t.seen[i].Load(); at != 0 && now-at <= liveFor {
			live |= 1 << i
		}
	}
	return live
}

// Close ends the track: its sinks are closed, each once, its packets are let go,
// and whatever is pushed or attached later is dropped or closed at once. The source
// is told that nothing is wanted. Close may be called again.
func (t *Track) Close() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.closed = true
	taps := *t.taps.Swap(new([]*Tap))
	t.demand.Store(0)
	t.mu.Unlock()
	t.tell()
	for _, tap := range taps {
		tap.sink.Close()
	}
	for i := range t.encodings {
		t.encodings[i].close()
	}
}
