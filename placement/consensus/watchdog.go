package consensus

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// stamp is the unix ns at which something began, 0 if it is not under way.
type stamp = atomic.Int64

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
	var canary stamp
	trigger := make(chan struct{})
	defer close(trigger)
	// Not waited for by Close: it may be inside the stalled fsync.
	go runCanary(c.cfg, trigger, &canary)
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
		stalled := max(since(c.store.busy.Load()), since(canary.Load()))
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

func since(unixNano int64) time.Duration {
	if unixNano == 0 {
		return 0
	}
	return time.Since(time.Unix(0, unixNano))
}

func runCanary(cfg Config, trigger <-chan struct{}, busy *stamp) {
	f, err := os.OpenFile(filepath.Join(cfg.Dir, "canary"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		cfg.Log.Warn("disk watchdog sees only raft's own writes", "err", err)
		for range trigger {
		}
		return
	}
	defer f.Close()
	for range trigger {
		busy.Store(time.Now().UnixNano())
		if cfg.Disk == nil || cfg.Disk("canary") == nil {
			f.WriteAt([]byte{1}, 0)
			f.Sync()
		}
		busy.Store(0)
	}
}
