package rtc

import (
	"maille/relay"
	"maille/relay/allocate"
	"maille/relay/track"
)

// Costs of layers that never came, in bytes per second: what browsers send of a camera
// in 180, 360 and 720 lines.
var usualCost = [relay.MaxSpatial]float64{20_000, 65_000, 220_000}

const (
	// layerStep is what a picture of twice the size costs, roughly.
	layerStep = 3
	// declaredMost is the most that a publisher's word counts, in usual costs: viewers'
	// paths are probed for it.
	declaredMost = 4
	// declaredOverhead is what packets take beyond the payload, that publishers do not
	// count.
	declaredOverhead = 1.1
	// calmest is how far a publisher whose lower layers take less than it said is trusted to
	// stay below that in upper ones.
	calmest = 0.5
)

// partly is what a picture is guessed to cost with some of its frames, of what it costs with
// all.
var partly = [relay.MaxTemporal]float64{0.5, 0.75, 1, 1}

// offer is what is known of a track's layers.
type offer struct {
	rates track.Rates
	known relay.LayerSet // that rates tell of
	// declared is what the publisher says that pictures take up to a spatial layer, in bytes
	// per second of payload, 0 where it says nothing; empty if it says not even how many
	// layers there are.
	declared []float64
	absent   [relay.MaxSpatial]bool // asked for, and not sent
	svc      bool
	// wide: the path was never found too narrow. A guess that is too low is soon corrected.
	wide bool
}

// costs tells what sending a track takes, layer by layer: from what its layers were seen to
// take in full, else from what the publisher says of them, else from what is usual. A layer
// that the publisher does not send costs nothing more than the one below it.
func (o *offer) costs() (out allocate.Rates) {
	for s := range out {
		var below [relay.MaxTemporal]float64
		if s > 0 {
			below = out[s-1]
		}
		switch {
		case s > 0 && o.missing(s):
			out[s] = below
			continue
		case !o.known.Has(uint8(s), 0):
			full := max(o.guess(s, below[relay.MaxTemporal-1]), below[relay.MaxTemporal-1])
			for t := range out[s] {
				out[s][t] = full * partly[t]
			}
			continue
		}
		sum, expected := 0.0, o.expected(s)
		if o.svc { // that is of all layers up to it
			expected = max(expected-below[relay.MaxTemporal-1], 0)
		}
		for t, rate := range o.rates[s] {
			sum += rate
			if t > 0 && !o.known.Has(uint8(s), uint8(t)) {
				sum = max(sum*partly[t]/partly[t-1], expected*partly[t])
			}
			out[s][t] = sum
			if o.svc {
				out[s][t] += below[t]
			}
			out[s][t] = max(out[s][t], below[t])
		}
	}
	return out
}

// missing tells that the publisher does not send a layer.
func (o *offer) missing(s int) bool {
	return o.absent[s] || len(o.declared) > 0 && s >= len(o.declared) && o.known&relay.Spatial(uint8(s)) == 0
}

// guess is for a layer that never came: what is expected, else from its neighbours, or
// what is usual.
func (o *offer) guess(s int, below float64) float64 {
	if rate := o.expected(s); rate > 0 {
		if o.wide {
			rate = min(rate, usualCost[s])
		}
		return rate
	}
	rate := usualCost[s]
	switch {
	case s > 0 && o.known.Has(uint8(s-1), 0):
		rate = layerStep * below
	case s+1 < relay.MaxSpatial && o.known.Has(uint8(s+1), 0):
		rate = min(rate, o.whole(s+1)/layerStep)
	}
	return rate
}

// whole is what all frames of a layer took.
func (o *offer) whole(s int) (rate float64) {
	for _, r := range o.rates[s] {
		rate += r
	}
	return rate
}

// expected is what the publisher says of a layer, less if the one below it takes less than
// it said; 0 if it said nothing.
func (o *offer) expected(s int) float64 {
	if s >= len(o.declared) || o.declared[s] <= 0 {
		return 0
	}
	rate := o.declared[s] * declaredOverhead
	if s > 0 && !o.svc && o.known&relay.Spatial(uint8(s-1)) == relay.Spatial(uint8(s-1)) && o.declared[s-1] > 0 {
		rate *= min(max(o.whole(s-1)/(o.declared[s-1]*declaredOverhead), calmest), 1)
	}
	return min(rate, declaredMost*usualCost[s])
}
