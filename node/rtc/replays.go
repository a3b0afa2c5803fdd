package rtc

import "sync"

const (
	// replayBurst in bytes may go at once: on 5 Mbit/s a sixth of a second. More of the
	// past would make the present wait, everybody's sound first.
	replayBurst = 100_000
	// replayRate in bytes per second is how fast that fills up again.
	replayRate = 200_000
)

// replays bounds what a client is sent of the past: a dozen tracks at once would be a
// flood. The zero value is ready.
type replays struct {
	mu    sync.Mutex // guards all below
	spent float64
	at    int64
}

// take reports whether so many bytes may be sent at once, and if so takes them.
func (r *replays) take(bytes int, now int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spent = max(r.spent-replayRate*float64(now-r.at)/1e9, 0)
	r.at = now
	if r.spent > 0 && r.spent+float64(bytes) > replayBurst {
		return false
	}
	r.spent += float64(bytes)
	return true
}

// affords reports whether the client may be sent so much of the past: not while there
// is too little for the present.
func (c *pathToClient) affords(bytes int, now int64) bool {
	return bytes > 0 && !c.short.Load() && c.replays.take(bytes, now)
}
