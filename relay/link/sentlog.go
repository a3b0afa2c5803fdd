package link

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"maille/relay/bwe"
	"maille/relay/wire"
)

// lossGain makes the loss rate an average over some 500 datagrams.
const lossGain = 1.0 / 500

// sentLogSize covers a round trip of half a second at 8,000 datagrams a second.
const sentLogSize = 4096

// sentLog remembers datagrams until they are reported.
type sentLog struct {
	mu   sync.Mutex // guards the fields below
	ring []sentDatagram
	next uint16
	low  uint16 // nothing before it is unreported
	late uint16 // the peer's count of arrivals too late to report

	size     sizer
	estimate bwe.Estimator
	samples  []bwe.Sample
	clock    unwrapper
	lossRate float64       // share of datagrams lost, over the last few hundred
	cap      atomic.Uint64 // float64 bits of the estimate's cap
	lost     atomic.Uint64 // float64 bits of lossRate
}

// rateCap is what the whole link may send, in bytes per second; 0 is no limit.
func (g *sentLog) rateCap() float64 { return math.Float64frombits(g.cap.Load()) }

func (g *sentLog) state() (loss float64, queue time.Duration, cap float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lossRate, g.estimate.Queue(), g.estimate.Cap()
}

// path is what decides on the number of lanes.
func (g *sentLog) path() (loss, delivered float64, congested bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lossRate, g.estimate.Delivered(), g.estimate.Congested()
}

// limit caps the link to what arrives now.
func (g *sentLog) limit(now int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.estimate.Limit(now)
	g.cap.Store(math.Float64bits(g.estimate.Cap()))
}

// forgive undoes limit.
func (g *sentLog) forgive() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.estimate.Unlimit()
	g.cap.Store(math.Float64bits(g.estimate.Cap()))
}

// loss is the share of datagrams lost of late.
func (g *sentLog) loss() float64 { return math.Float64frombits(g.lost.Load()) }

// unwrapper turns the peer's 32-bit ticks into nanoseconds that only grow.
type unwrapper struct {
	last  uint32
	total int64
	begun bool
}

func (u *unwrapper) at(tick uint32) int64 {
	if !u.begun {
		u.begun, u.last, u.total = true, tick, 1<<32
	}
	d := int32(tick - u.last)
	at := u.total + int64(d)
	if d > 0 {
		u.last, u.total = tick, at
	}
	return at * wire.Tick
}

type sentDatagram struct {
	l    *lane // nil once reported or given up
	at   int64
	size int32
	seq  uint16
	held bool // the lane's window was full: it may have waited there
}

// note gives a datagram its link sequence number.
func (g *sentLog) note(l *lane, size int, held bool, now int64) (seq uint16) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ring == nil {
		g.ring = make([]sentDatagram, sentLogSize)
	}
	seq = g.next
	g.next++
	d := &g.ring[seq%sentLogSize]
	if d.l != nil { // never reported
		d.l.flying.Add(-int64(d.size))
	}
	*d = sentDatagram{l: l, at: now, size: int32(size), seq: seq, held: held}
	l.flying.Add(int64(size))
	g.size.sent(size-overhead, now)
	if seq-g.low >= sentLogSize {
		g.low = seq - sentLogSize + 1
	}
	return seq
}

// reported takes the peer's report.
func (s *Session) reported(b []byte, now int64) error {
	var buf [wire.MaxReport]wire.Arrival
	base, late, arrivals, err := wire.ParseReport(b, buf[:0])
	if err != nil {
		return err
	}
	s.sent.settle(base, late, arrivals, now, &s.counters)
	s.queue.roomier()
	return nil
}

// settle takes what was reported off the log. What lies before the report and was
// never reported is lost: every number is in two reports.
func (g *sentLog) settle(base, late uint16, arrivals []wire.Arrival, now int64, c *counters) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ring == nil {
		return
	}
	if int16(base-g.low) > 0 && int16(g.next-base) >= 0 {
		for ; g.low != base; g.low++ {
			if d := &g.ring[g.low%sentLogSize]; d.l != nil && d.seq == g.low {
				d.l.flying.Add(-int64(d.size))
				d.l.missed.Add(1)
				d.l = nil
				if g.size.missed(int(d.size)-overhead, d.at, now) {
					g.lossRate = 0 // what was lost for its size tells nothing of the rest
				}
				c.lost.Add(1)
				g.lossRate += (1 - g.lossRate) * lossGain
			}
		}
	}
	if n := late - g.late; n > 0 && n < sentLogSize {
		// They waited inside a lane and were taken for lost.
		g.late = late
		c.lost.Add(-uint64(min(uint64(n), c.lost.Load())))
		c.arrived.Add(uint64(n))
		g.lossRate = max(0, g.lossRate-float64(n)*lossGain)
	}
	g.samples = g.samples[:0]
	for i, a := range arrivals {
		seq := base + uint16(i)
		d := &g.ring[seq%sentLogSize]
		if !a.Got || d.l == nil || d.seq != seq {
			continue
		}
		d.l.flying.Add(-int64(d.size))
		d.l = nil
		g.size.came(int(d.size)-overhead, d.at)
		c.arrived.Add(1)
		g.lossRate -= g.lossRate * lossGain
		g.samples = append(g.samples, bwe.Sample{Sent: d.at, Arrived: g.clock.at(a.At), Size: int(d.size), Held: d.held})
	}
	g.estimate.Report(now, g.lossRate, g.samples)
	g.cap.Store(math.Float64bits(g.estimate.Cap()))
	g.lost.Store(math.Float64bits(g.lossRate))
}
