package rtc

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"maille/relay"
	"maille/relay/rewrite"
)

const (
	// paceTick spaces what waits in the pacer.
	paceTick = 5 * time.Millisecond
	// paceBurst is what may leave at once after a rest, in time at the pace: two ticks, so
	// that a late tick costs nothing.
	paceBurst = 2 * paceTick
	// paceWithin is how long a packet waits at most: what is more leaves faster. A keyframe
	// later than that is of no use, and its sound would be far ahead.
	paceWithin = 700 * time.Millisecond
	// paceMost bounds the packets that wait, which are held in memory: two keyframes of
	// 1080 lines.
	paceMost = 512
)

// pacer holds a client's video back so that it leaves no faster than the path carries:
// a keyframe sent at once would stand in the path's queue, before everybody's sound, or
// overflow it. Sound does not pass here, and nothing waits as long as the path was never
// found too narrow. The zero value lets everything pass.
type pacer struct {
	rate atomic.Uint64 // bytes per second, 0 for any
	busy atomic.Bool   // something waits; written under mu
	wake chan struct{} // told when something begins to wait

	mu     sync.Mutex // guards all below; nothing else is locked under it
	level  float64    // bytes that may leave now
	at     int64      // of level
	repair fifo       // repairs overtake: a decoder waits for them
	video  fifo
	bytes  int     // of both
	least  float64 // pace that lets all of them leave in time, while any wait
	closed bool
}

// paced is a packet in the pacer.
type paced struct {
	s      *Subscriber
	b      *binding
	p      *relay.Packet // retained; nil for a packet of padding
	out    rewrite.Out
	marker bool
	again  bool
	key    bool // a keyframe begins: what waits before it is of no use
	size   int
}

// set changes the pace, in bytes per second; 0 for none.
func (q *pacer) set(rate float64) { q.rate.Store(uint64(rate)) }

// hold takes a packet that has to wait, with a reference of its own. If it returns
// false the caller sends it now.
func (q *pacer) hold(w *paced) bool {
	if q.rate.Load() == 0 && !q.busy.Load() {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	if !q.busy.Load() {
		if q.refill(w.s.peer.engine.now()); q.level > 0 {
			q.level -= float64(w.size)
			return false
		}
	}
	if w.key {
		q.drop(w.s)
	}
	if q.repair.n+q.video.n >= paceMost {
		w.s.drops.Add(relay.DropShed)
		return true
	}
	w.retain()
	to := &q.video
	if w.again {
		to = &q.repair
	}
	to.push(*w)
	q.bytes += w.size
	q.least = max(q.least, float64(q.bytes)/paceWithin.Seconds())
	if q.busy.CompareAndSwap(false, true) {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// forget drops what waits of a subscription.
func (q *pacer) forget(s *Subscriber) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(s)
}

// drop is forget; the caller holds mu.
func (q *pacer) drop(s *Subscriber) {
	q.bytes -= q.repair.forget(s) + q.video.forget(s)
	q.least = float64(q.bytes) / paceWithin.Seconds()
}

// next takes out a packet whose time has come, false if there is none.
func (q *pacer) next(now int64) (w paced, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	from := &q.repair
	if from.n == 0 {
		from = &q.video
	}
	if from.n == 0 {
		q.least = 0
		q.busy.Store(false)
		return paced{}, false
	}
	if q.refill(now); q.level <= 0 && !q.closed {
		return paced{}, false
	}
	w = from.pop()
	q.level -= float64(w.size)
	q.bytes -= w.size
	return w, true
}

// refill lets time pass; the caller holds mu.
func (q *pacer) refill(now int64) {
	rate := float64(q.rate.Load())
	if rate == 0 {
		rate = math.MaxUint32
	}
	rate = max(rate, q.least)
	most := max(rate*paceBurst.Seconds(), relay.BufferSize)
	q.level = min(q.level+rate*float64(max(now-q.at, 0))/1e9, most)
	q.at = now
}

// close lets nothing wait any more.
func (q *pacer) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	for {
		w, ok := q.next(0)
		if !ok {
			return
		}
		w.release()
	}
}

func (w *paced) retain() {
	if w.p != nil {
		w.p.Retain()
	}
}

func (w *paced) release() {
	if w.p != nil {
		w.p.Release()
	}
}

// drain sends what may leave; false when nothing waits any more.
func (p *Peer) drain(now int64) (more bool) {
	for {
		w, ok := p.path.pacer.next(now)
		if !ok {
			return p.path.pacer.busy.Load()
		}
		w.s.leave(&w)
		w.release()
	}
}

// fifo is a queue in a ring that grows.
type fifo struct {
	ring    []paced
	head, n int
}

// fifoStart is how many packets a ring begins with.
const fifoStart = 64

func (f *fifo) push(w paced) {
	if f.n == len(f.ring) {
		ring := make([]paced, max(2*f.n, fifoStart))
		for i := range f.n {
			ring[i] = f.ring[(f.head+i)%f.n]
		}
		f.ring, f.head = ring, 0
	}
	f.ring[(f.head+f.n)%len(f.ring)] = w
	f.n++
}

// forget takes out all packets of a subscription, and returns how many bytes that was.
func (f *fifo) forget(s *Subscriber) (bytes int) {
	kept := 0
	for i := range f.n {
		at := &f.ring[(f.head+i)%len(f.ring)]
		w := *at
		*at = paced{}
		if w.s == s {
			bytes += w.size
			w.release()
			s.drops.Add(relay.DropShed)
			continue
		}
		f.ring[(f.head+kept)%len(f.ring)] = w
		kept++
	}
	f.n = kept
	return bytes
}

func (f *fifo) pop() paced {
	w := f.ring[f.head]
	f.ring[f.head] = paced{}
	f.head = (f.head + 1) % len(f.ring)
	f.n--
	return w
}
