package link

import (
	"time"

	"maille/relay"
)

// handover is how the bundler gives datagrams to lanes: those that follow each other on
// one lane are handed to QUIC together, so that one run of its loop takes them all. A lane
// whose window may be shut gets them through its own goroutine, one by one.
type handover struct {
	to    *lane
	batch [maxBatch][]byte
	n     int
}

// maxBatch is half of quic-go's queue, and what it sends in one system call.
const maxBatch = 16

// put hands d to the lane; false when the lane is stuck and d is gone.
func (h *handover) put(l *lane, d []byte) bool {
	if h.n > 0 && (l != h.to || h.n == maxBatch) {
		h.flush()
	}
	if l.conn == nil || !l.open() {
		h.flush()
		return l.offer(d)
	}
	h.to, h.batch[h.n] = l, d
	h.n++
	return true
}

// flush hands over what is gathered.
func (h *handover) flush() {
	if h.n == 0 {
		return
	}
	h.to.handing.Store(relay.Now())
	for i, d := range h.batch[:h.n] {
		h.to.write(d)
		h.batch[i] = nil
	}
	h.to.handing.Store(0)
	h.n = 0
}

// stuckAfter is how long QUIC may keep the bundler, and with it all lanes. It should not
// at all: lanes that are not open are given datagrams by others.
const stuckAfter = int64(300 * time.Millisecond)

// unstick ends a lane that the bundler is stuck in; another takes its place.
func (ls *laneSet) unstick(now int64) {
	for _, l := range ls.all() {
		if since := l.handing.Load(); since != 0 && now-since > stuckAfter {
			_ = l.conn.CloseWithError(codeFailed, "stuck")
		}
	}
}
