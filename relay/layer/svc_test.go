package layer

import (
	"testing"

	"pgregory.net/rapid"

	"maille/relay"
)

func TestLayeredStartUpAndDown(t *testing.T) {
	for _, exact := range []bool{false, true} {
		w := newWorld(true, Want{Spatial: 0, Temporal: 2}, 0, 1, 2)
		w.exact = exact
		w.run(2000)
		w.showing(t, 0)
		equal(t, "needs", w.s.Needs(), relay.UpTo(0, 2))
		equal(t, "demand", w.s.Demand(), relay.AllLayers)
		w.s.Want(Want{Spatial: 2, Temporal: 2}, w.now*ms)
		equal(t, "needs on the way up", w.s.Needs(), relay.UpTo(0, 2)|relay.UpTo(1, 2)|relay.UpTo(2, 2))
		w.run(3000)
		w.showing(t, 2)
		asks := len(w.asks)
		w.s.Want(Want{Spatial: 1, Temporal: 2}, w.now*ms)
		w.run(3100)
		w.showing(t, 1)
		if len(w.asks) != asks {
			t.Fatal("going down takes no keyframe")
		}
		equal(t, "one stretch all along", w.switches, 1)
		for _, ask := range w.asks {
			if ask[len(ask)-1] != '0' {
				t.Fatalf("asked %v: one request serves the encoding", w.asks)
			}
		}
	}
}

func TestLayeredUpperLayerStops(t *testing.T) {
	w := newWorld(true, top, 0, 1, 2)
	w.run(2000)
	w.showing(t, 2)
	w.live[2] = false
	w.run(3000)
	w.showing(t, 1)
	w.live[2] = true
	w.run(4000)
	w.showing(t, 2)
}

// The marker is due at the end of the highest layer that goes on, and all left out is
// skipped so that numbers follow.
func TestLayeredVerdicts(t *testing.T) {
	s := New(true, Want{Spatial: 1, Temporal: 1}, 0)
	see := func(spatial, temporal uint8, start, key, up bool) Verdict {
		p := relay.NewPacket()
		defer p.Release()
		p.Spatial, p.Temporal, p.FrameStart, p.Keyframe, p.SwitchPoint, p.Arrived = spatial, temporal, start, key, up, 1
		p.Payload = p.Buffer()[:10]
		return s.Packet(p)
	}
	for i, tt := range []struct {
		spatial, temporal uint8
		start, key, up    bool
		want              Verdict
	}{
		{0, 0, true, false, false, Verdict{Why: relay.DropAwaitingKey}},
		{0, 0, true, true, true, Verdict{Forward: true, Switched: true}},
		{1, 0, false, true, true, Verdict{Forward: true, Top: true}},
		{2, 0, false, true, true, Verdict{Why: relay.DropNotWanted, Skipped: true}},
		{0, 2, true, false, true, Verdict{Why: relay.DropNotWanted, Skipped: true}},
		{0, 1, true, false, true, Verdict{Forward: true}},
		{1, 1, false, false, true, Verdict{Forward: true, Top: true}},
	} {
		if got := see(tt.spatial, tt.temporal, tt.start, tt.key, tt.up); got != tt.want {
			t.Fatalf("packet %d: %+v, want %+v", i, got, tt.want)
		}
	}
	// An upper layer that is predicted from below only lets the viewer up at once.
	s.Want(Want{Spatial: 2, Temporal: 1}, 1)
	if got := see(2, 0, false, false, false); got != (Verdict{Why: relay.DropAwaitingKey, Skipped: true}) {
		t.Fatalf("%+v", got)
	}
	if got := see(2, 0, false, true, false); got != (Verdict{Forward: true, Top: true}) {
		t.Fatalf("%+v", got)
	}
}

// Whatever the viewer and the publisher do, a decoder can follow: a stretch begins
// with a keyframe's first packet, and no picture is shown without those it needs.
func TestDecoderCanFollow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Bool().Draw(t, "svc"), top, 0, 1, 2)
		w.path = rapid.Int64Range(1, 200).Draw(t, "path")
		// What the last base picture's cycle showed: index in the temporal pattern.
		shown := map[uint8]bool{}
		check := func(p *relay.Packet, v Verdict) {
			switch {
			case v.Switched && !(p.Keyframe && p.FrameStart):
				t.Fatal("a stretch begins without a keyframe")
			case v.Switched && !v.Forward:
				t.Fatal("switched to a packet that is left out")
			}
			straggler := !w.svc && int8(p.Spatial) != w.s.current // only what was missing finds a number
			if p.Spatial != 0 || !p.FrameStart || straggler {
				return
			}
			if p.Temporal == 0 {
				clear(shown)
			}
			if v.Forward {
				if p.Temporal == 2 && !p.SwitchPoint && !shown[1] {
					t.Fatal("a picture without the one it is predicted from")
				}
				shown[p.Temporal] = true
			}
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0:
				w.s.Want(Want{
					Spatial: rapid.Uint8Range(0, 3).Draw(t, "spatial"), Temporal: rapid.Uint8Range(0, 4).Draw(t, "temporal"),
					Paused: rapid.IntRange(0, 4).Draw(t, "pause") == 0,
				}, w.now*ms)
			case 1:
				l := rapid.IntRange(1, 2).Draw(t, "layer")
				w.live[l] = !w.live[l]
			}
			until := w.now + rapid.Int64Range(1, 700).Draw(t, "ms")
			for ; w.now < until; w.now++ {
				w.feedback()
				if w.now%w.period == 0 {
					w.publish()
				}
				for len(w.wire) > 0 && w.wire[0].at <= w.now {
					check(w.wire[0].p, w.s.Packet(w.wire[0].p))
					w.wire = w.wire[1:]
				}
			}
		}
		// Left alone, it shows the best there is.
		want := Want{Spatial: 2, Temporal: 3}
		w.s.Want(want, w.now*ms)
		w.live = [relay.MaxSpatial]bool{true, rapid.Bool().Draw(t, "live 1"), rapid.Bool().Draw(t, "live 2")}
		w.run(w.now + 5000)
		best := uint8(0)
		for l, live := range w.live {
			if live {
				best = uint8(l)
			}
		}
		if got, temporal, ok := w.s.Current(); !ok || got != best || temporal < 2 {
			t.Fatalf("shows %d/%d (%v), the best is %d", got, temporal, ok, best)
		}
	})
}
