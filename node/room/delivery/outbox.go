package delivery

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
)

// Outbox holds the reliable packets for one node until it has them: they are numbered,
// and sent again, all from the oldest, when the way there changes.
type Outbox struct {
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

// NewOutbox returns an empty outbox. A later one for the same node has a higher run;
// dropped counts what is given up.
func NewOutbox(run uint64, dropped *atomic.Uint64) *Outbox {
	return &Outbox{run: run, first: 1, dropped: dropped}
}

// Push adds a packet; the oldest are given up beyond the bounds.
func (o *Outbox) Push(d *linkpb.Data, now time.Time) {
	o.waits = append(o.waits, parcel{d, proto.Size(d), now})
	o.bytes += o.waits[len(o.waits)-1].size
	for len(o.waits) > parcelsHeld || o.bytes > parcelBytes {
		o.shift()
		o.dropped.Add(1)
	}
}

// Next returns a parcel to send now, nil when none may go.
func (o *Outbox) Next() *linkpb.Parcel {
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

// Ack forgets what the node has.
func (o *Outbox) Ack(a *linkpb.ParcelAck) {
	if a.Run != o.run {
		return
	}
	for len(o.waits) > 0 && o.first <= a.Number {
		o.shift()
	}
}

// Sent is how many parcels are on their way: sent, and not acknowledged.
func (o *Outbox) Sent() int { return o.sent }

// Rewind sends everything again: the way to the node is new.
func (o *Outbox) Rewind() { o.sent, o.away = 0, 0 }

// Expire gives up what waited too long.
func (o *Outbox) Expire(now time.Time) {
	for len(o.waits) > 0 && now.Sub(o.waits[0].at) > parcelKept {
		o.shift()
		o.dropped.Add(1)
	}
}

func (o *Outbox) shift() {
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
