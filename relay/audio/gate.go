package audio

import (
	"sync/atomic"

	"maille/relay"
)

// Layers of an audio track. A node that relays it, and most subscribers, want the
// first only.
const (
	Loud   uint8 = 0 // temporal layer of packets among the loudest
	Silent uint8 = 1 // and of those that are not
)

const (
	// idle is how long a track may send nothing and still be the same stretch: its
	// sequence numbers may have wrapped meanwhile.
	idle = 10 * second
	// late is how far back a sequence number is a late packet, as far as the track's
	// ring reaches, and not a stream that began anew.
	late = 256
)

// Gate sorts the packets of one audio track into layers, and says of those that pass
// how many before them do not (relay.Packet.Omitted), so that no subscriber takes
// them for lost. It is the track's track.Classifier.
//
// A packet that was silent at the node it came from stays silent. So a packet passes
// when it is among the loudest everywhere on its way.
type Gate struct {
	voice *Voice // nil: all pass
	meter *Meter // nil: measured elsewhere
	muted atomic.Bool

	begun   bool
	leveled bool // packets carry a level
	silent  bool // silent ones came since the newest that passed
	ssrc    uint32
	newest  uint16
	passed  uint16 // the newest that passed
	arrived int64
}

// NewGate returns the gate of a track. Without a voice all its packets pass; with a
// meter their levels are measured.
func NewGate(v *Voice, m *Meter) *Gate { return &Gate{voice: v, meter: m} }

// Mute makes all packets silent ones from now on, or no more. It may be called by any
// goroutine.
func (g *Gate) Mute(muted bool) { g.muted.Store(muted) }

// Classify sets the packet's layer. It is called in turn for each packet of the track.
func (g *Gate) Classify(p *relay.Packet) {
	fresh := g.order(p)
	if fresh && p.HasLevel && g.meter != nil {
		g.meter.Observe(p.Level)
	}
	if p.Temporal == Loud && (g.muted.Load() || !g.loud(p, fresh)) {
		p.Temporal = Silent
	}
	switch {
	case !fresh:
	case p.Temporal != Loud:
		g.silent = true
	default:
		if g.silent {
			// What is missing among silent packets is no loss anyone would hear.
			p.Omitted = p.Seq - g.passed - 1
		}
		g.silent, g.passed = false, p.Seq
	}
}

// order tells whether the packet is the newest.
func (g *Gate) order(p *relay.Packet) bool {
	ahead, paused := int16(p.Seq-g.newest), p.Arrived-g.arrived
	g.arrived = p.Arrived
	if !g.begun || p.SSRC != g.ssrc || ahead <= -late || paused > idle {
		g.begun, g.ssrc, g.silent, g.passed = true, p.SSRC, false, p.Seq-1
	} else if ahead <= 0 {
		return false
	}
	g.newest = p.Seq
	return true
}

// loud tells whether the packet is among the loudest. A track whose packets carry no
// level cannot be ranked and passes.
func (g *Gate) loud(p *relay.Packet, fresh bool) bool {
	g.leveled = g.leveled || p.HasLevel
	switch {
	case g.voice == nil || !g.leveled:
		return true
	case fresh && p.HasLevel:
		return g.voice.Hear(p.Arrived, p.Level)
	}
	return g.voice.Passing(p.Arrived)
}
