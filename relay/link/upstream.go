package link

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"maille/relay"
	"maille/relay/track"
	"maille/relay/wire"

	linkpb "maille/proto/link"
)

// Upstream is a track on its way from the peer: the relay.Source of a track here.
type Upstream struct {
	s      *Session
	handle uint16
	ref    TrackRef
	track  *track.Track

	done chan struct{}

	mu     sync.Mutex // guards the fields below
	layers relay.LayerSet
	told   int // watchers
	err    error
	over   bool

	in [relay.MaxSpatial]struct {
		sync.Mutex // guards the rest, and the order of what is pushed
		inEncoding
	}
	bytes    atomic.Uint64
	peerSent atomic.Uint64
	peerShed atomic.Uint64
	wanted   wanted
	gapped   atomic.Bool // in the session's list of those with gaps
}

// Pull asks the peer for a track and feeds its packets into one of this node. It makes
// the returned Upstream the source of into, which tells it the demand; nothing flows
// until that is more than relay.NoLayers. It never fails: if the peer refuses, the
// track ends or the session is lost, Done closes and Err says why.
func (s *Session) Pull(ref TrackRef, into *track.Track) *Upstream {
	ref.Path = append(slices.Clone(ref.Path), s.e.cfg.Self)
	u := &Upstream{s: s, ref: ref, track: into, done: make(chan struct{})}
	if err := s.ins.add(u); err != nil {
		u.finish(err)
		return u
	}
	s.tell(demand(u, ref.message(), relay.NoLayers, 0))
	into.SetSource(u)
	return u
}

func (r TrackRef) message() *linkpb.TrackRef {
	return &linkpb.TrackRef{Room: r.Room, Id: string(r.ID), Path: r.Path}
}

func demand(u *Upstream, ref *linkpb.TrackRef, layers relay.LayerSet, watchers int) *linkpb.Control {
	return &linkpb.Control{Body: &linkpb.Control_Demand{Demand: &linkpb.Demand{
		Handle: uint32(u.handle), Track: ref, Layers: uint32(layers), Watchers: uint32(watchers),
	}}}
}

// Ref is what was asked for.
func (u *Upstream) Ref() TrackRef { return u.ref }

// Session is the session the track comes over.
func (u *Upstream) Session() *Session { return u.s }

// Done is closed when nothing will come any more.
func (u *Upstream) Done() <-chan struct{} { return u.done }

// Err tells why after Done: ErrClosed after Close, ErrRefused, ErrEnded, or the reason
// the session ended.
func (u *Upstream) Err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// Demand implements relay.Source. Demand of relay.NoLayers keeps the stream open.
func (u *Upstream) Demand(layers relay.LayerSet) {
	watchers := u.track.Stats().Sinks
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over || u.layers == layers {
		return
	}
	u.layers, u.told = layers, watchers
	u.s.tell(demand(u, nil, layers, watchers))
}

// tellWatchers tells the peer how many watch, when that has changed.
func (u *Upstream) tellWatchers() {
	watchers := u.track.Stats().Sinks
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over || u.layers == relay.NoLayers || u.told == watchers {
		return
	}
	u.told = watchers
	u.s.tell(demand(u, nil, u.layers, watchers))
}

// Keyframe implements relay.Source.
func (u *Upstream) Keyframe(spatial uint8) {
	if u.Err() != nil {
		return
	}
	u.s.tell(&linkpb.Control{Body: &linkpb.Control_Keyframe{Keyframe: &linkpb.Keyframe{
		Handle: uint32(u.handle), Spatial: uint32(spatial),
	}}})
}

// Close ends the stream; the track keeps what it has. It must not be called from
// within a Push of the track.
func (u *Upstream) Close() {
	if u.finish(ErrClosed) {
		u.s.ins.remove(u)
		u.s.tell(&linkpb.Control{Body: &linkpb.Control_Closed{Closed: &linkpb.Closed{Handle: uint32(u.handle)}}})
	}
}

func (u *Upstream) finish(err error) bool {
	u.mu.Lock()
	if u.over {
		u.mu.Unlock()
		return false
	}
	u.over, u.err = true, err
	u.mu.Unlock()
	u.flush() // pushing may ask for the demand, which takes mu
	close(u.done)
	return true
}

// frame takes one frame from a lane.
func (u *Upstream) frame(f *wire.Frame, now int64) {
	p := u.packet(f)
	if p == nil {
		return
	}
	p.Arrived = now
	in := &u.in[f.Encoding]
	in.Lock()
	defer in.Unlock()
	if in.chain == nil {
		in.chain = newChain(u.track.Kind())
	}
	revived := in.revived
	duplicate, gapped := in.got(f.Seq, f.Prev, f.HasPrev, now)
	u.s.counters.lateRepairs.Add(in.revived - revived)
	if f.HasSSRC {
		in.ssrc = f.SSRC
	}
	if gapped {
		u.s.ins.noteGap(u)
	}
	if duplicate {
		u.s.counters.drops.Add(relay.DropDuplicate)
		p.Release()
		return
	}
	p.SSRC = in.ssrc
	u.bytes.Add(uint64(len(p.Payload)))
	u.deliver(&in.inEncoding, p)
}

// packet makes a packet of a frame, once both halves of a split one are there.
func (u *Upstream) packet(f *wire.Frame) *relay.Packet {
	if f.Part == wire.Whole {
		p := relay.NewPacket()
		f.Fill(p)
		return p
	}
	u.s.joiner.Lock()
	defer u.s.joiner.Unlock()
	p, lost := u.s.joiner.Add(f)
	for range lost {
		u.s.counters.drops.Add(relay.DropLate)
	}
	return p
}

func refusedBy(reason string) error { return fmt.Errorf("%w: %s", ErrRefused, reason) }

var errHandles = errors.New("link: too many streams")
