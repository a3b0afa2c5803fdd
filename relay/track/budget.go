package track

import "maille/relay"

// Keyframes cost a publisher three to ten ordinary frames, so requests are rationed
// at every node and with it at the origin: one per spatial layer and window.
const keyframeWindow = 500 * 1e6 // nanoseconds

// keyframeBudget decides when a keyframe request goes upstream. A request within
// the window is remembered and falls due at its end, unless a keyframe came
// meanwhile. It is pure: now is an argument, in nanoseconds.
type keyframeBudget struct {
	layers [relay.MaxSpatial]struct {
		asked   bool
		at      int64 // when it was last sent upstream, valid if asked
		pending bool
	}
}

// request reports whether to send a request for the layer at once.
func (b *keyframeBudget) request(now int64, spatial uint8) bool {
	l := &b.layers[spatial]
	if l.asked && now-l.at < keyframeWindow {
		l.pending = true
		return false
	}
	l.asked, l.at, l.pending = true, now, false
	return true
}

// remember keeps a request that cannot be sent now.
func (b *keyframeBudget) remember(spatial uint8) { b.layers[spatial].pending = true }

// arrived notes a keyframe of the layer: requests before it are served.
func (b *keyframeBudget) arrived(spatial uint8) { b.layers[spatial].pending = false }

// due reports whether a remembered request is to be sent now, and counts it as sent.
func (b *keyframeBudget) due(now int64, spatial uint8) bool {
	l := &b.layers[spatial]
	if !l.pending || l.asked && now-l.at < keyframeWindow {
		return false
	}
	l.asked, l.at, l.pending = true, now, false
	return true
}

// next returns when the earliest remembered request falls due, or never.
func (b *keyframeBudget) next() int64 {
	at := int64(never)
	for i := range b.layers {
		switch l := &b.layers[i]; {
		case l.pending && l.asked:
			at = min(at, l.at+keyframeWindow)
		case l.pending:
			at = 0
		}
	}
	return at
}
