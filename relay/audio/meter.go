// Package audio turns RFC 6464 audio levels into loudness: who speaks, how loud,
// and who is among the loudest of a room.
//
// It is pure: packets' levels and times go in, answers come out, so every node that
// sees the same packets gives the same answer. It reads header extensions only: what
// is said stays unread.
package audio

import (
	"math"
	"sync/atomic"
)

// Thresholds of the active-speaker detection, as LiveKit clients expect them
// (signalling.md 3.8): quieter than 35 dB below overload is not speech, and speech
// that fills less than 40 % of an interval is a click.
const (
	ThresholdDBov    = 35
	MinActivePercent = 40
	// Smoothing is how many intervals the reported level is averaged over.
	Smoothing = 2
	// levelSteps quantizes the reported level so that small changes are no news.
	levelSteps = 8
)

// Meter measures one audio track. Levels are the senders' own words: beyond those of
// speech they count no more, and a level that never varies is no speech (see Ranking). Observe may be called from the packet path;
// Evaluate from one goroutine.
type Meter struct {
	loudest atomic.Uint32 // 127 - smallest -dBov among active packets of the interval
	active  atomic.Uint32 // packets louder than the threshold
	total   atomic.Uint32 // packets with a level
	around  atomic.Uint32 // the level that the newest ones were near
	steady  atomic.Uint32 // how many of them in a row

	smoothed float64
}

// steadyPackets without variation are a fan, or a sender that lies about its level: as
// many as come in steadyAfter.
const steadyPackets = uint32(steadyAfter / (20 * second / 1000))

// Observe notes the level of one packet, in -dBov (0 loudest, 127 silence).
func (m *Meter) Observe(level uint8) {
	m.total.Add(1)
	if around := int(m.around.Load()); max(around-int(level), int(level)-around) >= variation {
		m.around.Store(uint32(level))
		m.steady.Store(0)
	} else {
		m.steady.Add(1)
	}
	if level > ThresholdDBov {
		return
	}
	m.active.Add(1)
	v := uint32(127 - max(level, ceiling))
	for {
		old := m.loudest.Load()
		if v <= old || m.loudest.CompareAndSwap(old, v) {
			return
		}
	}
}

// Evaluate ends an interval that should have held `expected` packets, and returns
// the smoothed linear level (0 to 1, in steps of 1/8) and whether the track speaks.
func (m *Meter) Evaluate(expected int) (level float32, speaking bool) {
	loudest, active := m.loudest.Swap(0), int(m.active.Swap(0))
	m.total.Store(0)
	var now float64
	if m.steady.Load() < steadyPackets && active > 0 && active*100 >= expected*MinActivePercent {
		dBov := -(127 - float64(loudest))
		// A packet at half the interval's length counts half: speech that just began
		// should not beat a steady speaker.
		weight := math.Min(1, float64(active)/float64(max(expected, 1)))
		now = math.Pow(10, dBov/20) * weight
	}
	m.smoothed += (now - m.smoothed) * 2 / (Smoothing + 1)
	if m.smoothed < math.Pow(10, -ThresholdDBov/20.0)/2 {
		m.smoothed = 0
		return 0, false
	}
	q := math.Ceil(m.smoothed*levelSteps) / levelSteps
	return float32(math.Min(1, q)), true
}
