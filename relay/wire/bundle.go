package wire

import "encoding/binary"

// BundleHeader is the size of a bundle's header: type and link sequence.
const BundleHeader = 3

// Bundle builds one media datagram in a caller's buffer.
type Bundle struct {
	buf    []byte
	max    int
	frames int
	closed bool
}

// NewBundle starts a bundle in buf[:0]; buf should have capacity MaxDatagram. The
// sequence number is set by Seal, as late as possible.
func NewBundle(buf []byte, t Type) Bundle { return NewBundleMax(buf, t, MaxDatagram) }

// NewBundleMax starts a bundle of at most max bytes, for paths that carry no more.
func NewBundleMax(buf []byte, t Type, max int) Bundle {
	return Bundle{buf: append(buf[:0], byte(t), 0, 0), max: max}
}

// Add appends a frame and reports whether it fitted. A frame that leaves no room for
// another is written without a length and closes the bundle.
func (b *Bundle) Add(f *Frame) bool {
	left := b.max - len(b.buf) - f.Size(false)
	if b.closed || left < 0 {
		return false
	}
	last := left < minFrame
	b.buf = f.append(b.buf, last)
	b.frames++
	b.closed = last
	return true
}

// Frames is how many frames the bundle holds.
func (b *Bundle) Frames() int { return b.frames }

// Len is the size of the datagram so far.
func (b *Bundle) Len() int { return len(b.buf) }

// Full tells that no frame fits any more.
func (b *Bundle) Full() bool { return b.closed || b.Left() < minFrame }

// Left is how many bytes more the datagram may hold.
func (b *Bundle) Left() int { return b.max - len(b.buf) }

// Holds tells whether an empty bundle of this size would hold the frame unsplit.
func (b *Bundle) Holds(f *Frame) bool { return f.FitsIn(b.max) }

// Seal writes the link sequence number and returns the datagram.
func (b *Bundle) Seal(seq uint16) []byte {
	binary.BigEndian.PutUint16(b.buf[1:], seq)
	return b.buf
}

// Pad makes the datagram at least size bytes long, which must be less than its bound by
// two, or the bound: a transport that puts several datagrams into one packet then finds
// no room for a second. A datagram that lacks a single byte stays as it is. Nothing can be
// added afterwards.
func (b *Bundle) Pad(size int) {
	short := size - len(b.buf)
	if short <= 0 || size == b.max && short < padTrailer {
		return
	}
	b.closed = true
	b.buf[0] = byte(TypePadded)
	n := max(short, padTrailer)
	b.buf = append(b.buf, make([]byte, n-padTrailer)...)
	b.buf = binary.BigEndian.AppendUint16(b.buf, uint16(n))
}

const padTrailer = 2

// ParseBundle returns the link sequence number and the frames' bytes.
func ParseBundle(b []byte) (seq uint16, frames []byte, err error) {
	if len(b) < BundleHeader {
		return 0, nil, ErrShort
	}
	frames = b[BundleHeader:]
	if Type(b[0]) == TypePadded {
		if len(frames) < padTrailer {
			return 0, nil, ErrShort
		}
		n := int(binary.BigEndian.Uint16(frames[len(frames)-padTrailer:]))
		if n < padTrailer || n > len(frames) {
			return 0, nil, ErrInvalid
		}
		frames = frames[:len(frames)-n]
	}
	return binary.BigEndian.Uint16(b[1:]), frames, nil
}
