package relay

import "sync/atomic"

// Drop names why a packet did not go on. Every discarded packet is counted under
// exactly one reason: nothing vanishes silently.
type Drop uint8

const (
	DropMalformed   Drop = iota // not RTP, or header beyond its bounds
	DropUnknown                 // no track or stream for it here
	DropDuplicate               // seen before
	DropLate                    // older than what the ring keeps
	DropQueueFull               // a bounded queue was full; oldest video goes first
	DropNotWanted               // layer that nobody behind this sink watches
	DropAwaitingKey             // the switch to this layer waits for its keyframe
	DropMuted                   // the subscriber paused the track, or its publisher is muted
	DropShed                    // shed under overload, upper layers first
	DropSend                    // the socket or the transport refused it
	DropTooLarge                // larger than a link can carry
	DropSilent                  // not among the room's loudest speakers
	NumDrops
)

var dropNames = [NumDrops]string{
	"malformed", "unknown", "duplicate", "late", "queue_full", "not_wanted",
	"awaiting_keyframe", "muted", "shed", "send", "too_large", "silent",
}

func (d Drop) String() string {
	if d < NumDrops {
		return dropNames[d]
	}
	return "invalid"
}

// Drops counts discarded packets by reason. The zero value is ready.
type Drops [NumDrops]atomic.Uint64

// Add counts one packet.
func (d *Drops) Add(why Drop) { d[why].Add(1) }

// Snapshot returns the non-zero counts by reason name.
func (d *Drops) Snapshot() map[string]uint64 {
	out := make(map[string]uint64)
	for i := range d {
		if n := d[i].Load(); n > 0 {
			out[Drop(i).String()] = n
		}
	}
	return out
}
