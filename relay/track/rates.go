package track

import (
	"sync"
	"sync/atomic"

	"maille/relay"
)

const (
	// rateEvery is how often rates are measured anew, while somebody asks.
	rateEvery = 500 * 1e6 // nanoseconds
	// Rates follow what is measured: rises soon, falls slowly, so that the pictures of a
	// calm second are not taken for what the next will cost.
	rateUp, rateDown = 0.4, 0.15
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
	due   atomic.Int64 // next measurement

	mu   sync.Mutex // guards all below
	at   int64      // of the last measurement
	then [relay.MaxSpatial * relay.MaxTemporal]uint64
}

func (m *meter) note(p *relay.Packet) {
	m.bytes[p.Spatial*relay.MaxTemporal+p.Temporal].Add(uint64(len(p.Payload) + packetOverhead))
}

// Rates returns what the layers cost lately.
func (t *Track) Rates() Rates {
	now, m := t.now(), &t.meter
	if now >= m.due.Load() && m.mu.TryLock() {
		m.measure(now)
		m.mu.Unlock()
	}
	if r := m.known.Load(); r != nil {
		return *r
	}
	return Rates{}
}

// measure takes the window since the last one; the caller holds mu.
func (m *meter) measure(now int64) {
	var r Rates
	if old := m.known.Load(); old != nil {
		r = *old
	}
	passed := float64(now-m.at) / 1e9
	for i := range m.bytes {
		n := m.bytes[i].Load()
		got := float64(n-m.then[i]) / passed
		m.then[i] = n
		rate := &r[i/relay.MaxTemporal][i%relay.MaxTemporal]
		switch {
		case got == 0 || m.at == 0 || passed <= 0 || passed > 10:
		case *rate == 0:
			*rate = got
		case got > *rate:
			*rate += (got - *rate) * rateUp
		default:
			*rate += (got - *rate) * rateDown
		}
	}
	m.at = now
	m.due.Store(now + rateEvery)
	m.known.Store(&r)
}
