package datatrack

import (
	"sync"
	"time"
)

// Gate lets so many frames a second pass, each whole. The zero gate passes all.
type Gate struct {
	mu       sync.Mutex // guards all below: packets may come by two ways during a reroute
	interval time.Duration
	due      time.Time // when the next frame may pass
	frame    uint16
	seen     bool
	open     bool // the present frame passes
}

// lateFrames is how far behind the newest frame a packet may be to count as late.
const lateFrames = 64

// Set gives the gate its rate, in frames a second; 0 passes all.
func (g *Gate) Set(fps uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.interval = 0
	if fps > 0 {
		g.interval = time.Second / time.Duration(fps)
	}
}

// Pass reports whether a packet of a frame may go on now.
func (g *Gate) Pass(frame uint16, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.interval == 0 {
		return true
	}
	if g.seen && frame == g.frame {
		return g.open
	}
	if behind := g.frame - frame; g.seen && behind < lateFrames {
		return false
	}
	g.seen, g.frame = true, frame
	if g.open = !now.Before(g.due); g.open {
		// A frame late by less than an interval does not put off the next one.
		if g.due.Before(now.Add(-g.interval)) {
			g.due = now
		}
		g.due = g.due.Add(g.interval)
	}
	return g.open
}
