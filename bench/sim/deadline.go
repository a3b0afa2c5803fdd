package sim

import (
	"net"
	"os"
	"sync"
	"time"
)

// deadline wakes the waiters of a condition when its time comes. The condition's mutex
// guards it.
type deadline struct {
	passed bool
	timer  *time.Timer
	calls  uint64 // counts calls of set, so that a timer that fired late changes nothing
}

func (d *deadline) set(t time.Time, c *sync.Cond) {
	d.stop()
	d.calls++
	d.passed = false
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.passed = true
		c.Broadcast()
		return
	}
	call := d.calls
	d.timer = time.AfterFunc(wait, func() {
		c.L.Lock()
		defer c.L.Unlock()
		if d.calls == call {
			d.passed = true
			c.Broadcast()
		}
	})
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// err is why a waiting call must return now, or nil.
func (d *deadline) err(closed bool) error {
	switch {
	case closed:
		return net.ErrClosed
	case d.passed:
		return os.ErrDeadlineExceeded
	}
	return nil
}
