package link

import (
	"context"
	"testing"

	"google.golang.org/protobuf/proto"

	"maille/relay"
	"maille/relay/track"
	"maille/relay/wire"

	linkpb "maille/proto/link"
)

// bareSession is a session without a network: what it sends stays in its queues.
func bareSession(t testing.TB) *Session {
	h := &node{t: t, tracks: map[relay.TrackID]*track.Track{
		"TR_v": track.New("TR_v", relay.Video, ""), "TR_a": track.New("TR_a", relay.Audio, ""),
	}, messages: map[string][]string{}}
	s := &Session{e: &Endpoint{cfg: Config{Self: "b", Handler: h}}, peer: "a", nudge: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancelCause(t.Context())
	s.control = newLane(s, nil)
	s.outbox.init()
	s.queue.init()
	s.lanes.init(1)
	return s
}

// FuzzControl feeds a sequence of control messages, each behind its length as on the
// stream, and pushes a packet after each.
func FuzzControl(f *testing.F) {
	seed := func(all ...*linkpb.Control) {
		var b []byte
		for _, m := range all {
			raw, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			b = append(append(b, byte(len(raw))), raw...)
		}
		f.Add(b)
	}
	ref := &linkpb.TrackRef{Room: "r", Id: "TR_v", Path: []string{"a"}}
	open := &linkpb.Control{Body: &linkpb.Control_Demand{Demand: &linkpb.Demand{Handle: 3, Track: ref, Layers: 0xfff}}}
	seed(open, &linkpb.Control{Body: &linkpb.Control_Keyframe{Keyframe: &linkpb.Keyframe{Handle: 3, Spatial: 2}}},
		&linkpb.Control{Body: &linkpb.Control_Resend{Resend: &linkpb.Resend{Handle: 3, Seqs: []uint32{1, 70000}}}},
		&linkpb.Control{Body: &linkpb.Control_Closed{Closed: &linkpb.Closed{Handle: 3}}})
	seed(open, open)
	seed(&linkpb.Control{Body: &linkpb.Control_Clock{Clock: &linkpb.Clock{Handle: 1, Spatial: 9}}},
		&linkpb.Control{Body: &linkpb.Control_Lanes{Lanes: &linkpb.Lanes{Want: 1 << 31}}},
		&linkpb.Control{Body: &linkpb.Control_Ended{Ended: &linkpb.Ended{Handle: 1}}})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := bareSession(t)
		here := track.New("TR_x", relay.Video, "")
		s.Pull(TrackRef{ID: "TR_x"}, here)
		tracks := s.e.cfg.Handler.(*node).tracks
		for seq := uint16(0); len(b) > 0 && seq < 50; seq++ {
			n := min(int(b[0]), len(b)-1)
			m := new(linkpb.Control)
			if proto.Unmarshal(b[1:1+n], m) == nil {
				_ = s.handleControl(m)
				s.wg.Wait() // for the track to be open
			}
			b = b[1+n:]
			for _, tr := range tracks {
				tr.Push(fill(seq, 100))
			}
			if s.lanes.want() > maxLanes {
				t.Fatal("more lanes than the bound")
			}
		}
		s.outs.end()
		s.ins.end(ErrClosed)
		s.queue.release()
		s.seconds.release()
		for _, tr := range tracks {
			tr.Close()
		}
		here.Close()
	})
}

// FuzzReceive feeds datagrams to a session with a stream each way.
func FuzzReceive(f *testing.F) {
	frame := wire.Frame{Handle: 1, Seq: 4, Prev: 2, HasPrev: true, Payload: []byte("x")}
	bundle := wire.NewBundle(make([]byte, 0, wire.MaxDatagram), wire.TypeMedia)
	bundle.Add(&frame)
	first, second := frame.Split()
	bundle.Add(&first)
	bundle.Add(&second)
	f.Add(bundle.Seal(7))
	f.Add(wire.AppendAsk(nil, []wire.Gap{{Handle: 3, From: 0, Mask: 0xffffffff}}))
	report, _ := wire.AppendReport(nil, 0, 1, []wire.Arrival{{Got: true, At: 5}, {}, {Got: true, At: 6}})
	f.Add(report)
	f.Add(wire.AppendProbe(nil, wire.TypeProbe, 5))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := bareSession(t)
		here := track.New("TR_x", relay.Video, "")
		s.Pull(TrackRef{ID: "TR_x"}, here)
		o, err := s.open(&opening{handle: 3, ref: TrackRef{ID: "TR_v", Path: []string{"a"}}})
		if err != nil {
			t.Fatal(err)
		}
		o.want(relay.AllLayers)
		origin := s.e.cfg.Handler.(*node).tracks["TR_v"]
		l := newLane(s, nil)
		bn := &bundler{s: s}
		for seq := range uint16(4) {
			origin.Push(fill(seq, 100))
			bundle := wire.NewBundle(newDatagram(), wire.TypeMedia)
			bn.fill(&bundle, l, relay.Now())
			bn.launch(&bundle, l, relay.Now())
		}
		for i := range 3 {
			s.receive(l, b, relay.Now()+int64(i))
			s.sendFeedback(relay.Now() + int64(i)*int64(reportEvery))
		}
		if l.flying.Load() < 0 {
			t.Fatal("less than nothing in flight")
		}
		bn.release()
		s.outs.end()
		s.ins.end(ErrClosed)
		s.queue.release()
		s.seconds.release()
		s.joiner.Reset()
		origin.Close()
		here.Close()
	})
}
