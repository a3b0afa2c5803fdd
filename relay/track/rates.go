package track

import (
	"math"
	"sync"
	"sync/atomic"

	"maille/relay"
)

const (
	// rateEvery is how often rates are measured anew, while somebody asks.
	rateEvery = 500 * 1e6 // nanoseconds
	// Rates follow what is measured: rises soon, falls slowly, so that the pictures of a
	// calm second are not taken for what the next will cost. Shares of the difference,
	// every rateEvery.
	rateUp, rateDown = 0.25, 0.15
	// A layer that sent nothing for so long, or of which nobody wants anything any more when
	// it stops, begins anew, with a keyframe, and no rate is told from that: it would be
	// several times what follows.
	rateSilent = 2e9 // nanoseconds
	// Its rate is then told first from rateSettle, and rateWindows in which something came:
	// one that was asked for by mistake ends before.
	rateSettle  = 1e9 // nanoseconds
	rateWindows = 3
	// packetOverhead is what a packet takes on a path beyond its payload: RTP and its
	// extensions, encryption, UDP and IP.
	packetOverhead = 66
)

// Rates are what each layer costs on a path by itself, in bytes per second with all
// headers; by spatial and temporal layer. What is not sent now keeps its last rate.
type Rates [relay.MaxSpatial][relay.MaxTemporal]float64

// meter measures the rates of a track's layers. A rate is told only from time in which the
// layer came in full: not from what came as it was asked for or given up, and not from an
// encoding of which it was left out on the way.
type meter struct {
	bytes   [relay.MaxSpatial * relay.MaxTemporal]atomic.Uint64
	parts   [relay.MaxSpatial]atomic.Uint64 // packets behind some that were left out, by encoding
	layered atomic.Bool                     // an encoding holds several spatial layers
	asked   asked
	known   atomic.Pointer[measured]
	due     atomic.Int64 // next measurement

	mu      sync.Mutex                                   // guards all below
	seen    [relay.MaxSpatial * relay.MaxTemporal]uint64 // bytes, by the last measurement
	left    [relay.MaxSpatial]uint64                     // parts, likewise
	wanted  relay.LayerSet                               // what was asked for all the time before it
	spatial [relay.MaxSpatial]spatialMeter
}

// measured is what was told of a track so far.
type measured struct {
	rates Rates
	known relay.LayerSet
}

// asked is what the source was asked for, since the last measurement all the time and now.
type asked struct{ always, now atomic.Uint32 }

func (a *asked) set(want relay.LayerSet) {
	a.now.Store(uint32(want))
	a.always.And(uint32(want))
}

// take returns what was asked for all the time, and begins anew.
func (a *asked) take() relay.LayerSet {
	always := a.always.Load()
	for {
		now := a.now.Load()
		if a.always.Store(now); a.now.Load() == now {
			return relay.LayerSet(always)
		}
	}
}

func (m *meter) note(p *relay.Packet) {
	m.bytes[p.Spatial*relay.MaxTemporal+p.Temporal].Add(uint64(len(p.Payload) + packetOverhead))
	if p.Omitted > 0 {
		m.parts[p.Encoding].Add(1)
	}
	if p.Spatial != p.Encoding && !m.layered.Load() {
		m.layered.Store(true)
	}
}

// Rates returns what the layers cost when they last came in full, and the layers of which
// that is known.
func (t *Track) Rates() (rates Rates, known relay.LayerSet) {
	now, m := t.now(), &t.meter
	if now >= m.due.Load() && m.mu.TryLock() {
		m.measure(now)
		m.mu.Unlock()
	}
	if r := m.known.Load(); r != nil {
		return r.rates, r.known
	}
	return Rates{}, relay.NoLayers
}

// measure takes the window since the last one; the caller holds mu.
func (m *meter) measure(now int64) {
	var r measured
	if old := m.known.Load(); old != nil {
		r = *old
	}
	wanted, clean, before := m.asked.take(), m.untouched(), m.wanted
	m.wanted = wanted
	for s := range m.spatial {
		w := window{
			asked: wanted.HasSpatial(uint8(s)), clean: clean.HasSpatial(uint8(s)),
			wanted: wanted & before, // what was asked for just now may still be on its way
		}
		for t := range w.bytes {
			i := s*relay.MaxTemporal + t
			n := m.bytes[i].Load()
			w.bytes[t] = float64(n - m.seen[i])
			m.seen[i] = n
		}
		m.spatial[s].take(now, w, uint8(s), &r)
	}
	m.due.Store(now + rateEvery)
	m.known.Store(&r)
}

// untouched returns the layers of encodings of which nothing was left out since the last
// measurement.
func (m *meter) untouched() relay.LayerSet {
	set := relay.AllLayers
	for enc := range m.parts {
		n := m.parts[enc].Load()
		if n == m.left[enc] {
			continue
		}
		if m.left[enc] = n; m.layered.Load() {
			return relay.NoLayers
		}
		set &^= relay.Spatial(uint8(enc))
	}
	return set
}

// window is what came of a spatial layer between two measurements.
type window struct {
	asked  bool           // some of it was, all the time
	wanted relay.LayerSet // what was asked for, before it too
	clean  bool           // nothing of its encoding was left out
	bytes  [relay.MaxTemporal]float64
}

// spatialMeter is what is known of a spatial layer between measurements. The zero value is
// of one that does not come.
type spatialMeter struct {
	at    int64 // the last one that saw some
	asked bool  // it was at some time since it came
	// The newest window may be the one that it ended in, so it waits here.
	held window
	// What the next rate is told from.
	since int64
	n     int // windows
	bytes [relay.MaxTemporal]float64
	whole relay.LayerSet // what came in full all the time, if at all
}

func (l *spatialMeter) take(now int64, w window, s uint8, r *measured) {
	came := 0.0
	for _, n := range w.bytes {
		came += n
	}
	switch {
	case came == 0 && l.asked && !w.asked: // given up
		*l = spatialMeter{}
	case came == 0: // pictures may be rare
	case l.at == 0 || now-l.at > rateSilent:
		*l = spatialMeter{at: now, asked: w.asked, since: now, whole: relay.AllLayers}
	default:
		l.count(s, w.clean, r)
		l.held, l.at, l.asked = w, now, l.asked || w.asked
	}
}

// count takes the window that was held: the layer went on after it. What was left out of
// its end, the next one tells.
func (l *spatialMeter) count(s uint8, clean bool, r *measured) {
	if l.at == l.since {
		return // none is
	}
	clean = clean && l.held.clean
	for t, n := range l.held.bytes {
		l.bytes[t] += n
		if !clean && (n == 0 || !l.held.wanted.Has(s, uint8(t))) {
			l.whole &^= relay.Layer(s, uint8(t))
		}
	}
	l.n++
	passed, first := float64(l.at-l.since), r.known&relay.Spatial(s) == 0
	if passed < rateEvery || first && (passed < rateSettle || l.n < rateWindows) {
		return
	}
	for t := range l.bytes {
		layer := relay.Layer(s, uint8(t))
		if l.whole&layer == 0 {
			continue
		}
		follow(&r.rates[s][t], l.bytes[t]/passed*1e9, passed, r.known&layer != 0)
		r.known |= layer
	}
	*l = spatialMeter{at: l.at, asked: l.asked, since: l.at, whole: relay.AllLayers}
}

// follow brings a rate up to date with what was measured for some time.
func follow(rate *float64, got, passed float64, known bool) {
	share := rateDown
	switch {
	case !known:
		*rate = got
		return
	case got > *rate:
		share = rateUp
	}
	*rate += (got - *rate) * (1 - math.Pow(1-share, passed/rateEvery))
}
