package bwe

import "math"

const (
	// blindGrowth is how fast the cap of a path without feedback grows again, per second.
	blindGrowth = 0.05
	// blindFree is how far above what is sent the cap is let go.
	blindFree = 3
)

// lossOnly judges a path by loss alone: it is without limit until more is lost than
// radio loses, then held a little below what arrives, and feels its way up.
type lossOnly struct {
	loss lossMeter
	cap  float64 // 0 is none
	at   int64
}

func (l *lossOnly) report(now int64, expected, lost int, rate float64) {
	lost = min(max(lost, 0), expected)
	if expected <= 0 {
		return
	}
	l.loss.lost += lost
	l.loss.received += expected - lost
	passed := min(max(float64(now-l.at)/1e9, 0), 2)
	l.at = now
	switch l.loss.settle(now) {
	case lossHigh:
		l.cap = min(max(rate*(1-l.loss.share)*cutLeast, senderLeast), senderMost)
	case lossOthers:
		l.cap = 0
	case lossFine:
		if l.cap *= 1 + blindGrowth*passed; l.cap > blindFree*rate && l.cap > senderStart {
			l.cap = 0
		}
	}
}

// remb takes what the client thinks that the path carries. It follows what arrives, so
// only what is less than is sent is a limit; it lifts one sooner than time does.
func (l *lossOnly) remb(now int64, estimate, rate float64) {
	switch {
	case estimate < rate:
		l.cap, l.at = min(max(estimate, senderLeast), senderMost), now
	case l.cap != 0 && estimate > l.cap:
		l.cap = min(estimate, senderMost)
	}
}

func (l *lossOnly) budget() float64 {
	if l.cap == 0 {
		return math.Inf(1)
	}
	return l.cap
}
