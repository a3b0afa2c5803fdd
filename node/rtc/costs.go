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
)

// partly is what a picture is guessed to cost with some of its frames, of what it costs with
// all.
var partly = [relay.MaxTemporal]float64{0.5, 0.75, 1, 1}

// costs tells what sending a track takes, layer by layer, from what its layers were
// seen to take. A layer that the publisher does not send costs nothing more than the
// one below it; open are those that may be there and are left out on the way.
func costs(seen track.Rates, open relay.LayerSet, svc bool, absent [relay.MaxSpatial]bool) (out allocate.Rates) {
	var whole [relay.MaxSpatial]float64
	for s := range seen {
		for t := range seen[s] {
			whole[s] += seen[s][t]
		}
	}
	for s := range whole {
		var below [relay.MaxTemporal]float64
		if s > 0 {
			below = out[s-1]
		}
		switch {
		case absent[s] && s > 0:
			out[s] = below
			continue
		case whole[s] == 0:
			out[s] = guess(whole, s, below[relay.MaxTemporal-1])
			continue
		}
		sum := 0.0
		for t := range seen[s] {
			sum += seen[s][t]
			if t > 0 && seen[s][t] == 0 && open.Has(uint8(s), uint8(t)) {
				sum *= partly[t] / partly[t-1]
			}
			out[s][t] = sum
			if svc {
				out[s][t] += below[t]
			}
			out[s][t] = max(out[s][t], below[t]) // or it was seen for too short
		}
	}
	return out
}

// guess is for a layer that never came: from its neighbours, or what is usual.
func guess(whole [relay.MaxSpatial]float64, s int, below float64) (out [relay.MaxTemporal]float64) {
	rate := usualCost[s]
	switch {
	case s > 0 && whole[s-1] > 0:
		rate = layerStep * below
	case s+1 < len(whole) && whole[s+1] > 0:
		rate = min(rate, whole[s+1]/layerStep)
	}
	for t := range out {
		out[t] = rate * partly[t]
	}
	return out
}
