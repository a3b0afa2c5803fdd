package audio

import "sync/atomic"

const (
	second = int64(1e9)        // nanoseconds
	dB     = second / fadeRate // in which a voice fades by one decibel
)

// Voice is one track in a ranking. Hear and Passing are called by one goroutine at a
// time.
type Voice struct {
	ranking *Ranking
	owner   string
	relayed bool // another node lets only the loudest through

	last      int64 // when the last packet came
	before    int64 // its loudness
	peak      int64 // as fades, without steadyCost
	varied    int64 // when the loudness last changed as speech does
	tentative bool  // fades rests on a single packet

	// fades is when the loudest of what was heard will have faded to nothing. Fading is
	// linear in decibels and alike for all, so the order of voices is that of fades,
	// whatever the time.
	fades  atomic.Int64
	spoke  atomic.Int64 // when it last spoke
	heard  atomic.Int64 // when it was last above the floor
	inside atomic.Bool  // holds a slot
	until  atomic.Int64 // passes until then without a slot

	since int64 // when it took its slot; guarded by ranking.mu
}

// Hear takes one packet's level, in -dBov (0 loudest, 127 silence), and tells whether
// the packet passes.
func (v *Voice) Hear(now int64, level uint8) bool {
	r := v.ranking
	if r.limit.Load() == 0 {
		return true
	}
	loud := max(floor-max(int64(level), ceiling), 0)
	bid := v.note(now, loud)
	if loud > 0 && !v.inside.Load() && r.admits(bid) && r.enter(v, bid) {
		// What gave it the slot speaks for it until the next packet does.
		v.tentative = true
		v.fades.Store(max(v.fades.Load(), now+loud*dB))
	}
	return v.Passing(now)
}

// Passing tells whether a packet passes whose level says nothing: it has none, or it
// came late.
func (v *Voice) Passing(now int64) bool {
	r := v.ranking
	if r.limit.Load() == 0 {
		return true
	}
	if v.inside.Load() {
		if !v.gone(now) {
			return true
		}
		r.leave(v)
	}
	return now < v.until.Load()
}

// Leave gives the voice's slot back.
func (v *Voice) Leave() { v.ranking.leave(v) }

// gone tells whether the voice has lost its claim to a slot.
func (v *Voice) gone(now int64) bool { return now-v.heard.Load() > hold }

// bid is what a voice offers for a slot with one packet.
type bid struct {
	now    int64
	fades  int64 // as Voice.fades, by the last two packets
	speaks bool
}

// note files a packet's loudness in decibels above the floor.
func (v *Voice) note(now, loud int64) bid {
	if now-v.last > hold {
		v.before, v.peak, v.varied = 0, 0, now
		if v.relayed {
			v.before = loud // the node before has seen that it lasts
		}
	}
	v.last = now
	if loud > 0 {
		v.heard.Store(now)
	}
	lasting := min(loud, v.before)
	v.before = loud

	off := now + loud*dB - max(v.peak, now)
	if loud == 0 || off >= variation*dB || off <= -variation*dB {
		v.varied = now
	}
	v.peak = max(v.peak, now+lasting*dB)
	steady := now-v.varied > steadyAfter
	if steady {
		lasting = max(lasting-steadyCost, 0)
	}

	b := bid{now: now, fades: now + lasting*dB, speaks: loud >= speech && !steady}
	if b.speaks {
		v.spoke.Store(now)
	}
	if steady || v.tentative || b.fades > v.fades.Load() {
		v.fades.Store(b.fades)
	}
	v.tentative = false
	return b
}
