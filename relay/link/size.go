package link

import (
	"time"

	"maille/relay/wire"
)

// datagramSizes are tried from the top. Behind QUIC, UDP and IPv4 headers they make some
// 1,255, 1,155 and 1,055 bytes.
var datagramSizes = [...]int{wire.MaxDatagram, 1100, 1000}

const (
	// blackAfter full datagrams lost in a row, while small ones sent after the first of them
	// arrive, are a path that drops by size: random loss of half of everything does this
	// once in a million.
	blackAfter  = 20
	blackSmalls = 3
	// blackFor is how long nothing full must have come: a queue that is full for full
	// datagrams only drains within it.
	blackFor = int64(150 * time.Millisecond)
	// A larger size is tried again with tryDatagrams, first after tryMin; the wait doubles
	// with every failure.
	tryDatagrams = 3
	tryMin       = int64(10 * time.Second)
	tryMax       = int64(5 * time.Minute)
)

// sizer decides how large datagrams are. Paths may stop carrying full ones without a
// word, when traffic moves into a tunnel; QUIC notices only that packets are lost. It
// is pure.
type sizer struct {
	rung  int // of datagramSizes
	since int64

	arrived int64 // departure of the newest full datagram that arrived
	first   int64 // departure of the first of the full ones lost since
	lost    int   // how many
	smalls  [blackSmalls]int64

	tryAt, wait int64
	tries       int // datagrams of the running try
}

// max is the size of the next datagram.
func (z *sizer) max(now int64) int {
	size := datagramSizes[z.rung]
	if z.rung > 0 && now >= z.tryAt {
		size = datagramSizes[z.rung-1]
	}
	return size
}

// sent notes a datagram that leaves.
func (z *sizer) sent(size int, now int64) {
	if size <= datagramSizes[z.rung] {
		return
	}
	if z.tries++; z.tries >= tryDatagrams {
		z.tries = 0
		z.wait = min(2*z.wait, tryMax)
		z.tryAt = now + z.wait
	}
}

// full tells that a datagram is of the size in question.
func (z *sizer) full(size int) bool {
	return z.rung+1 < len(datagramSizes) && size > datagramSizes[z.rung+1]
}

// came notes the arrival of a datagram that left at a time.
func (z *sizer) came(size int, left int64) {
	switch {
	case size > datagramSizes[z.rung]:
		if left > z.since { // a try came through
			z.rung--
			*z = sizer{rung: z.rung, since: left, arrived: left, wait: tryMin, tryAt: left + tryMin}
		}
	case z.full(size):
		z.arrived, z.lost = max(z.arrived, left), 0
	default:
		copy(z.smalls[:], z.smalls[1:])
		z.smalls[blackSmalls-1] = left
	}
}

// missed notes a loss and tells whether the size went down for it.
func (z *sizer) missed(size int, left, now int64) bool {
	if !z.full(size) || size > datagramSizes[z.rung] || left < z.arrived || left < z.since {
		return false
	}
	if z.lost == 0 {
		z.first = left
	}
	z.first = min(z.first, left)
	if z.lost++; z.lost < blackAfter || left-z.first < blackFor || z.smalls[0] <= z.first {
		return false
	}
	*z = sizer{rung: z.rung + 1, since: now, wait: max(z.wait, tryMin)}
	z.tryAt = now + z.wait
	return true
}

// maxSize is how large the next datagram may be.
func (g *sentLog) maxSize(now int64) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.size.max(now)
}

// steadySize is maxSize without tries.
func (g *sentLog) steadySize() int { return g.maxSize(-never) }

// aloneSize is more than half of what a QUIC packet holds. quic-go puts datagrams that
// wait together into one packet as large as fits, which a path that drops full packets
// would drop; of this size, none goes with another.
const aloneSize = widePacket/2 + 10

// tuneSize follows the size of datagrams, with every probe.
func (s *Session) tuneSize(now int64) {
	small := s.sent.steadySize() < wire.MaxDatagram
	if s.small.Swap(small) == small || !small {
		return
	}
	s.narrowed()
	// What went before was lost for its size, and tells nothing of lanes and rates.
	s.count.forgive(now)
	s.sent.forgive()
}
