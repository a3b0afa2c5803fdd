package sim

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// Path says what one direction between two places does to packets. The zero value loses
// nothing and takes no time.
type Path struct {
	// Delay is the one-way time of an empty path.
	Delay time.Duration
	// Jitter is the largest extra delay; each packet draws its own, evenly, but never
	// overtakes the one before it between the same two hosts.
	Jitter time.Duration
	// Loss is the share of datagrams that vanish, 0 to 1.
	Loss float64
	// Burst is the mean length of a run of losses in packets (Gilbert-Elliott with a bad
	// state that loses all). Up to 1, losses are independent.
	Burst float64
	// Reorder is the share of datagrams held back by up to 5 ms more, so that others
	// overtake them.
	Reorder float64
	// Duplicate is the share of datagrams that arrive twice.
	Duplicate float64
	// Rate is the bottleneck in bits per second of IP packets, 0 for none. Everybody whose
	// packets follow the same call of Network.Path shares it; streams are paced at it each
	// on its own and do not crowd out datagrams.
	Rate float64
	// Queue is the bottleneck's buffer in bytes; what does not fit is dropped. 0 means
	// 100 ms of Rate, but ten full packets at least.
	Queue int
	// MTU is the largest IP packet, 1500 when 0. Larger ones vanish without a word, as on
	// paths that filter ICMP.
	MTU int
}

const (
	defaultMTU   = 1500
	loopbackMTU  = 1 << 16
	minQueue     = 10 * defaultMTU
	heldBack     = 5 * time.Millisecond
	overheadIPv4 = 20 + 8
	overheadIPv6 = 40 + 8
	// segmentBytes is what one TCP packet carries; a larger chunk meets loss once for each.
	segmentBytes = 1448
	// retransmit is the least time TCP waits before it sends again (Linux TCP_RTO_MIN).
	retransmit = 200 * time.Millisecond
)

// lan joins hosts that no Path covers; loopback joins a host to itself.
var (
	lan      = Path{Delay: 300 * time.Microsecond}
	loopback = Path{Delay: 20 * time.Microsecond, MTU: loopbackMTU}
)

// pipe is one direction of one Path call: the bottleneck that its users share.
type pipe struct {
	Path
	busy int64 // when the last accepted bit leaves
}

func newPipe(p Path) *pipe {
	if p.MTU == 0 {
		p.MTU = defaultMTU
	}
	if p.Queue == 0 {
		p.Queue = max(int(p.Rate/8/10), minQueue)
	}
	return &pipe{Path: p}
}

// ends names one direction: two hosts, two regions, or one of each.
type ends struct{ from, to string }

// link is one direction between two hosts. All fields are guarded by Network.mu.
type link struct {
	from, to *Host
	rng      *rand.Rand
	bad      bool  // Gilbert-Elliott state
	last     int64 // the latest arrival so far, which later packets do not overtake
	stats    Stats

	generation uint64 // of the network's rules when pipe and cut were looked up
	pipe       *pipe
	cut        bool
}

// link returns the direction from one host to another, under the rules of now. n.mu is held.
func (n *Network) link(from, to *Host) *link {
	l := from.links[to]
	if l == nil {
		h := fnv.New64a()
		h.Write([]byte(from.name + "\x00" + to.name))
		l = &link{from: from, to: to, rng: rand.New(rand.NewPCG(n.seed, h.Sum64()))}
		from.links[to] = l
	}
	if l.generation != n.generation {
		l.generation, l.pipe, l.cut = n.generation, n.pipeFor(from, to), n.isCut(from, to)
	}
	return l
}

func (n *Network) pipeFor(from, to *Host) *pipe {
	for _, e := range names(from, to) {
		if p := n.pipes[e]; p != nil {
			return p
		}
	}
	if from == to {
		return n.loopback
	}
	return n.lan
}

func (n *Network) isCut(from, to *Host) bool {
	if from != to && (from.isolated || to.isolated) {
		return true
	}
	for _, e := range names(from, to) {
		if n.cuts[e] {
			return true
		}
	}
	return false
}

// names lists the rules that may speak of a direction, the most specific first.
func names(from, to *Host) [4]ends {
	return [4]ends{{from.name, to.name}, {from.name, to.region}, {from.region, to.name}, {from.region, to.region}}
}

// open reports whether packets pass at all.
func (l *link) open() bool { return !l.cut && !l.from.down && !l.to.down }

// lost draws whether the next packet vanishes.
func (l *link) lost() bool {
	p := l.pipe
	if p.Loss <= 0 {
		return false
	}
	if p.Burst <= 1 || p.Loss >= 1 {
		return l.rng.Float64() < p.Loss
	}
	leave := 1 / p.Burst
	if l.bad {
		l.bad = l.rng.Float64() >= leave
	} else {
		l.bad = l.rng.Float64() < leave*p.Loss/(1-p.Loss)
	}
	return l.bad
}

// flight is how long a packet travels after the bottleneck.
func (l *link) flight() int64 {
	d := int64(l.pipe.Delay)
	if j := int64(l.pipe.Jitter); j > 0 {
		d += l.rng.Int64N(j)
	}
	return d
}

// carry decides the fate of a datagram of the given IP size sent now: when it arrives, or
// false when the path drops it.
func (l *link) carry(now int64, size int) (int64, bool) {
	p := l.pipe
	switch {
	case !l.open():
		l.stats.Cut++
		return 0, false
	case size > p.MTU:
		l.stats.TooBig++
		return 0, false
	case l.lost():
		l.stats.Lost++
		return 0, false
	}
	leaves := now
	if p.Rate > 0 {
		p.busy = max(p.busy, now)
		if waiting := float64(p.busy-now) * p.Rate / 8e9; int(waiting)+size > p.Queue {
			l.stats.Queue++
			return 0, false
		}
		p.busy += int64(float64(size) * 8e9 / p.Rate)
		leaves = p.busy
	}
	at := leaves + l.flight()
	if p.Reorder > 0 && l.rng.Float64() < p.Reorder {
		return at + l.rng.Int64N(int64(heldBack)), true
	}
	l.last = max(l.last, at)
	return l.last, true
}

// carryStream is carry for a chunk of a stream that leaves at the given instant: never
// dropped, but each loss costs the wait before TCP sends again.
func (l *link) carryStream(leaves int64, size int) int64 {
	at := leaves + l.flight()
	for packets := 1 + size/segmentBytes; packets > 0; packets-- {
		if l.lost() {
			return at + 2*int64(l.pipe.Delay) + int64(retransmit)
		}
	}
	return at
}
