package link

import (
	"time"

	"maille/relay/wire"
)

const (
	// Audio is sent twice while more than doubleAbove of the datagrams are lost, until
	// fewer than doubleBelow are: a repair comes a round trip late, a copy does not, and
	// 80 bytes in a datagram that leaves anyway cost next to nothing. Above tripleAbove it
	// is sent three times.
	doubleAbove = 0.02
	doubleBelow = 0.012
	tripleAbove = 0.1
	// Losses come in runs: a copy leaves echoApart datagrams later at least, but waits no
	// longer for them than echoPatience.
	echoApart    = 8
	echoPatience = int64(40 * time.Millisecond)
	// maxEchoes bounds the copies that wait for a datagram, echoAge how long.
	maxEchoes = 128
	echoAge   = int64(80 * time.Millisecond)
	// echoWait is how long a copy that may leave waits for a datagram with room, such as the
	// next with audio, before it takes the place of a full packet of video.
	echoWait = int64(10 * time.Millisecond)
)

// doubler keeps audio that left in one bundle to leave again in a later one.
type doubler struct {
	copies  uint8 // of each packet, beside itself
	waiting fifo
	count   uint32 // datagrams
}

// judge decides on the copies by the loss of late.
func (d *doubler) judge(loss float64) {
	switch {
	case loss > tripleAbove:
		d.copies = 2
	case loss > doubleAbove:
		d.copies = 1
	case loss < doubleBelow:
		d.copies = 0
	}
}

// keep notes audio that was just put into a bundle.
func (d *doubler) keep(e entry, prev uint16, hasPrev bool, now int64) {
	if d.copies == 0 {
		return
	}
	e.p.Retain()
	e.repair, e.prev, e.hasPrev = true, prev, hasPrev
	e.copies = d.copies
	d.push(e, now)
}

func (d *doubler) push(e entry, now int64) {
	e.at, e.nth = now, d.count
	if gone := d.waiting.pushOver(e, maxEchoes); gone.p != nil {
		gone.p.Release()
	}
}

// ripe tells since when the oldest copy may leave, false if it may not.
func (d *doubler) ripe(now int64) (since int64, ok bool) {
	if d.waiting.len() == 0 {
		return 0, false
	}
	e := d.waiting.first()
	return e.at, d.count-e.nth >= echoApart || now-e.at >= echoPatience
}

// next returns a copy that may leave; p is nil when there is none.
func (d *doubler) next(now int64) entry {
	for {
		if _, ok := d.ripe(now); !ok {
			return entry{}
		}
		e := d.waiting.pop()
		if now-e.at <= echoAge {
			return e
		}
		e.p.Release()
	}
}

// back returns a copy that did not fit.
func (d *doubler) back(e entry) { d.waiting.pushFront(e) }

// first tells whether copies go before video in the bundle being built.
func (d *doubler) first(now int64, withAudio bool) bool {
	since, ok := d.ripe(now)
	return ok && (withAudio || now-since > echoWait)
}

// echo adds to a bundle what left in those before it, as far as it fits.
func (b *bundler) echo(bundle *wire.Bundle, now int64) {
	for !bundle.Full() {
		e := b.double.next(now)
		if e.p == nil {
			return
		}
		again := e.copies > 1
		if again {
			e.p.Retain()
		}
		if !b.add(bundle, e) {
			if again {
				e.p.Release()
			}
			b.double.back(e)
			return
		}
		if again {
			e.copies--
			b.double.push(e, now)
		}
		b.s.counters.doubled.Add(1)
	}
}
