package link

import (
	"sync"

	"maille/relay/wire"
)

// sentLogSize covers a round trip of half a second at 8,000 datagrams a second.
const sentLogSize = 4096

// sentLog remembers datagrams until they are reported.
type sentLog struct {
	mu   sync.Mutex // guards the fields below
	ring []sentDatagram
	next uint16
	low  uint16 // nothing before it is unreported
}

type sentDatagram struct {
	l    *lane // nil once reported or given up
	at   int64
	size int32
	seq  uint16
}

// note gives a datagram its link sequence number.
func (g *sentLog) note(l *lane, size int, now int64) (seq uint16) {
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
	*d = sentDatagram{l: l, at: now, size: int32(size), seq: seq}
	l.flying.Add(int64(size))
	if seq-g.low >= sentLogSize {
		g.low = seq - sentLogSize + 1
	}
	return seq
}

// reported takes the peer's report.
func (s *Session) reported(b []byte, now int64) error {
	var buf [wire.MaxReport]wire.Arrival
	base, arrivals, err := wire.ParseReport(b, buf[:0])
	if err != nil {
		return err
	}
	s.sent.settle(base, arrivals, now, &s.counters)
	return nil
}

// settle takes what was reported off the log. What lies before the report and was
// never reported is lost: every number is in two reports.
func (g *sentLog) settle(base uint16, arrivals []wire.Arrival, now int64, c *counters) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ring == nil {
		return
	}
	if int16(base-g.low) > 0 && int16(g.next-base) >= 0 {
		for ; g.low != base; g.low++ {
			if d := &g.ring[g.low%sentLogSize]; d.l != nil && d.seq == g.low {
				d.l.flying.Add(-int64(d.size))
				d.l = nil
				c.lost.Add(1)
			}
		}
	}
	for i, a := range arrivals {
		seq := base + uint16(i)
		d := &g.ring[seq%sentLogSize]
		if !a.Got || d.l == nil || d.seq != seq {
			continue
		}
		d.l.flying.Add(-int64(d.size))
		d.l = nil
		c.arrived.Add(1)
	}
}
