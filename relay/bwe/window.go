package bwe

import "time"

// minWindow is the minimum over the last twenty to thirty seconds: long enough to
// remember an empty queue, short enough to follow a route change and clock drift.
type minWindow struct {
	slots [3]int64
	began int64
	begun bool
}

const minSlot = int64(10 * time.Second)

func (m *minWindow) add(now, v int64) (least int64) {
	if !m.begun {
		m.begun, m.began, m.slots = true, now, [3]int64{v, v, v}
	}
	if now-m.began > minSlot {
		m.slots = [3]int64{m.slots[1], m.slots[2], v}
		m.began = now
	}
	m.slots[2] = min(m.slots[2], v)
	return m.least()
}

func (m *minWindow) least() int64 { return min(m.slots[0], m.slots[1], m.slots[2]) }

// rateMeter measures rates by times that need not come in order.
type rateMeter struct {
	slots  [rateSlots + 1]float64 // the newest is still filling
	newest int64                  // slot number
	begun  bool
}

const (
	rateSlots   = 10
	rateSlot    = int64(20 * time.Millisecond)
	recentSlots = 4
)

func (m *rateMeter) slot(n int64) *float64 {
	const size = int64(rateSlots + 1)
	return &m.slots[(n%size+size)%size]
}

func (m *rateMeter) add(at int64, size int) {
	n := at / rateSlot
	if !m.begun || n-m.newest > rateSlots {
		m.begun, m.newest = true, n
		clear(m.slots[:])
	}
	for m.newest < n {
		m.newest++
		*m.slot(m.newest) = 0
	}
	if m.newest-n <= rateSlots {
		*m.slot(n) += float64(size)
	}
}

// mean is the rate over the last 200 ms, in units per second.
func (m *rateMeter) mean() float64 { return m.over(rateSlots) }

// recent is the rate over the last 80 ms: while a queue stands, that is what the path
// carries, even if it has only just begun to be full.
func (m *rateMeter) recent() float64 { return m.over(recentSlots) }

func (m *rateMeter) over(slots int64) float64 {
	sum := 0.0
	for i := int64(1); i <= slots; i++ {
		sum += *m.slot(m.newest - i)
	}
	return sum / (float64(slots*rateSlot) / 1e9)
}
