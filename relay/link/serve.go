package link

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"maille/relay"

	linkpb "maille/proto/link"
)

// outTable holds the streams this side sends, by the handle the peer chose.
type outTable struct {
	mu      sync.Mutex // guards the fields below
	streams map[uint16]*outStream
	tracks  map[relay.TrackID]int // streams of each
	ended   bool
}

func (t *outTable) get(handle uint32) *outStream {
	t.mu.Lock()
	defer t.mu.Unlock()
	if handle > 0xffff {
		return nil
	}
	return t.streams[uint16(handle)]
}

func (t *outTable) add(o *outStream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || len(t.streams) >= maxStreams || t.tracks[o.ref.ID] >= maxPerTrack {
		return false
	}
	if t.streams == nil {
		t.streams, t.tracks = make(map[uint16]*outStream), make(map[relay.TrackID]int)
	}
	t.streams[o.handle] = o
	t.tracks[o.ref.ID]++
	return true
}

func (t *outTable) remove(o *outStream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.streams[o.handle] == o {
		delete(t.streams, o.handle)
		if t.tracks[o.ref.ID]--; t.tracks[o.ref.ID] == 0 {
			delete(t.tracks, o.ref.ID)
		}
	}
}

func (t *outTable) all() []*outStream {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*outStream, 0, len(t.streams))
	for _, o := range t.streams {
		out = append(out, o)
	}
	return out
}

// end closes every stream when the session is over.
func (t *outTable) end() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	for _, o := range t.all() {
		o.close()
	}
}

// demanded opens a stream or changes what is wanted of it.
func (s *Session) demanded(d *linkpb.Demand) error {
	layers := relay.LayerSet(d.Layers) & relay.AllLayers
	if d.Handle > 0xffff {
		return fmt.Errorf("%w: handle %d", ErrProtocol, d.Handle)
	}
	opens := s.openings.ask(d.Handle, func(w *wishes) { w.layers, w.watchers = layers, d.Watchers })
	switch o := s.outs.get(d.Handle); {
	case d.Track == nil && o != nil && !opens:
		o.watchers.Store(d.Watchers)
		o.want(layers)
	case d.Track == nil:
	case opens || o != nil:
		return fmt.Errorf("%w: handle %d opened twice", ErrProtocol, d.Handle)
	default:
		op := &opening{
			handle: uint16(d.Handle), ref: TrackRef{Room: d.Track.Room, ID: relay.TrackID(d.Track.Id), Path: d.Track.Path},
			wishes: wishes{any: true, layers: layers, watchers: d.Watchers},
		}
		if err := s.mayOpen(&op.ref); err != nil {
			s.refuse(op.handle, err)
		} else if s.openings.add(op) {
			s.wg.Go(func() { s.openAll(op.ref.Room) })
		}
	}
	return nil
}

// refuse tells the peer that it does not get a track, and counts it.
func (s *Session) refuse(handle uint16, err error) {
	s.refusedPull(err)
	s.tell(&linkpb.Control{Body: &linkpb.Control_Refused{Refused: &linkpb.Refused{
		Handle: uint32(handle), Reason: shortened(err.Error()),
	}}})
}

var (
	errLoop    = errors.New("loop")
	errTooFar  = errors.New("path too long")
	errTooMany = errors.New("too many streams")
	errName    = errors.New("invalid name")
)

// mayOpen tells what is wrong with a request for a track.
func (s *Session) mayOpen(t *TrackRef) error {
	switch {
	case t.ID == "" || len(t.ID) > maxName || len(t.Room) > maxName:
		return errName
	case len(t.Path) == 0 || len(t.Path) > maxPath:
		return errTooFar
	case slices.Contains(t.Path, s.e.cfg.Self):
		return errLoop
	case t.Path[len(t.Path)-1] != s.peer:
		return errName
	case s.openings.count() >= maxStreams:
		return errTooMany
	}
	return nil
}

// open attaches a stream to the track that the handler has for it. Nothing flows yet.
func (s *Session) open(op *opening) (*outStream, error) {
	track, err := s.e.cfg.Handler.Serve(s, op.ref)
	if err != nil {
		return nil, err
	}
	o := &outStream{s: s, handle: op.handle, ref: op.ref, track: track}
	if !s.outs.add(o) {
		return nil, errTooMany
	}
	s.tell(&linkpb.Control{Body: &linkpb.Control_Opened{Opened: &linkpb.Opened{Handle: uint32(op.handle)}}})
	for enc := range uint8(relay.MaxSpatial) {
		if c, ok := track.LastClock(enc); ok {
			o.Clock(c)
		}
	}
	tap := track.Attach(o, relay.NoLayers)
	o.tap.Store(tap)
	if o.ended.Load() {
		tap.Detach() // the track ended while it was being opened
	}
	return o, nil
}

// statsEvery is how many probes pass between two messages about a stream's counts.
const statsEvery = 10

// tellStats tells the peer what was sent and shed, and how many watch what it sends,
// every two seconds.
func (s *Session) tellStats() {
	if s.probes++; s.probes%statsEvery != 0 {
		return
	}
	for _, o := range s.outs.all() {
		s.outbox.put(&linkpb.Control{Body: &linkpb.Control_Stats{Stats: &linkpb.TrackStats{
			Handle: uint32(o.handle), Packets: o.packets.Load(), Bytes: o.bytes.Load(), Shed: o.shed.Load(),
		}}})
	}
	for _, u := range s.ins.all() {
		u.tellWatchers()
	}
}
