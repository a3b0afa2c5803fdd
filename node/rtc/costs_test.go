package rtc

import (
	"math"
	"testing"

	"maille/relay"
	"maille/relay/allocate"
	"maille/relay/track"
)

const full = relay.MaxTemporal - 1

// A layer of which the lowest frame rate alone came is not taken for one that costs no
// more in full.
func TestCostOfFramesLeftOut(t *testing.T) {
	seen := track.Rates{{16_000}, {18_000}}
	for _, c := range []struct {
		what  string
		known relay.LayerSet // of the second layer
		full  float64        // what it costs
	}{
		{"nothing is left out", relay.Spatial(1), 18_000},
		{"half the frames are", relay.UpTo(1, 0), 36_000},
		{"some frames are", relay.UpTo(1, 1), 24_000},
	} {
		got := (&offer{rates: seen, known: c.known | relay.Spatial(0)}).costs()
		if got[1][0] != 18_000 || got[1][full] != c.full || got[2][full] != layerStep*c.full {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// What was not seen is taken for what the publisher says of it, within bounds.
func TestCostAsDeclared(t *testing.T) {
	seen := track.Rates{{10_000, 0, 10_000}}
	declared := []float64{20_000, 60_000, 150_000}
	for _, c := range []struct {
		what string
		offer
		want [relay.MaxSpatial]float64
	}{
		{"nothing was seen", offer{declared: declared}, [3]float64{22_000, 66_000, 165_000}},
		{"the lowest was seen", offer{rates: seen, known: relay.Spatial(0), declared: declared}, [3]float64{20_000, 60_000, 165_000}},
		{"of the lowest some frames were seen", offer{rates: track.Rates{{5_000}}, known: relay.UpTo(0, 0), declared: declared}, [3]float64{22_000, 66_000, 165_000}},
		{"a calm picture", offer{rates: track.Rates{{2_000}}, known: relay.Spatial(0), declared: declared}, [3]float64{2_000, 33_000, 165_000}},
		{"no such layer", offer{declared: declared[:2]}, [3]float64{22_000, 66_000, 66_000}},
		{"it says much too little", offer{rates: seen, known: relay.Spatial(0), declared: []float64{1, 1, 1}}, [3]float64{20_000, 20_000, 20_000}},
		{"it says much too much", offer{declared: []float64{1e12, 1e12, 1e12}}, [3]float64{80_000, 260_000, 880_000}},
		{"nothing speaks against the path", offer{declared: []float64{1e12, 60_000, 1e12}, wide: true}, [3]float64{20_000, 65_000, 220_000}},
		{"layers upon layers", offer{rates: track.Rates{{20_000}, {10_000}}, known: relay.Spatial(0) | relay.UpTo(1, 0), declared: declared, svc: true}, [3]float64{20_000, 66_000, 165_000}},
		{"it says nothing of some", offer{declared: []float64{0, 60_000, 0}}, [3]float64{20_000, 66_000, 220_000}},
	} {
		got := c.costs()
		for s, want := range c.want {
			if math.Abs(got[s][full]-want) > 1 {
				t.Errorf("%s: layer %d costs %.0f, want %.0f", c.what, s, got[s][full], want)
			}
		}
	}
}

// Only what is asked for and does not come is none: the layers below the one that is shown
// do not come because nobody asks for them.
func TestAbsentIsWhatIsAskedForInVain(t *testing.T) {
	var h share
	for now := int64(1e9); now < 20e9; now += 1e9 {
		h.look(relay.Spatial(1), relay.Spatial(1)|relay.Spatial(2), now)
	}
	if h.absent != [relay.MaxSpatial]bool{false, false, true} {
		t.Errorf("absent %v", h.absent)
	}
	h.look(relay.Spatial(2), relay.Spatial(2), 20e9)
	if h.absent[2] {
		t.Error("absent though it comes")
	}
}

// A larger picture that is soon taken back was tried in vain; one that lasts ends the count.
func TestTriesInVainAreCounted(t *testing.T) {
	var h share
	small, large := allocate.Choice{On: true}, allocate.Choice{On: true, Spatial: 1}
	now := int64(1e9)
	h.changed(everything, small, true, now)
	for i := range 3 {
		if h.tries != i {
			t.Fatalf("%d tries after %d", h.tries, i)
		}
		h.changed(small, large, false, now)
		now += tryFor / 2
		h.changed(large, small, true, now)
		h.changed(small, allocate.Choice{}, true, now) // less still is no other try
	}
	h.changed(small, large, false, now)
	now += 2 * tryFor
	if h.changed(large, small, true, now); h.tries != 0 || h.lowered != now {
		t.Errorf("%d tries after one that lasted, lowered at %d", h.tries, h.lowered)
	}
}
