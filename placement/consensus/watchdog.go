package consensus

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// stopwatch tells how long something has been under way. It keeps monotonic time, so
// that a clock set forward is not a stall.
type stopwatch struct {
	base  time.Time
	began atomic.Int64 // ns after base, 0 while nothing is under way
}

func newStopwatch() *stopwatch { return &stopwatch{base: time.Now()} }

func (w *stopwatch) start() { w.began.Store(max(int64(time.Since(w.base)), 1)) }
func (w *stopwatch) stop()  { w.began.Store(0) }

func (w *stopwatch) elapsed() time.Duration {
	if at := w.began.Load(); at != 0 {
		return time.Since(w.base) - time.Duration(at)
	}
	return 0
}

// A stalled fsync leaves raft leading in name only: heartbeats go on, nothing commits,
// and followers see no reason to elect. So the disk is watched from outside.
const (
	// canaryEvery is how often a small write and fsync tries the disk.
	canaryEvery = 500 * time.Millisecond
	// muteAfter is the stall after which this server stops talking to the others, so
	// that they elect. Asking raft to hand over would wait behind the same stall.
	muteAfter = 2 * time.Second
	// giveUpAfter is the stall after which Raft is given up for good.
	giveUpAfter = 5 * time.Second
)

// watchDisk runs until the server closes. Stalls are those of raft's own writes and of
// the canary's, whichever is older.
func (c *Consensus) watchDisk() {
	canary := newStopwatch()
	trigger := make(chan struct{})
	defer close(trigger)
	// Not waited for by Close: it may be inside the stalled fsync.
	go runCanary(c.cfg, trigger, canary)
	tick := time.NewTicker(canaryEvery / 2)
	defer tick.Stop()
	muted := false
	for {
		select {
		case <-c.ended:
			return
		case <-tick.C:
		}
		select {
		case trigger <- struct{}{}:
		default: // still writing
		}
		stalled := max(c.store.busy.elapsed(), canary.elapsed())
		switch {
		case stalled >= giveUpAfter:
			c.giveUp(fmt.Errorf("consensus: disk stalled for %v", stalled.Round(time.Second)))
			return
		case stalled >= muteAfter && !muted:
			muted = true
			c.cfg.Log.Warn("disk stalls, leaving the lead to others", "stalled", stalled)
			c.layer.mute(true)
		case stalled == 0 && muted:
			muted = false
			c.cfg.Log.Info("disk writes again")
			c.layer.mute(false)
		}
	}
}

func runCanary(cfg Config, trigger <-chan struct{}, busy *stopwatch) {
	f, err := os.OpenFile(filepath.Join(cfg.Dir, "canary"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		cfg.Log.Warn("disk watchdog sees only raft's own writes", "err", err)
		for range trigger {
		}
		return
	}
	defer f.Close()
	for range trigger {
		busy.start()
		if cfg.Disk == nil || cfg.Disk("canary") == nil {
			f.WriteAt([]byte{1}, 0)
			f.Sync()
		}
		busy.stop()
	}
}
