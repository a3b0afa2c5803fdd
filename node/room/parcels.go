package room

import (
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	linkpb "maille/proto/link"
)

const (
	// parcelWindow in bytes, and parcelsInFlight, are on their way to a node at once: what
	// more there is waits here, so that data never fills the channel that the facts travel
	// on. 20 Mbit/s at 200 ms.
	parcelWindow    = 512 << 10
	parcelsInFlight = 512
	// parcelBytes and parcelsHeld bound what waits for a node: several seconds of what one
	// sender may send.
	parcelBytes = 8 << 20
	parcelsHeld = 8192
	// parcelKept is how long a packet waits for a way to its node. Clients give up on
	// calls before that.
	parcelKept = 30 * time.Second
	// ackEvery parcels or ackBytes are acknowledged at once, less with the next tick.
	ackEvery = 32
	ackBytes = 64 << 10
)

// outbox holds the reliable packets for one node until it has them: they are numbered,
// and sent again, all from the oldest, when the way there changes. Pure: the room's loop
// drives it.
type outbox struct {
	run   uint64
	first uint64 // number of waits[0]
	waits []parcel
	bytes int
	sent  int // of waits, on the present way
	away  int // bytes of those

	dropped *atomic.Uint64 // given up
}

type parcel struct {
	data *linkpb.Data
	size int
	at   time.Time
}

func newOutbox(run uint64, dropped *atomic.Uint64) *outbox {
	return &outbox{run: run, first: 1, dropped: dropped}
}

// push adds a packet; the oldest are given up beyond the bounds.
func (o *outbox) push(d *linkpb.Data, now time.Time) {
	o.waits = append(o.waits, parcel{d, proto.Size(d), now})
	o.bytes += o.waits[len(o.waits)-1].size
	for len(o.waits) > parcelsHeld || o.bytes > parcelBytes {
		o.shift()
		o.dropped.Add(1)
	}
}

// next returns a parcel to send now, nil when none may go.
func (o *outbox) next() *linkpb.Parcel {
	if o.sent == len(o.waits) || o.sent >= parcelsInFlight {
		return nil
	}
	p := o.waits[o.sent]
	if o.sent > 0 && o.away+p.size > parcelWindow {
		return nil
	}
	o.sent++
	o.away += p.size
	return &linkpb.Parcel{Run: o.run, Number: o.first + uint64(o.sent) - 1, Oldest: o.first, Data: p.data}
}

// ack forgets what the node has.
func (o *outbox) ack(a *linkpb.ParcelAck) {
	if a.Run != o.run {
		return
	}
	for len(o.waits) > 0 && o.first <= a.Number {
		o.shift()
	}
}

// rewind sends everything again: the way to the node is new.
func (o *outbox) rewind() { o.sent, o.away = 0, 0 }

// expire gives up what waited too long.
func (o *outbox) expire(now time.Time) {
	for len(o.waits) > 0 && now.Sub(o.waits[0].at) > parcelKept {
		o.shift()
		o.dropped.Add(1)
	}
}

func (o *outbox) shift() {
	size := o.waits[0].size
	o.waits[0] = parcel{}
	o.waits = o.waits[1:]
	o.first++
	o.bytes -= size
	if o.sent > 0 {
		o.sent--
		o.away -= size
	}
}

// inorder takes parcels of one node in their order, each once, whatever ways they come.
type inorder struct {
	run  uint64
	last uint64
	// Since the last acknowledgement.
	parcels, bytes int
}

// take reports whether a parcel is the next.
func (i *inorder) take(p *linkpb.Parcel, size int) bool {
	if p.Run < i.run {
		return false
	}
	if p.Run > i.run {
		*i = inorder{run: p.Run}
	}
	i.parcels++ // one taken before is acknowledged again
	i.bytes += size
	if p.Number != max(i.last+1, p.Oldest) {
		return false
	}
	i.last = p.Number
	return true
}

// due reports whether to acknowledge now.
func (i *inorder) due() bool { return i.parcels >= ackEvery || i.bytes >= ackBytes }

// ack returns what to acknowledge, nil for nothing new.
func (i *inorder) ack() *linkpb.ParcelAck {
	if i.parcels == 0 {
		return nil
	}
	i.parcels, i.bytes = 0, 0
	return &linkpb.ParcelAck{Run: i.run, Number: i.last}
}
