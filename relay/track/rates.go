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
	// A layer that sent nothing for so long begins anew, with a keyframe, and no rate is
	// told from that: it would be several times what follows.
	rateSilent = 2e9 // nanoseconds
	// Its rate is then told first from rateSettle, and rateWindows in which something came:
	// one that was asked for by mistake ends before.
	rateSettle  = 1e9 // nanoseconds
	rateWindows = 3
	// partFor is how long an encoding of which something was left out on its way is taken
	// to have layers that were not seen.
	partFor = 2e9 // nanoseconds
	// packetOverhead is what a packet takes on a path beyond its payload: RTP and its
	// extensions, encryption, UDP and IP.
	packetOverhead = 66
)

// Rates are what each layer costs on a path by itself, in bytes per second with all
// headers; by spatial and temporal layer. What is not sent now keeps its last rate, and
// what never was is 0.
type Rates [relay.MaxSpatial][relay.MaxTemporal]float64

// meter measures the rates of a track's layers.
type meter struct {
	bytes [relay.MaxSpatial * relay.MaxTemporal]atomic.Uint64
	parts [relay.MaxSpatial]atomic.Uint64 // packets behind some that were left out, by encoding
	known atomic.Pointer[Rates]
	// open is the set of layers of encodings of which something is left out.
	open atomic.Uint32
	due  atomic.Int64 // next measurement

	mu     sync.Mutex // guards all below
	layers [relay.MaxSpatial * relay.MaxTemporal]layerMeter
	left   [relay.MaxSpatial]uint64 // parts, by the last measurement
	partAt [relay.MaxSpatial]int64  // the last one by which there were more, 0 none
}

// layerMeter is what is known of a layer between measurements.
type layerMeter struct {
	seen  uint64  // bytes, by the last measurement
	at    int64   // the last one that saw some
	since int64   // the one that its next rate counts from
	bytes float64 // since then
	n     int     // measurements that saw some, since then
}

func (m *meter) note(p *relay.Packet) {
	m.bytes[p.Spatial*relay.MaxTemporal+p.Temporal].Add(uint64(len(p.Payload) + packetOverhead))
	if p.Omitted > 0 {
		m.parts[p.Encoding].Add(1)
	}
}

// Rates returns what the layers cost lately, and the layers that may be left out on the way
// here: a rate of 0 then says nothing.
func (t *Track) Rates() (rates Rates, open relay.LayerSet) {
	now, m := t.now(), &t.meter
	if now >= m.due.Load() && m.mu.TryLock() {
		m.measure(now)
		m.mu.Unlock()
	}
	if r := m.known.Load(); r != nil {
		return *r, relay.LayerSet(m.open.Load())
	}
	return Rates{}, relay.NoLayers
}

// measure takes the window since the last one; the caller holds mu.
func (m *meter) measure(now int64) {
	var r Rates
	if old := m.known.Load(); old != nil {
		r = *old
	}
	for i := range m.layers {
		l, n := &m.layers[i], m.bytes[i].Load()
		got := float64(n - l.seen)
		l.seen = n
		switch {
		case got == 0:
			continue
		case l.at == 0 || now-l.at > rateSilent:
			*l = layerMeter{seen: n, at: now, since: now}
			continue
		}
		l.at, l.bytes, l.n = now, l.bytes+got, l.n+1
		l.settle(now, &r[i/relay.MaxTemporal][i%relay.MaxTemporal])
	}
	m.open.Store(uint32(m.leftOut(now)))
	m.due.Store(now + rateEvery)
	m.known.Store(&r)
}

// leftOut returns the layers of encodings of which something was left out lately.
func (m *meter) leftOut(now int64) (set relay.LayerSet) {
	for enc := range m.parts {
		if n := m.parts[enc].Load(); n != m.left[enc] {
			m.left[enc], m.partAt[enc] = n, now
		}
		if m.partAt[enc] != 0 && now-m.partAt[enc] < partFor {
			set |= relay.Spatial(uint8(enc))
		}
	}
	return set
}

// settle brings a rate up to date if it can be told already.
func (l *layerMeter) settle(now int64, rate *float64) {
	passed := float64(now - l.since)
	if passed < rateEvery || *rate == 0 && (passed < rateSettle || l.n < rateWindows) {
		return
	}
	got := l.bytes / passed * 1e9
	l.since, l.bytes, l.n = now, 0, 0
	follow := rateDown
	switch {
	case *rate == 0:
		*rate = got
		return
	case got > *rate:
		follow = rateUp
	}
	*rate += (got - *rate) * (1 - math.Pow(1-follow, passed/rateEvery))
}
