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
	// A layer that was asked for in so many measurements, and never came, is none.
	askedWindows = 4
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
	known atomic.Pointer[Rates]
	// open is the set of layers of which nothing is known, not even that there are none.
	open atomic.Uint32
	due  atomic.Int64 // next measurement

	mu     sync.Mutex // guards all below
	layers [relay.MaxSpatial * relay.MaxTemporal]layerMeter
}

// layerMeter is what is known of a layer between measurements.
type layerMeter struct {
	seen  uint64  // bytes, by the last measurement
	at    int64   // the last one that saw some
	since int64   // the one that its next rate counts from
	bytes float64 // since then
	n     int     // measurements that saw some, since then
	asked int     // measurements in a row for which it was asked for
}

func (m *meter) note(p *relay.Packet) {
	m.bytes[p.Spatial*relay.MaxTemporal+p.Temporal].Add(uint64(len(p.Payload) + packetOverhead))
}

// Rates returns what the layers cost lately, and the layers of which that is not known
// because nobody has asked for them yet.
func (t *Track) Rates() (rates Rates, open relay.LayerSet) {
	now, m := t.now(), &t.meter
	if now >= m.due.Load() && m.mu.TryLock() {
		m.measure(now, t.Demand())
		m.mu.Unlock()
	}
	if r := m.known.Load(); r != nil {
		return *r, relay.LayerSet(m.open.Load())
	}
	return Rates{}, relay.AllLayers
}

// measure takes the window since the last one; the caller holds mu.
func (m *meter) measure(now int64, demand relay.LayerSet) {
	var r Rates
	open := relay.NoLayers
	if old := m.known.Load(); old != nil {
		r = *old
	}
	for i := range m.layers {
		l, n := &m.layers[i], m.bytes[i].Load()
		got := float64(n - l.seen)
		l.seen = n
		spatial, temporal := uint8(i/relay.MaxTemporal), uint8(i%relay.MaxTemporal)
		if l.asked++; !demand.Has(spatial, temporal) {
			l.asked = 0
		}
		if r[spatial][temporal] == 0 && l.asked < askedWindows {
			open |= relay.Layer(spatial, temporal)
		}
		switch {
		case got == 0:
			continue
		case l.at == 0 || now-l.at > rateSilent:
			*l = layerMeter{seen: n, at: now, since: now, asked: l.asked}
			continue
		}
		l.at, l.bytes, l.n = now, l.bytes+got, l.n+1
		l.settle(now, &r[spatial][temporal])
	}
	m.open.Store(uint32(open))
	m.due.Store(now + rateEvery)
	m.known.Store(&r)
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
