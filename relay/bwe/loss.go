package bwe

import (
	"math"
	"time"
)

const (
	// lossLimit is the loss beyond which something is wrong with the rate: radio loses
	// less that its own repair does not fill.
	lossLimit = 0.1
	// lossMost is how far the limit yields to loss that does not depend on the rate.
	lossMost = 0.5
	// lossWindow and lossPackets are the least that loss is told from.
	lossWindow  = int64(500 * time.Millisecond)
	lossPackets = 50
	// lossTries decreases that did not help, it is the path's own.
	lossTries = 2
	// lossFade is how long the limit takes to come back, in windows.
	lossFade = 60
)

type lossVerdict uint8

const (
	lossFine lossVerdict = iota
	// lossHigh asks for less: a policer, or a queue too short to see.
	lossHigh
	// lossOthers says that less did not help.
	lossOthers
)

// lossMeter measures loss in windows, and tells what rate causes from what the path
// loses anyway.
type lossMeter struct {
	lost, received int
	began          int64
	share          float64 // of the last window
	limit          float64
	before         float64 // share that led to the last decrease
	tries          int
}

func (m *lossMeter) came(late bool) {
	m.received++
	if late {
		m.lost = max(m.lost-1, 0)
	}
}

// settle closes the window if it is long enough.
func (m *lossMeter) settle(now int64) lossVerdict {
	n := m.lost + m.received
	if now-m.began < lossWindow || n < lossPackets && now-m.began < 6*lossWindow || n == 0 {
		return lossFine
	}
	m.share = float64(m.lost) / float64(n)
	few := 2 * math.Sqrt(m.limit*(1-m.limit)/float64(n)) // two deviations: chance
	m.lost, m.received, m.began = 0, 0, now
	if m.share <= m.limit+few {
		m.limit = max(m.limit-(m.limit-lossLimit)/lossFade, lossLimit)
		if m.share < m.limit/2 {
			m.tries = 0
		}
		return lossFine
	}
	if m.tries > 0 && m.share < 0.7*m.before {
		m.tries = 0 // that helped
	}
	m.before = m.share
	if m.tries++; m.tries <= lossTries {
		return lossHigh
	}
	m.tries = 0
	m.limit = min(1.5*m.share, lossMost)
	return lossOthers
}
