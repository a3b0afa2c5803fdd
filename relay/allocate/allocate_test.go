package allocate

import (
	"math"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"maille/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const kbit = 1000 / 8.

// camera costs 150, 500 and 1700 kbit/s, half of it for half the frames.
func camera(class Class, spatial uint8) Track {
	t := Track{Class: class, Want: Choice{On: true, Spatial: spatial, Temporal: relay.MaxTemporal - 1}}
	for s, rate := range []float64{150 * kbit, 500 * kbit, 1700 * kbit} {
		for k := range t.Rates[s] {
			t.Rates[s][k] = rate
		}
		t.Rates[s][0] = rate / 2
	}
	return t
}

func divide(budget float64, tracks ...Track) []Choice {
	var a Allocator
	out := make([]Choice, len(tracks))
	a.Divide(1, budget, tracks, out)
	return out
}

func TestEverybodyIsSeenBeforeAnyoneIsRaised(t *testing.T) {
	out := divide(500*kbit, camera(Thumbnail, 2), camera(Speaker, 2), camera(Thumbnail, 2))
	for i, c := range out {
		if !c.On || c.Spatial != 0 || c.Temporal != relay.MaxTemporal-1 {
			t.Errorf("track %d gets %+v", i, c)
		}
	}
}

func TestSpeakerIsRaisedBeforeScreenBeforeThumbnails(t *testing.T) {
	tracks := []Track{camera(Thumbnail, 2), camera(Screen, 2), camera(Speaker, 2)}
	for _, c := range []struct {
		budget float64
		want   [3]uint8 // spatial layers of thumbnail, screen, speaker
	}{
		{1000, [3]uint8{0, 0, 1}}, {2300, [3]uint8{0, 0, 2}}, {2600, [3]uint8{0, 1, 2}}, {4000, [3]uint8{0, 2, 2}}, {4500, [3]uint8{1, 2, 2}},
	} {
		out := divide(c.budget*kbit, tracks...)
		for i, s := range c.want {
			if out[i].Spatial != s {
				t.Errorf("with %v kbit/s track %d gets layer %d, want %d", c.budget, i, out[i].Spatial, s)
			}
		}
	}
}

func TestWhatDoesNotFitIsPaused(t *testing.T) {
	out := divide(100*kbit, camera(Thumbnail, 2), camera(Speaker, 2))
	if out[0].On || !out[1].On {
		t.Errorf("%+v", out)
	}
}

func TestKeepIsNeverPaused(t *testing.T) {
	kept := camera(Thumbnail, 2)
	kept.Keep = true
	if out := divide(0, kept); !out[0].On || out[0].Temporal != 0 {
		t.Errorf("%+v", out)
	}
}

// A budget that wavers by a few per cent changes nothing.
func TestChoicesDoNotFlap(t *testing.T) {
	var a Allocator
	tracks := []Track{camera(Speaker, 2), camera(Thumbnail, 2)}
	out := make([]Choice, 2)
	a.Divide(1, 700*kbit*raiseMargin, tracks, out)
	first := [2]Choice(out)
	for i := range 100 {
		for k := range tracks {
			tracks[k].Has = out[k]
		}
		a.Divide(int64(i)*1e9, 700*kbit*(1+.04*math.Sin(float64(i))), tracks, out)
		if [2]Choice(out) != first {
			t.Fatalf("%+v became %+v", first, out)
		}
	}
}

func TestLoweredTracksWait(t *testing.T) {
	var a Allocator
	tr := camera(Speaker, 2)
	tr.Has, tr.Lowered = Choice{On: true, Temporal: relay.MaxTemporal - 1}, 10e9
	out := make([]Choice, 1)
	if a.Divide(11e9, 1e9, []Track{tr}, out); out[0].Spatial != 0 {
		t.Error("raised a second after it was lowered")
	}
	if a.Divide(10e9+raiseAfter, 1e9, []Track{tr}, out); out[0].Spatial != 2 {
		t.Error("not raised in time")
	}
}

// Each try in vain doubles the wait for the next, within bounds.
func TestTriesInVainTakeLonger(t *testing.T) {
	var a Allocator
	out := make([]Choice, 1)
	for tries, wait := range map[int]int64{0: raiseAfter, 1: 2 * raiseAfter, 2: 4 * raiseAfter, 100: 4 * raiseAfter} {
		tr := camera(Speaker, 2)
		tr.Has, tr.Lowered, tr.Tries = Choice{On: true, Temporal: relay.MaxTemporal - 1}, 10e9, tries
		if a.Divide(10e9+wait-1, 1e9, []Track{tr}, out); out[0].Spatial != 0 {
			t.Errorf("after %d tries: raised too early", tries)
		}
		if a.Divide(10e9+wait, 1e9, []Track{tr}, out); out[0].Spatial != 2 {
			t.Errorf("after %d tries: not raised in time", tries)
		}
	}
}

func TestMissingTellsTheNextRaise(t *testing.T) {
	var a Allocator
	out := make([]Choice, 1)
	spent, missing := a.Divide(1, 200*kbit, []Track{camera(Speaker, 2)}, out)
	if spent != 150*kbit || math.Abs(missing-500*kbit*raiseMargin) > 1 {
		t.Errorf("spent %v missing %v", spent/kbit, missing/kbit)
	}
	if _, missing = a.Divide(1, missing+1, []Track{camera(Speaker, 1)}, out); out[0].Spatial != 1 || missing != 0 {
		t.Errorf("%+v, missing %v, with what was missing", out, missing)
	}
}

// Layers that cost nothing more, because the publisher does not send them, are granted.
func TestFreeLayersAreGranted(t *testing.T) {
	tr := camera(Thumbnail, 2)
	tr.Rates[1], tr.Rates[2] = tr.Rates[0], tr.Rates[0]
	if out := divide(170*kbit, tr); out[0].Spatial != 2 {
		t.Errorf("%+v", out)
	}
}

func TestAllocationStaysWithinItsBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "tracks")
		budget := rapid.Float64Range(0, 5e6).Draw(t, "budget")
		tracks, out := make([]Track, n), make([]Choice, n)
		for i := range tracks {
			tr := camera(Class(rapid.IntRange(0, 2).Draw(t, "class")), uint8(rapid.IntRange(0, 2).Draw(t, "spatial")))
			tr.Has = Choice{rapid.Bool().Draw(t, "on"), uint8(rapid.IntRange(0, 2).Draw(t, "has")), uint8(rapid.IntRange(0, 3).Draw(t, "hast"))}
			tracks[i] = tr
		}
		var a Allocator
		spent, _ := a.Divide(1e12, budget, tracks, out)
		sum := 0.
		for i, c := range out {
			if c.On {
				sum += tracks[i].Rates[c.Spatial][c.Temporal]
			}
			if c.Spatial > tracks[i].Want.Spatial || c.Temporal > tracks[i].Want.Temporal {
				t.Fatalf("track %d gets %+v and wants %+v", i, c, tracks[i].Want)
			}
		}
		if math.Abs(sum-spent) > 1e-6*(1+sum) || spent > budget*keepMargin+1e-6 {
			t.Fatalf("spent %v, in all %v, of %v", spent, sum, budget)
		}
	})
}

func TestDivideAllocatesNothing(t *testing.T) {
	var a Allocator
	tracks, out := make([]Track, 100), make([]Choice, 100)
	for i := range tracks {
		tracks[i] = camera(Thumbnail, 2)
	}
	a.Divide(1, 1e6, tracks, out)
	if n := testing.AllocsPerRun(10, func() { a.Divide(1, 1e6, tracks, out) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDivide150(b *testing.B) {
	var a Allocator
	tracks, out := make([]Track, 150), make([]Choice, 150)
	for i := range tracks {
		tracks[i] = camera(Thumbnail, 2)
	}
	for b.Loop() {
		a.Divide(1, 1e6, tracks, out)
	}
}
