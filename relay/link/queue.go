package link

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"maille/relay"
)

// Bounds of a session's send queue.
const (
	maxAudioQueued  = 512  // packets: over a second of a big room's speakers
	maxVideoQueued  = 2048 // packets of all streams together, about 2 MB
	maxRepairQueued = 512
	// maxQueued is how long video may wait here: what is older than this would come too
	// late to be decoded, and its place is better given to what is new.
	maxQueued = int64(300 * time.Millisecond)
	// quantum is what a stream may send per turn; a full packet, so that no turn is empty.
	quantum = 1200
)

// entry is one packet that waits to be sent. It holds a reference to the packet.
type entry struct {
	p      *relay.Packet
	out    *outStream
	at     int64
	repair bool
	past   bool // of a replayed group of pictures, or waits behind one
	// prev and hasPrev are what was sent before a repaired packet the first time.
	prev    uint16
	hasPrev bool
	// Of a copy of audio: the datagram after which it waits, and how often it is to go.
	nth    uint32
	copies uint8
}

// queue is what waits to be sent to one peer. Audio leaves first, then repairs, then
// video: rooms take turns, and within a room its streams do, a quantum each. When it is
// full the oldest video goes.
type queue struct {
	ready chan struct{} // wakes the bundler
	// stalled: the bundler has something to send and no lane takes it.
	stalled atomic.Bool

	mu     sync.Mutex // guards the fields below and the pending packets of every stream
	audio  fifo
	repair fifo
	rooms  map[string]*roomQueue
	active []*roomQueue // those with pending video, served round robin from turn
	turn   int
	video  int          // packets pending in all of active
	behind atomic.Int64 // streams in active that are behind
	closed bool
	// gathers: audio does not wake the bundler before the oldest has waited a while. gathering
	// is since when, 0 while there is none.
	gathers   bool
	gathering int64
}

// roomQueue is the streams of one room. What a stream or a room may send in its turn it
// need not send at once: the deficit is what it has left.
type roomQueue struct {
	name    string
	streams int          // of the room on this session
	active  []*outStream // those with pending video, served round robin from turn
	turn    int
	deficit int
}

func (q *queue) init() { q.ready = make(chan struct{}, 1) }

func (q *queue) wakeAll() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// roomier wakes the bundler if it waits for a lane: one has room again, or may have.
func (q *queue) roomier() {
	if q.stalled.Load() && q.stalled.Swap(false) {
		q.wakeAll()
	}
}

// push queues a packet, retaining it. It never blocks; what it displaces is counted.
func (q *queue) push(e entry) {
	e.p.Retain()
	q.mu.Lock()
	var gone entry
	wake, why := true, relay.DropQueueFull
	switch {
	case q.closed || e.out.closed:
		gone, why = e, relay.DropNotWanted // which is no sign of overload
	case e.repair:
		gone = q.repair.pushOver(e, maxRepairQueued)
	case e.out.track.Kind() == relay.Audio:
		gone = q.audio.pushOver(e, maxAudioQueued)
		wake = q.gathered(e.at)
	default:
		if q.video >= maxVideoQueued {
			gone = q.dropOldest()
		}
		if e.out.pending.len() == 0 {
			q.activate(e.out)
		}
		if e.past && !e.out.behind {
			e.out.behind = true
			q.behind.Add(1)
		}
		e.out.pending.push(e)
		q.video++
	}
	q.mu.Unlock()
	if gone.p != nil {
		gone.out.drop(gone, why)
	}
	if wake {
		q.wakeAll()
	}
}

// activate puts a stream into the round of its room, and the room into that of rooms.
func (q *queue) activate(o *outStream) {
	r := o.room
	if r == nil {
		if q.rooms == nil {
			q.rooms = make(map[string]*roomQueue)
		}
		if r = q.rooms[o.ref.Room]; r == nil {
			r = &roomQueue{name: o.ref.Room}
			q.rooms[r.name] = r
		}
		r.streams++
		o.room = r
	}
	if len(r.active) == 0 {
		q.active = append(q.active, r)
	}
	r.active = append(r.active, o)
}

// dropOldest takes out the video packet that has waited longest.
func (q *queue) dropOldest() entry {
	var oldest *outStream
	for _, r := range q.active {
		for _, o := range r.active {
			if oldest == nil || o.pending.first().at < oldest.pending.first().at {
				oldest = o
			}
		}
	}
	return q.take(oldest)
}

// take takes the next packet of a stream.
func (q *queue) take(o *outStream) entry {
	e := o.pending.pop()
	e.past = o.behind
	q.video--
	if o.pending.len() == 0 {
		q.retire(o)
	}
	return e
}

// purge takes out what waits of one layer of a stream, oldest first: of a layer that is
// shed, what left later would only keep others from arriving in time.
func (q *queue) purge(o *outStream, spatial, temporal uint8) (gone []entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := o.pending.len()
	if n == 0 || q.closed {
		return nil
	}
	for range n {
		e := o.pending.pop()
		if e.p.Spatial == spatial && e.p.Temporal == temporal {
			gone = append(gone, e)
			q.video--
		} else {
			o.pending.push(e)
		}
	}
	if o.pending.len() == 0 {
		q.retire(o)
	}
	return gone
}

// retire takes a stream without pending video out of the rounds.
func (q *queue) retire(o *outStream) {
	r := o.room
	if o.behind {
		q.behind.Add(-1)
	}
	o.deficit, o.behind = 0, false
	r.active, r.turn = without(r.active, o, r.turn)
	if len(r.active) == 0 {
		r.deficit = 0
		q.active, q.turn = without(q.active, r, q.turn)
	}
}

// without takes one out of a round.
func without[T comparable](round []T, gone T, turn int) ([]T, int) {
	i := slices.Index(round, gone)
	round = slices.Delete(round, i, i+1)
	if turn > i {
		turn--
	}
	if turn >= len(round) {
		turn = 0
	}
	return round, turn
}

// popUrgent takes the next audio packet.
func (q *queue) popUrgent() (entry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.audio.len() == 0 {
		return entry{}, false
	}
	return q.audio.pop(), true
}

// pop takes the next repair or video packet; what has waited too long is given to
// late instead.
func (q *queue) pop(now int64, late func(entry)) (entry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.repair.len() > 0 {
		return q.repair.pop(), true
	}
	for len(q.active) > 0 {
		r := q.active[q.turn]
		o, size := r.next()
		if r.deficit < size {
			r.deficit += quantum
			q.turn = (q.turn + 1) % len(q.active)
			continue
		}
		r.deficit -= size
		o.deficit -= size
		e := q.take(o)
		if now-e.at > maxQueued && (!e.past || now-e.at > maxBehind) {
			late(e)
			continue
		}
		return e, true
	}
	return entry{}, false
}

// next is the stream whose turn it is, and the size of its packet.
func (r *roomQueue) next() (o *outStream, size int) {
	for {
		o = r.active[r.turn]
		size = len(o.pending.first().p.Payload)
		if o.deficit >= size {
			return o, size
		}
		o.deficit += quantum
		r.turn = (r.turn + 1) % len(r.active)
	}
}

// oldest is how long the first of the waiting video has waited, but for what the past delays.
func (q *queue) oldest(now int64) (waited int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.active {
		for _, o := range r.active {
			if !o.behind {
				waited = max(waited, now-o.pending.first().at)
			}
		}
	}
	return waited
}

// waiting tells whether anything but audio waits.
func (q *queue) waiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.video+q.repair.len() > 0
}

// forget drops what waits of a stream that has ended, and takes no more of it.
func (q *queue) forget(o *outStream) {
	q.mu.Lock()
	defer q.mu.Unlock()
	o.closed = true
	if n := o.pending.len(); n > 0 && !q.closed {
		q.video -= n
		o.pending.release()
		q.retire(o)
	}
	if r := o.room; r != nil {
		if r.streams--; r.streams == 0 {
			delete(q.rooms, r.name)
		}
		o.room = nil
	}
}

// release ends the queue.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.audio.release()
	q.repair.release()
	for _, r := range q.active {
		for _, o := range r.active {
			o.pending.release()
		}
	}
	q.active, q.video, q.turn = nil, 0, 0
}
