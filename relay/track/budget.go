package track

import "maille/relay"

// Keyframes cost a publisher three to ten ordinary frames, so requests are rationed
// at every node and with it at the origin: one per spatial layer and window, and never
// so many that keyframes take more than a share of the layer's bitrate. Without the
// second bound a room of impatient receivers ruins a picture for an hour
// (cascading.md 3.5); beyond the longest window newcomers would wait too long.
const (
	keyframeWindow  = 500 * 1e6  // nanoseconds
	keyframeLongest = 4000 * 1e6 // nanoseconds
	keyframeShare   = 0.25
	keyframeRate    = 2 * 1e9 // nanoseconds that a layer's bitrate is measured over
)

// keyframeCost measures what keyframes take of one encoding. It is pure.
type keyframeCost struct {
	began   int64   // of the current measurement, 0 before the first packet
	bytes   int     // in it
	rate    float64 // bytes per nanosecond in the one before, 0 if there was none
	key     int     // bytes of the newest keyframe so far
	picture uint32  // its timestamp
}

// note counts one packet.
func (c *keyframeCost) note(p *relay.Packet) {
	switch span := p.Arrived - c.began; {
	case c.began == 0:
		c.began = p.Arrived
	case span >= keyframeRate:
		c.rate, c.began, c.bytes = float64(c.bytes)/float64(span), p.Arrived, 0
	}
	c.bytes += len(p.Payload)
	switch {
	case p.Keyframe && (c.key == 0 || p.Timestamp != c.picture):
		c.key, c.picture = len(p.Payload), p.Timestamp
	case c.key > 0 && p.Timestamp == c.picture:
		c.key += len(p.Payload)
	}
}

// gap is the least time between keyframes of the encoding, in nanoseconds.
func (c *keyframeCost) gap() int64 {
	if c.rate == 0 {
		return keyframeWindow
	}
	return int64(min(max(float64(c.key)/(keyframeShare*c.rate), keyframeWindow), keyframeLongest))
}

// keyframeBudget decides when a keyframe request goes upstream. A request within
// the window is remembered and falls due at its end, unless a keyframe came
// meanwhile. It is pure: now is an argument, in nanoseconds.
type keyframeBudget struct {
	layers [relay.MaxSpatial]struct {
		asked   bool
		at      int64 // when it was last sent upstream, valid if asked
		window  int64 // after at, in which no other is sent
		pending bool
	}
}

// request reports whether to send a request for the layer at once. gap is what the
// layer's keyframes cost, as a time to wait for the next.
func (b *keyframeBudget) request(now int64, spatial uint8, gap int64) bool {
	l := &b.layers[spatial]
	l.window = max(gap, keyframeWindow)
	if l.asked && now-l.at < l.window {
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
	if !l.pending || l.asked && now-l.at < l.window {
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
			at = min(at, l.at+l.window)
		case l.pending:
			at = 0
		}
	}
	return at
}
