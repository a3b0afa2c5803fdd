// Package twcc reads transport-wide congestion control feedback
// (draft-holmer-rmcat-transport-wide-cc-extensions-01): which of the packets of a
// connection came, and when. It remembers what was sent, so that only what was really
// sent counts, and each packet once.
package twcc

import "encoding/binary"

// Malformed is the error of feedback that is refused.
type Malformed string

func (m Malformed) Error() string { return string(m) }

// What Reset refuses.
const (
	ErrShort = Malformed("twcc: shorter than its packets need")
	ErrLong  = Malformed("twcc: more packets than are remembered")
)

const (
	headBytes  = 8 // base sequence number to feedback count
	chunkBytes = 2

	deltaUnit     = 250 * 1000 // nanoseconds
	referenceUnit = 64 * 1e6   // nanoseconds

	statusSmall = 1 // one byte of delta; 0 is not received
	statusLarge = 2 // two, signed
)

// Reader goes through one feedback message, packet by packet:
//
//	for r.Next() { use r.Seq, r.Received, r.At }
type Reader struct {
	// Seq is the packet's transport-wide sequence number.
	Seq uint16
	// Received says that it came, At when: nanoseconds of the receiver's clock, with a
	// beginning of its own. At is meaningless for a packet that was not received.
	Received bool
	At       int64
	// Count is the sender's count of feedback messages, 8 bits: a jump means lost ones.
	Count uint8

	chunks, deltas []byte
	left           int // packets not yet told
	chunk          uint16
	inChunk        int // packets left in chunk
	reference      epochs
}

// epochs continues the 24 bits of reference times.
type epochs struct {
	begun bool
	last  int64
}

func (e *epochs) next(reference uint32) int64 {
	if !e.begun {
		e.begun, e.last = true, int64(reference)
		return e.last
	}
	ahead := int32(reference<<8-uint32(e.last)<<8) >> 8
	e.last += int64(ahead)
	return e.last
}

// Reset takes the next message: b is what follows the two SSRCs of the RTCP packet, and
// is read until the last Next.
func (r *Reader) Reset(b []byte) error {
	r.left, r.inChunk = 0, 0
	if len(b) < headBytes {
		return ErrShort
	}
	count := int(binary.BigEndian.Uint16(b[2:]))
	if count > Remembered {
		return ErrLong
	}
	reference := uint32(b[4])<<16 | uint32(b[5])<<8 | uint32(b[6])
	body := b[headBytes:]
	at, deltas := 0, 0
	for told := 0; told < count; at += chunkBytes {
		if len(body) < at+chunkBytes {
			return ErrShort
		}
		n, bytes := weigh(binary.BigEndian.Uint16(body[at:]), count-told)
		told, deltas = told+n, deltas+bytes
	}
	if len(body) < at+deltas {
		return ErrShort
	}
	r.chunks, r.deltas, r.left = body[:at], body[at:at+deltas], count
	r.Seq = binary.BigEndian.Uint16(b) - 1
	r.Count = b[7]
	r.At = r.reference.next(reference) * referenceUnit
	return nil
}

// weigh tells how many packets a chunk speaks of, at most most, and how many bytes their
// deltas take.
func weigh(chunk uint16, most int) (packets, bytes int) {
	if chunk>>15 == 0 {
		n := min(int(chunk&0x1fff), most)
		if n == 0 {
			return most, 0 // a chunk of nothing ends the message
		}
		return n, n * size(uint8(chunk>>13&3))
	}
	n := min(capacity(chunk), most)
	for i := range n {
		bytes += size(symbol(chunk, i))
	}
	return n, bytes
}

// capacity is how many symbols a status vector holds.
func capacity(chunk uint16) int {
	if chunk>>14&1 == 0 {
		return 14
	}
	return 7
}

func symbol(chunk uint16, i int) uint8 {
	if chunk>>14&1 == 0 {
		return uint8(chunk >> (13 - i) & 1)
	}
	return uint8(chunk >> (12 - 2*i) & 3)
}

func size(status uint8) int {
	switch status {
	case statusSmall:
		return 1
	case statusLarge:
		return 2
	}
	return 0
}

// Next steps to the next packet, false after the last.
func (r *Reader) Next() bool {
	if r.left == 0 {
		return false
	}
	if r.inChunk == 0 {
		r.chunk = binary.BigEndian.Uint16(r.chunks)
		r.chunks = r.chunks[chunkBytes:]
		r.inChunk = capacity(r.chunk)
		if r.chunk>>15 == 0 {
			r.inChunk = int(r.chunk & 0x1fff)
		}
		if r.inChunk == 0 {
			r.left = 0
			return false
		}
	}
	status := uint8(r.chunk >> 13 & 3)
	if r.chunk>>15 != 0 {
		status = symbol(r.chunk, capacity(r.chunk)-r.inChunk)
	}
	r.inChunk--
	r.left--
	r.Seq++
	r.Received = false
	switch status {
	case statusSmall:
		r.At += int64(r.deltas[0]) * deltaUnit
		r.deltas, r.Received = r.deltas[1:], true
	case statusLarge:
		r.At += int64(int16(binary.BigEndian.Uint16(r.deltas))) * deltaUnit
		r.deltas, r.Received = r.deltas[2:], true
	}
	return true
}
