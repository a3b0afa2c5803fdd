package layer

import (
	"strconv"
	"strings"
	"testing"

	"maille/relay"
)

var top = Want{Spatial: 2, Temporal: 3}

// when returns the time of the nth thing that was noted.
func when(t *testing.T, notes []string, n int) int {
	t.Helper()
	if n >= len(notes) {
		t.Fatalf("only %v", notes)
	}
	at, _, _ := strings.Cut(notes[n], ":")
	ms, _ := strconv.Atoi(at)
	return ms
}

func TestStartKnowingWhatIsLive(t *testing.T) {
	w := newWorld(false, top, 0, 1, 2)
	w.s.Live(relay.AllLayers, w.now*ms)
	equal(t, "needs", w.s.Needs(), relay.Spatial(2))
	w.run(1500)
	w.showing(t, 2)
	equal(t, "asked once, for the layer that is wanted", w.asks, []string{"0:2"})
	if at := when(t, w.shows, 0); at > 80 {
		t.Fatalf("the first picture came after %d ms", at)
	}
}

func TestStartKnowingThatTheWantedIsNotLive(t *testing.T) {
	w := newWorld(false, top, 0, 1)
	w.s.Live(relay.Spatial(0)|relay.Spatial(1), w.now*ms)
	w.run(1500)
	w.showing(t, 1)
	if at := when(t, w.shows, 0); at > 200 {
		t.Fatalf("the first picture came after %d ms", at)
	}
}

func TestStartKnowingNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		want Want
		live []int
		show int
		by   int // ms
	}{
		{"all", top, []int{0, 1, 2}, 2, 90},
		{"only the lowest", top, []int{0}, 0, 200},
		{"two of three", top, []int{0, 1}, 1, 200},
		{"the lowest is enough", Want{Spatial: 0}, []int{0, 1, 2}, 0, 90},
		{"only what is above", Want{Spatial: 0}, []int{1, 2}, 1, 800},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(false, tt.want, tt.live...)
			w.run(3000)
			w.showing(t, tt.show)
			if at := when(t, w.shows, 0); at > tt.by {
				t.Fatalf("the first picture came after %d ms, want %d", at, tt.by)
			}
		})
	}
}

func TestNeedsNoMoreThanIsShown(t *testing.T) {
	w := newWorld(false, Want{Spatial: 1, Temporal: 1}, 0, 1, 2)
	w.run(1500)
	equal(t, "needs", w.s.Needs(), relay.UpTo(1, 1))
	equal(t, "demand in whole encodings", w.s.Demand(), relay.Spatial(1))
	w.s.Want(Want{Spatial: 2, Temporal: 3}, w.now*ms)
	equal(t, "on the way up", w.s.Needs(), relay.Spatial(1)|relay.Spatial(2))
	w.run(2000)
	equal(t, "up", w.s.Needs(), relay.Spatial(2))
	w.s.Want(Want{Spatial: 0, Temporal: 3}, w.now*ms)
	equal(t, "on the way down", w.s.Needs(), relay.Spatial(0)|relay.Spatial(2))
	w.run(2500)
	equal(t, "down", w.s.Needs(), relay.Spatial(0))
	w.s.Want(Want{Paused: true}, w.now*ms)
	equal(t, "paused", w.s.Needs()|w.s.Demand(), relay.NoLayers)
}

func TestPictureGoesOnWhileSwitching(t *testing.T) {
	w := newWorld(false, Want{Spatial: 0, Temporal: 3}, 0, 1, 2)
	w.path = 150
	w.run(2000)
	before := w.forwarded
	w.asks = nil
	w.s.Want(top, w.now*ms)
	w.run(2200)
	w.showing(t, 0)
	if got := w.forwarded - before; got < 10 {
		t.Fatalf("%d packets while waiting for the keyframe", got)
	}
	w.run(2500)
	w.showing(t, 2)
	equal(t, "switches", w.switches, 2)
	equal(t, "asked at once and once", w.asks, []string{"1000:2"})
}

func TestFallsBackAndComesBack(t *testing.T) {
	w := newWorld(false, top, 0, 1, 2)
	w.run(3000)
	w.live[2] = false
	w.run(4000)
	w.showing(t, 1)
	if at := when(t, w.shows, 1); at > 2000+1000 {
		t.Fatalf("a second layer was shown at %d ms, the first ended at 2000", at)
	}
	equal(t, "still asked for", w.s.Needs(), relay.Spatial(1)|relay.Spatial(2))
	w.live[1] = false
	w.run(5500)
	w.showing(t, 0)
	w.live[1], w.live[2] = true, true
	w.run(6000)
	w.showing(t, 2)
	equal(t, "needs", w.s.Needs(), relay.Spatial(2))
}

func TestEverythingStopsAndStarts(t *testing.T) {
	w := newWorld(false, top, 0, 1, 2)
	w.run(2000)
	w.live = [relay.MaxSpatial]bool{}
	w.run(20000)
	w.live[0] = true // browsers start with the lowest
	w.run(21000)
	w.showing(t, 0)
	w.live[2] = true
	w.run(22000)
	w.showing(t, 2)
}

// A still screen is repeated once a second. Once that is known, nothing else is asked
// for between the pictures.
func TestSlowPicturesAreNotSilence(t *testing.T) {
	w := newWorld(false, top, 0, 2)
	w.run(2000)
	w.period = 1000
	w.run(5000)
	shows, asks := len(w.shows), len(w.asks)
	for end := int64(5100); end < 15000; end += 100 {
		w.run(end)
		equal(t, "needs", w.s.Needs(), relay.Spatial(2))
	}
	equal(t, "changes and requests", []int{len(w.shows), len(w.asks)}, []int{shows, asks})
}

func TestPauseAndResume(t *testing.T) {
	w := newWorld(false, top, 0, 1, 2)
	w.run(2000)
	w.s.Want(Want{Spatial: 2, Temporal: 3, Paused: true}, w.now*ms)
	w.showing(t, -1)
	before := w.forwarded
	w.run(2500)
	if w.forwarded != before || w.last[relay.DropMuted] == 0 {
		t.Fatal("packets went on while paused")
	}
	if len(w.asks) != 1 {
		t.Fatalf("asked %v", w.asks)
	}
	w.s.Want(top, w.now*ms)
	w.run(3000)
	w.showing(t, 2)
	equal(t, "each start is a new stretch", w.switches, 2)
}

func TestKeyframeRequestsArePaced(t *testing.T) {
	w := newWorld(false, Want{Spatial: 0}, 0, 1, 2)
	w.run(1300)
	w.asks = nil
	w.path = 1 << 40 // requests get lost
	w.s.Want(Want{Spatial: 2}, w.now*ms)
	for ; w.now < 4000; w.now++ {
		if w.now%w.period == 0 { // but packets still come
			for _, spatial := range []uint8{0, 2} {
				p := relay.NewPacket()
				p.Encoding, p.Spatial, p.Arrived, p.FrameStart = spatial, spatial, w.now*ms, true
				p.Payload = p.Buffer()[:10]
				w.s.Packet(p)
			}
		}
		w.feedback()
	}
	equal(t, "requests", w.asks, []string{"300:2", "800:2", "1300:2", "1800:2", "2300:2", "2800:2"})
}

func TestStragglersOfTheLayerBefore(t *testing.T) {
	w := newWorld(false, Want{Spatial: 0}, 0, 1)
	w.run(1500)
	w.s.Want(Want{Spatial: 1}, w.now*ms)
	for w.switches < 2 {
		w.run(w.now + 1)
	}
	straggler := func() Verdict {
		p := relay.NewPacket()
		p.Arrived, p.Payload = w.now*ms, p.Buffer()[:10]
		return w.s.Packet(p)
	}
	if !straggler().Forward {
		t.Fatal("the rest of the last picture is refused")
	}
	w.run(w.now + 250)
	if v := straggler(); v.Forward || v.Why != relay.DropNotWanted {
		t.Fatalf("much later: %+v", v)
	}
}

func TestPaddingIsLeftOut(t *testing.T) {
	w := newWorld(false, top, 2)
	w.run(1500)
	p := relay.NewPacket()
	p.Encoding, p.Spatial, p.Arrived = 2, 2, w.now*ms
	if v := w.s.Packet(p); v.Forward || !v.Skipped {
		t.Fatalf("%+v", v)
	}
	p.Encoding, p.Spatial = 1, 1
	if v := w.s.Packet(p); v.Forward || v.Skipped {
		t.Fatalf("of another encoding: %+v", v)
	}
	p.Spatial = relay.MaxSpatial
	if v := w.s.Packet(p); v.Forward || v.Why != relay.DropMalformed {
		t.Fatalf("of no layer: %+v", v)
	}
}

// A picture under way is finished with the limits it began with.
func TestLimitsFallBetweenPictures(t *testing.T) {
	for _, svc := range []bool{false, true} {
		s := New(svc, Want{Spatial: 1, Temporal: 2}, 0)
		see := func(spatial, temporal uint8, start, key bool) bool {
			p := relay.NewPacket()
			defer p.Release()
			p.Spatial, p.Temporal, p.FrameStart, p.Keyframe, p.Arrived = spatial, temporal, start, key, 1
			if !svc {
				p.Encoding = spatial
			}
			p.Payload = p.Buffer()[:10]
			return s.Packet(p).Forward
		}
		base := uint8(1) // the layer whose packets begin pictures
		if svc {
			base = 0
		}
		see(base, 0, true, true)
		see(base, 2, true, false)
		s.Want(Want{Spatial: 1, Temporal: 0}, 1)
		if !see(1, 2, false, false) {
			t.Errorf("layered %v: a picture was cut", svc)
		}
		if see(base, 2, true, false) {
			t.Errorf("layered %v: the limit does not fall", svc)
		}
		if !svc {
			continue
		}
		see(0, 0, true, false)
		s.Want(Want{Spatial: 0, Temporal: 0}, 1)
		if !see(1, 0, false, false) {
			t.Error("the upper layer of a picture was cut")
		}
		if see(0, 0, true, false); see(1, 0, false, false) {
			t.Error("the upper layer goes on")
		}
	}
}
