package link

import (
	"sync"
	"time"

	"maille/relay"
)

const (
	// Repairs of video are sent twice above twiceAbove, up to twiceBelow, where they would
	// take more from what is new than they save; those of audio from doubleAbove on. The
	// second follows after twiceAfter, when the run of losses that took the first is over.
	twiceAbove = 0.003
	twiceBelow = 0.1
	twiceAfter = int64(6 * time.Millisecond)
	// maxSeconds bounds the second answers that wait.
	maxSeconds = 512
)

// repairsTwice tells whether a repair goes twice: there is hardly time for a second
// request, but where the path is full, two make it fuller.
func (s *Session) repairsTwice(kind relay.Kind) bool {
	loss := s.sent.loss()
	if kind == relay.Audio {
		return loss > doubleAbove
	}
	return loss > twiceAbove && loss < twiceBelow && s.sent.rateCap() == 0
}

// seconds are answers that are to leave again.
type seconds struct {
	mu      sync.Mutex // guards waiting
	waiting fifo
}

// put keeps an answer, retaining its packet; false when nothing waited before it.
func (l *seconds) put(e entry) (first bool) {
	e.p.Retain()
	l.mu.Lock()
	defer l.mu.Unlock()
	if gone := l.waiting.pushOver(e, maxSeconds); gone.p != nil {
		gone.p.Release()
	}
	return l.waiting.len() == 1
}

// take returns the answer that is due; e.p is nil when there is none, and next when there
// will be.
func (l *seconds) take(now int64) (e entry, next int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting.len() == 0 {
		return entry{}, never
	}
	if due := l.waiting.first().at + twiceAfter; due > now {
		return entry{}, due
	}
	return l.waiting.pop(), 0
}

func (l *seconds) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting.release()
}

// sendSeconds queues the second answers whose time has come.
func (s *Session) sendSeconds(now int64) (next int64) {
	for {
		e, next := s.seconds.take(now)
		if e.p == nil {
			return next
		}
		e.at = now
		e.out.requeue(e)
		e.p.Release()
	}
}
