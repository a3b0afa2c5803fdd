package track

import "maille/relay"

// A publisher that is muted may go on sending: black pictures, or, if it is not honest,
// what it says it does not send. Sound is made silent by its gate (relay/audio); video
// goes no further than the track of the publisher's own node, so that it crosses no link
// and is in no ring.

// Mute makes a video track pass nothing from now on, or everything again, from the next
// keyframe of each encoding on, which is asked for. While it is muted nobody's request
// for a keyframe climbs. What is demanded of the source stays as it is: a publisher told
// that nobody watches would need a round trip more when it goes on.
func (t *Track) Mute(muted bool) {
	if t.muted.Swap(muted) == muted || muted {
		return
	}
	demand := t.Demand()
	for spatial := range uint8(relay.MaxSpatial) {
		if demand.HasSpatial(spatial) {
			t.keyframe(spatial)
		}
	}
}

// withheld reports whether p goes no further. The caller holds the encoding's turn.
func (t *Track) withheld(e *encoding, p *relay.Packet) bool {
	if t.muted.Load() {
		e.withheld = true
		return true
	}
	if !e.withheld {
		return false
	}
	if !p.Keyframe || !p.FrameStart {
		return true // no decoder could follow
	}
	e.withheld = false
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ring != nil {
		if newest, ok := e.ring.Newest(); ok {
			p.Omitted = p.Seq - newest - 1
		}
	}
	return false
}

// withhold counts p and, once the publisher is muted no more, asks for the keyframe that
// is waited for.
func (t *Track) withhold(p *relay.Packet) {
	t.drops.Add(relay.DropMuted)
	if t.Demand().HasSpatial(p.Encoding) {
		t.keyframe(p.Encoding)
	}
}
