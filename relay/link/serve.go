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
	if d.Track == nil {
		if o := s.outs.get(d.Handle); o != nil {
			o.watchers.Store(d.Watchers)
			o.want(layers)
		}
		return nil
	}
	if s.outs.get(d.Handle) != nil {
		return fmt.Errorf("%w: handle %d opened twice", ErrProtocol, d.Handle)
	}
	if err := s.open(uint16(d.Handle), d.Track, layers, d.Watchers); err != nil {
		s.refusedPull(err)
		s.tell(&linkpb.Control{Body: &linkpb.Control_Refused{Refused: &linkpb.Refused{
			Handle: d.Handle, Reason: shortened(err.Error()),
		}}})
	}
	return nil
}

var (
	errLoop    = errors.New("loop")
	errTooFar  = errors.New("path too long")
	errTooMany = errors.New("too many streams")
	errName    = errors.New("invalid name")
)

func (s *Session) open(handle uint16, t *linkpb.TrackRef, layers relay.LayerSet, watchers uint32) error {
	switch {
	case t.Id == "" || len(t.Id) > maxName || len(t.Room) > maxName:
		return errName
	case len(t.Path) == 0 || len(t.Path) > maxPath:
		return errTooFar
	case slices.Contains(t.Path, s.e.cfg.Self):
		return errLoop
	case t.Path[len(t.Path)-1] != s.peer:
		return errName
	}
	ref := TrackRef{Room: t.Room, ID: relay.TrackID(t.Id), Path: t.Path}
	track, err := s.e.cfg.Handler.Serve(s, ref)
	if err != nil {
		return err
	}
	o := &outStream{s: s, handle: handle, ref: ref, track: track}
	o.watchers.Store(watchers)
	if !s.outs.add(o) {
		return errTooMany
	}
	s.tell(&linkpb.Control{Body: &linkpb.Control_Opened{Opened: &linkpb.Opened{Handle: uint32(handle)}}})
	for enc := range uint8(relay.MaxSpatial) {
		if c, ok := track.LastClock(enc); ok {
			o.Clock(c)
		}
	}
	tap := track.Attach(o, relay.NoLayers)
	o.tap.Store(tap)
	if o.ended.Load() {
		tap.Detach() // the track ended while it was being opened
		return nil
	}
	o.want(layers)
	return nil
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
