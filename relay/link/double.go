package link

import (
	"time"

	"maille/relay/wire"
)

const (
	// Audio is sent twice while more than doubleAbove of the datagrams are lost, until
	// fewer than doubleBelow are: a repair comes a round trip late, a copy does not, and
	// 80 bytes in a datagram that leaves anyway cost next to nothing.
	doubleAbove = 0.02
	doubleBelow = 0.012
	// maxEchoes bounds the copies that wait for the next datagram, echoAge how long.
	maxEchoes = 64
	echoAge   = int64(60 * time.Millisecond)
	// echoWait is how long a copy waits for a datagram with room, such as the next with
	// audio, before it takes the place of a full packet of video.
	echoWait = int64(10 * time.Millisecond)
	// Repairs are sent twice above doubleAbove too, up to twiceBelow, where they would take
	// more from what is new than they save.
	twiceBelow = 0.1
)

// repairsTwice tells whether a repair goes twice: there is hardly time for a second
// request, but where the path is full, two make it fuller.
func (s *Session) repairsTwice() bool {
	loss := s.sent.loss()
	return loss > doubleAbove && loss < twiceBelow && s.sent.rateCap() == 0
}

// doubler keeps audio that left in one bundle to leave again in the next.
type doubler struct {
	on      bool
	waiting fifo
	fresh   int // those at the end that are in the bundle being built
}

// judge switches doubling by the loss of late.
func (d *doubler) judge(loss float64) {
	if loss > doubleAbove {
		d.on = true
	} else if loss < doubleBelow {
		d.on = false
	}
}

// keep notes audio that was just put into a bundle.
func (d *doubler) keep(e entry, prev uint16, hasPrev bool) {
	if !d.on {
		return
	}
	e.p.Retain()
	e.repair, e.prev, e.hasPrev = true, prev, hasPrev
	d.fresh++
	if gone := d.waiting.pushOver(e, maxEchoes); gone.p != nil {
		gone.p.Release()
	}
}

// next returns a copy that waits since an earlier bundle; p is nil when there is none.
func (d *doubler) next(now int64) entry {
	for d.waiting.len() > d.fresh {
		e := d.waiting.pop()
		if now-e.at <= echoAge {
			return e
		}
		e.p.Release()
	}
	return entry{}
}

// back returns a copy that did not fit.
func (d *doubler) back(e entry) { d.waiting.pushFront(e) }

// first tells whether copies go before video in the bundle being built.
func (d *doubler) first(now int64) bool {
	return d.waiting.len() > d.fresh && (d.fresh > 0 || now-d.waiting.first().at > echoWait)
}

// echo adds to a bundle what left in those before it, as far as it fits.
func (b *bundler) echo(bundle *wire.Bundle, now int64) {
	for !bundle.Full() {
		e := b.double.next(now)
		if e.p == nil {
			return
		}
		if !b.add(bundle, e) {
			b.double.back(e)
			return
		}
		b.s.counters.doubled.Add(1)
	}
}
