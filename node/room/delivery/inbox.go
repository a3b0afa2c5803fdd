package delivery

import linkpb "maille/proto/link"

const (
	// ackEvery parcels or ackBytes are acknowledged at once, less with the next tick.
	ackEvery = 32
	ackBytes = 64 << 10
)

// Inbox takes parcels of one node in their order, each once, whatever ways they come. The
// zero value is ready.
type Inbox struct {
	run  uint64
	last uint64
	// Since the last acknowledgement.
	parcels, bytes int
}

// Take reports whether a parcel is the next.
func (i *Inbox) Take(p *linkpb.Parcel, size int) bool {
	if p.Run < i.run {
		return false
	}
	if p.Run > i.run {
		*i = Inbox{run: p.Run}
	}
	i.parcels++ // one taken before is acknowledged again
	i.bytes += size
	if p.Number != max(i.last+1, p.Oldest) {
		return false
	}
	i.last = p.Number
	return true
}

// Due reports whether to acknowledge now.
func (i *Inbox) Due() bool { return i.parcels >= ackEvery || i.bytes >= ackBytes }

// Ack returns what to acknowledge, nil for nothing new.
func (i *Inbox) Ack() *linkpb.ParcelAck {
	if i.parcels == 0 {
		return nil
	}
	i.parcels, i.bytes = 0, 0
	return &linkpb.ParcelAck{Run: i.run, Number: i.last}
}
