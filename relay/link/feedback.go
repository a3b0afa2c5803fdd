package link

import (
	"math/bits"
	"slices"
	"sync"
	"time"

	"maille/relay/wire"
)

// Arrivals are reported after reportEvery, or once there are reportFull of them: what is in
// flight need not be known as well as QUIC's own acknowledgements tell QUIC. A report costs
// a datagram of some 100 bytes, and a wake of both nodes, so there is none within
// reportApart of another.
const (
	reportEvery = int64(25 * time.Millisecond)
	reportFull  = 96
	reportApart = int64(5 * time.Millisecond)
	// lateAfter is how long a datagram stays in reports at least: those of one burst come
	// apart by what lanes hold back, while the reports about it follow each other at once.
	lateAfter = int64(25 * time.Millisecond)
	// maxMarks bounds the reports that speak of one datagram.
	maxMarks = 8
	// A request leaves a second time after askAgain: one that is lost costs a round trip
	// and more, and for most pictures there is no time for that. Not at once, because what
	// follows closely is lost together. maxCopies bounds those that wait for it.
	askAgain  = int64(5 * time.Millisecond)
	maxCopies = 16
)

// askCopy is a request that is to leave again.
type askCopy struct {
	at int64
	b  []byte // from newDatagram
}

// sendFeedback sends the report and the repair requests that are due, and returns when
// to come again.
func (s *Session) sendFeedback(now int64) (next int64) {
	next = never
	if at := s.arrivals.due(now); at <= now {
		var buf [wire.MaxReport]wire.Arrival
		base, late, list := s.arrivals.take(now, buf[:0])
		for len(list) > 0 {
			b, n := wire.AppendReport(newDatagram(), base, late, list)
			s.urgent(b)
			base, list = base+uint16(n), list[n:]
		}
		next = s.arrivals.due(now)
	} else {
		next = at
	}
	return min(next, s.sendAsks(now), s.sendCopies(now), s.sendSeconds(now))
}

// sendCopies repeats the requests whose time has come.
func (s *Session) sendCopies(now int64) (next int64) {
	for len(s.copies) > 0 && s.copies[0].at <= now {
		s.urgent(s.copies[0].b)
		s.copies = slices.Delete(s.copies, 0, 1)
	}
	if len(s.copies) == 0 {
		return never
	}
	return s.copies[0].at
}

// ask sends a request, and keeps a copy.
func (s *Session) ask(gaps []wire.Gap, now int64) {
	b := wire.AppendAsk(newDatagram(), gaps)
	if len(s.copies) < maxCopies {
		s.copies = append(s.copies, askCopy{now + askAgain, append(newDatagram(), b...)})
	}
	for _, g := range gaps {
		s.counters.asks.Add(uint64(bits.OnesCount32(g.Mask)))
	}
	s.urgent(b)
}

// sendAsks asks for the gaps that are due, in as few datagrams as hold them.
func (s *Session) sendAsks(now int64) (next int64) {
	next = never
	var buf [wire.MaxGaps]wire.Gap
	gaps := buf[:0]
	flush := func() {
		if len(gaps) > 0 {
			s.ask(gaps, now)
			gaps = gaps[:0]
		}
	}
	s.gapped = s.ins.takeGaps(s.gapped)
	for _, u := range s.gapped {
		u.gapped.Store(false)
		soonest := never
		for enc := range u.in {
			in := &u.in[enc]
			in.Lock()
			if in.chain != nil {
				soonest = min(soonest, in.due(now, s.rtt.Load(), func(from uint16, mask uint32) {
					gaps = append(gaps, wire.Gap{Handle: u.handle, Encoding: uint8(enc), From: from, Mask: mask})
					if len(gaps) == cap(gaps) {
						flush()
					}
				}))
				u.release(&in.inEncoding, false)
			}
			u.climb(uint8(enc), in.chain) // after what was just given up
			in.Unlock()
		}
		if soonest < never {
			s.ins.keepGap(u)
			next = min(next, soonest)
		}
	}
	flush()
	return next
}

// urgent sends a datagram of feedback on the next lane that is not stuck, or on the
// control connection before there are lanes. Feedback is small and does not wait.
func (s *Session) urgent(b []byte) {
	lanes := s.lanes.all()
	if s.small.Load() {
		lanes = nil // where it would make a packet of a datagram of media too large
	}
	s.turn++
	for i := range lanes {
		if l := lanes[(s.turn+i)%len(lanes)]; len(l.out) == 0 {
			l.offer(b)
			return
		}
	}
	s.control.offer(b)
}

// arrivalLog is what came since the reports before last, by link sequence.
type arrivalLog struct {
	mu     sync.Mutex // guards the fields below
	ring   [2 * wire.MaxReport]arrival
	newest uint16
	begun  bool
	fresh  int    // datagrams that came since the last report
	at     int64  // when the next report is due
	taken  int64  // when the last one left
	look   int64  // until then the upkeep looks by itself
	from   uint16 // where the next report begins
	late   uint16 // came after it could be in any report
	marks  [maxMarks]reportMark
	marked int
}

// reportMark is where a report ended.
type reportMark struct {
	end uint16
	at  int64
}

type arrival struct {
	seq uint16
	got bool
	at  uint32
}

// note records a datagram; wake tells that a report is now due which was not before.
func (a *arrivalLog) note(seq uint16, now int64) (wake bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.begun {
		a.begun, a.newest, a.from, a.at = true, seq, seq, now
	}
	if int16(seq-a.newest) > 0 {
		// Slots skipped over hold what is a turn old.
		for q := a.newest + 1; q != seq && seq-q < uint16(len(a.ring)); q++ {
			a.ring[int(q)%len(a.ring)] = arrival{seq: q}
		}
		a.newest = seq
	}
	if int16(seq-a.from) < 0 {
		a.late++
	}
	a.ring[int(seq)%len(a.ring)] = arrival{seq: seq, got: true, at: uint32(now / wire.Tick)}
	a.fresh++
	switch a.fresh {
	case 1:
		a.at = now + reportEvery
	case reportFull:
		a.at = max(now, a.taken+reportApart)
	default:
		return false
	}
	if a.at >= a.look {
		return false
	}
	a.look = a.at
	return true
}

// due tells when to come again. While packets come there is a report every reportEvery at
// least, for which nobody needs to be woken.
func (a *arrivalLog) due(now int64) (at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.fresh > 0:
		at = a.at
	case a.begun && now-a.taken < 2*reportEvery:
		at = now + reportEvery
	default:
		at = never
	}
	a.look = at
	return at
}

// take returns what the next report says: everything since the report before the last at
// least, so that one lost report loses nothing.
func (a *arrivalLog) take(now int64, dst []wire.Arrival) (base, late uint16, list []wire.Arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	base = a.from
	if n := a.newest - base; n >= wire.MaxReport {
		base = a.newest - wire.MaxReport + 1
	}
	list = dst[:0]
	for q := base; ; q++ {
		e := a.ring[int(q)%len(a.ring)]
		list = append(list, wire.Arrival{Got: e.got && e.seq == q, At: e.at})
		if q == a.newest {
			break
		}
	}
	for i := range list {
		if !list[i].Got {
			list[i].At = 0
		}
	}
	old := 0
	for old < a.marked && (now-a.marks[old].at >= lateAfter || a.marked == maxMarks && old == 0) {
		a.from = a.marks[old].end
		old++
	}
	a.marked = copy(a.marks[:], a.marks[old:a.marked])
	a.marks[a.marked] = reportMark{a.newest + 1, now}
	a.marked++
	a.fresh, a.taken = 0, now
	return base, a.late, list
}
