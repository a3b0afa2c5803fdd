package room

import (
	"encoding/binary"
	"sync"
	"time"
)

const (
	trackHeader = 12 // bytes of a data-track packet before extensions and payload
	// maxTrackPacket in bytes; clients cut their frames into packets of 16,000.
	maxTrackPacket = 20_000
	// maxTrackVersion is the newest packet format.
	maxTrackVersion = 0
)

// packetHead is what the node reads of a data-track packet; the rest is the
// publisher's and its subscribers' (signalling.md 4.8).
type packetHead struct {
	handle, frame uint16
}

// readHead reads a data-track packet; false for one that no client could read.
func readHead(b []byte) (h packetHead, ok bool) {
	if len(b) < trackHeader || len(b) > maxTrackPacket || b[0]>>5 > maxTrackVersion {
		return h, false
	}
	if b[0]&(1<<2) != 0 {
		// Extensions: their length in words of four bytes, less one, counts itself.
		if len(b) < trackHeader+2 || trackHeader+4*(int(binary.BigEndian.Uint16(b[trackHeader:]))+1) > len(b) {
			return h, false
		}
	}
	h = packetHead{handle: binary.BigEndian.Uint16(b[2:]), frame: binary.BigEndian.Uint16(b[6:])}
	return h, h.handle != 0
}

// setHandle writes the handle by which a subscriber knows the track.
func setHandle(b []byte, handle uint16) { binary.BigEndian.PutUint16(b[2:], handle) }

// frameGate lets so many frames a second pass, each whole. The zero gate passes all.
type frameGate struct {
	mu       sync.Mutex // guards all below: packets may come by two ways during a reroute
	interval time.Duration
	due      time.Time // when the next frame may pass
	frame    uint16
	seen     bool
	open     bool // the present frame passes
}

// lateFrames is how far behind the newest frame a packet may be to count as late.
const lateFrames = 64

func (g *frameGate) set(fps uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.interval = 0
	if fps > 0 {
		g.interval = time.Second / time.Duration(fps)
	}
}

func (g *frameGate) pass(frame uint16, now time.Time) bool {
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
