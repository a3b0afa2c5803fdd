package rtc

import (
	"testing"

	"maille/relay"
	"maille/relay/track"
)

// A layer of which the lowest frame rate alone came is not taken for one that costs no
// more in full.
func TestCostOfFramesLeftOut(t *testing.T) {
	seen := track.Rates{{16_000}, {18_000}}
	for _, c := range []struct {
		what string
		open relay.LayerSet
		full float64 // of the second layer
	}{
		{"nothing is left out", relay.NoLayers, 18_000},
		{"half the frames are", relay.Spatial(1) &^ relay.UpTo(1, 0), 36_000},
		{"some frames are", relay.Spatial(1) &^ relay.UpTo(1, 1), 24_000},
	} {
		got := costs(seen, c.open|relay.Spatial(2), false, [relay.MaxSpatial]bool{})
		if got[1][0] != 18_000 || got[1][relay.MaxTemporal-1] != c.full || got[2][relay.MaxTemporal-1] != layerStep*c.full {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}
