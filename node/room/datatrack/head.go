package datatrack

import "encoding/binary"

const (
	headBytes = 12 // bytes of a data-track packet before extensions and payload
	// maxPacket in bytes; clients cut their frames into packets of 16,000.
	maxPacket = 20_000
	// maxVersion is the newest packet format.
	maxVersion = 0
)

// Head is what the node reads of a data-track packet; the rest is the
// publisher's and its subscribers' (signalling.md 4.8).
type Head struct {
	Handle, Frame uint16
}

// ReadHead reads a data-track packet; false for one that no client could read.
func ReadHead(b []byte) (h Head, ok bool) {
	if len(b) < headBytes || len(b) > maxPacket || b[0]>>5 > maxVersion {
		return h, false
	}
	if b[0]&(1<<2) != 0 {
		// Extensions: their length in words of four bytes, less one, counts itself.
		if len(b) < headBytes+2 || headBytes+4*(int(binary.BigEndian.Uint16(b[headBytes:]))+1) > len(b) {
			return h, false
		}
	}
	h = Head{Handle: binary.BigEndian.Uint16(b[2:]), Frame: binary.BigEndian.Uint16(b[6:])}
	return h, h.Handle != 0
}

// SetHandle writes the handle by which a subscriber knows the track.
func SetHandle(b []byte, handle uint16) { binary.BigEndian.PutUint16(b[2:], handle) }
