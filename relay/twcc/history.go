package twcc

import "sync/atomic"

// Remembered is how many sent packets are known: at 4,000 packets a second, more than
// any client gets, a second of round trip and waiting for the report.
const Remembered = 4096

// An entry packs what is known of one packet into a word, so that it is written and
// read without a lock.
const (
	timeBits = 40 // microseconds, of which differences up to six days are told
	sizeBits = 12
	genBits  = 4 // the sequence number beyond the place in the ring

	sizeShift = timeBits
	genShift  = sizeShift + sizeBits
	lostBit   = 1 << (genShift + genBits)
	probeBit  = lostBit << 1
	setBit    = lostBit << 2
)

// History remembers the packets of a connection. Sent may be called by many goroutines
// at once, the rest by one at a time. The zero value is ready.
type History struct {
	entries [Remembered]atomic.Uint64
}

// Sent notes a packet of so many bytes that leaves at now (nanoseconds); probe marks one
// that was sent only to measure.
func (h *History) Sent(seq uint16, now int64, size int, probe bool) {
	e := uint64(now/1000)&(1<<timeBits-1) | uint64(min(max(size, 0), 1<<sizeBits-1))<<sizeShift |
		uint64(seq/Remembered)<<genShift | setBit
	if probe {
		e |= probeBit
	}
	h.entries[seq%Remembered].Store(e)
}

// Packet is what was sent.
type Packet struct {
	Sent  int64 // nanoseconds, to a microsecond
	Size  int   // bytes
	Probe bool
	// Lost: it was reported lost before.
	Lost bool
}

// Received takes a packet out. It is false for one that was never sent, is too old or
// was reported received before.
func (h *History) Received(seq uint16, now int64) (Packet, bool) {
	at := &h.entries[seq%Remembered]
	e := at.Load()
	if !matches(e, seq) || !at.CompareAndSwap(e, 0) {
		return Packet{}, false
	}
	return unpack(e, now), true
}

// Missing notes that a packet was reported lost, false as in Received and when it was
// noted before. It may still come.
func (h *History) Missing(seq uint16, now int64) (Packet, bool) {
	at := &h.entries[seq%Remembered]
	e := at.Load()
	if !matches(e, seq) || e&lostBit != 0 || !at.CompareAndSwap(e, e|lostBit) {
		return Packet{}, false
	}
	return unpack(e, now), true
}

func matches(e uint64, seq uint16) bool {
	return e&setBit != 0 && uint16(e>>genShift&(1<<genBits-1)) == seq/Remembered
}

func unpack(e uint64, now int64) Packet {
	us := now / 1000
	ago := (us - int64(e)) & (1<<timeBits - 1)
	return Packet{
		Sent: (us - ago) * 1000, Size: int(e >> sizeShift & (1<<sizeBits - 1)),
		Probe: e&probeBit != 0, Lost: e&lostBit != 0,
	}
}
