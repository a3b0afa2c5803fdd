package link

import (
	"sync"
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
	// prev and hasPrev are what was sent before a repaired packet the first time.
	prev    uint16
	hasPrev bool
}

// queue is what waits to be sent to one peer. Audio leaves first, then repairs, then
// video, a quantum per stream in turn. When it is full the oldest video goes.
type queue struct {
	ready chan struct{} // wakes the bundler

	mu     sync.Mutex // guards the fields below and the pending packets of every stream
	audio  fifo
	repair fifo
	active []*outStream // streams with pending video, served round robin from turn
	turn   int
	video  int // packets pending in all of active
	closed bool
}

func (q *queue) init() { q.ready = make(chan struct{}, 1) }

func (q *queue) wakeAll() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// push queues a packet, retaining it. It never blocks; what it displaces is counted.
func (q *queue) push(e entry) {
	e.p.Retain()
	q.mu.Lock()
	var gone entry
	switch {
	case q.closed || e.out.closed:
		gone = e
	case e.repair:
		gone = q.repair.pushOver(e, maxRepairQueued)
	case e.out.track.Kind() == relay.Audio:
		gone = q.audio.pushOver(e, maxAudioQueued)
	default:
		if q.video >= maxVideoQueued {
			gone = q.dropOldest()
		}
		if e.out.pending.len() == 0 {
			q.active = append(q.active, e.out)
		}
		e.out.pending.push(e)
		q.video++
	}
	q.mu.Unlock()
	if gone.p != nil {
		gone.out.drop(gone, relay.DropQueueFull)
	}
	q.wakeAll()
}

// dropOldest takes out the video packet that has waited longest.
func (q *queue) dropOldest() entry {
	oldest := 0
	for i, o := range q.active {
		if o.pending.first().at < q.active[oldest].pending.first().at {
			oldest = i
		}
	}
	o := q.active[oldest]
	e := o.pending.pop()
	q.video--
	if o.pending.len() == 0 {
		q.retire(oldest)
	}
	return e
}

// retire takes a stream without pending video out of the round.
func (q *queue) retire(i int) {
	q.active[i].deficit = 0
	copy(q.active[i:], q.active[i+1:])
	q.active[len(q.active)-1] = nil
	q.active = q.active[:len(q.active)-1]
	if q.turn > i {
		q.turn--
	}
	if q.turn >= len(q.active) {
		q.turn = 0
	}
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
		o := q.active[q.turn]
		size := len(o.pending.first().p.Payload)
		if o.deficit < size {
			o.deficit += quantum
			q.turn = (q.turn + 1) % len(q.active)
			continue
		}
		e := o.pending.pop()
		q.video--
		o.deficit -= size
		if o.pending.len() == 0 {
			q.retire(q.turn)
		}
		if now-e.at > maxQueued {
			late(e)
			continue
		}
		return e, true
	}
	return entry{}, false
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
	for i, a := range q.active {
		if a == o {
			q.video -= o.pending.len()
			o.pending.release()
			q.retire(i)
			return
		}
	}
}

// release ends the queue.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.audio.release()
	q.repair.release()
	for _, o := range q.active {
		o.pending.release()
	}
	q.active, q.video, q.turn = nil, 0, 0
}
