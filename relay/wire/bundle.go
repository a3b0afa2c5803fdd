package wire

import "encoding/binary"

// BundleHeader is the size of a bundle's header: type and link sequence.
const BundleHeader = 3

// Bundle builds one media datagram in a caller's buffer.
type Bundle struct {
	buf    []byte
	frames int
	closed bool
}

// NewBundle starts a bundle in buf[:0]; buf should have capacity MaxDatagram. The
// sequence number is set by Seal, as late as possible.
func NewBundle(buf []byte, t Type) Bundle {
	return Bundle{buf: append(buf[:0], byte(t), 0, 0)}
}

// Add appends a frame and reports whether it fitted. A frame that leaves no room for
// another is written without a length and closes the bundle.
func (b *Bundle) Add(f *Frame) bool {
	left := MaxDatagram - len(b.buf) - f.Size(false)
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
func (b *Bundle) Full() bool { return b.closed || MaxDatagram-len(b.buf) < minFrame }

// Seal writes the link sequence number and returns the datagram.
func (b *Bundle) Seal(seq uint16) []byte {
	binary.BigEndian.PutUint16(b.buf[1:], seq)
	return b.buf
}

// ParseBundle returns the link sequence number and the frames' bytes.
func ParseBundle(b []byte) (seq uint16, frames []byte, err error) {
	if len(b) < BundleHeader {
		return 0, nil, ErrShort
	}
	return binary.BigEndian.Uint16(b[1:]), b[BundleHeader:], nil
}
