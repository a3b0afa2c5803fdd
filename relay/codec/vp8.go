package codec

import (
	"encoding/binary"

	"maille/relay"
)

// VP8Descriptor is the payload descriptor before each VP8 payload (RFC 7741
// section 4.2). Absent fields are zero.
type VP8Descriptor struct {
	Start     bool  // first packet of a partition
	Partition uint8 // 0 holds the frame header
	NonRef    bool  // no other frame needs this one

	HasPicture bool
	Wide       bool   // Picture has 15 bits, else 7
	Picture    uint16 // picture id, +1 a picture

	HasTL0 bool
	TL0    uint8 // +1 a picture of temporal layer 0

	HasTemporal bool
	Temporal    uint8
	Sync        bool // depends on temporal layer 0 only

	Size               int // bytes the descriptor takes
	pictureAt, tl0From int
}

// ParseVP8 reads the descriptor at the start of a payload, false when cut short.
func ParseVP8(b []byte) (d VP8Descriptor, ok bool) {
	if len(b) < 1 {
		return d, false
	}
	d.Start, d.NonRef, d.Partition = b[0]&0x10 != 0, b[0]&0x20 != 0, b[0]&0x07
	at := 1
	if b[0]&0x80 != 0 {
		if len(b) < 2 {
			return d, false
		}
		at = d.extended(b)
	}
	d.Size = at
	return d, at <= len(b)
}

// extended reads the optional fields and returns where they end, which may be beyond
// the data.
func (d *VP8Descriptor) extended(b []byte) int {
	flags, at := b[1], 2
	byteAt := func(i int) uint8 {
		if i < len(b) {
			return b[i]
		}
		return 0
	}
	if flags&0x80 != 0 {
		d.HasPicture, d.pictureAt = true, at
		d.Picture = uint16(byteAt(at) & 0x7f)
		if byteAt(at)&0x80 != 0 {
			d.Wide = true
			d.Picture = d.Picture<<8 | uint16(byteAt(at+1))
			at++
		}
		at++
	}
	if flags&0x40 != 0 {
		d.HasTL0, d.tl0From, d.TL0 = true, at, byteAt(at)
		at++
	}
	if flags&0x30 != 0 {
		if flags&0x20 != 0 {
			d.HasTemporal, d.Temporal, d.Sync = true, byteAt(at)>>6, byteAt(at)&0x20 != 0
		}
		at++
	}
	return at
}

// Rewrite puts other numbers into a copy of the payload that d was read from; the
// size stays. The key frame index stays too: it is optional and receivers order by
// the other two. Fields that d lacks are left alone.
func (d *VP8Descriptor) Rewrite(payload []byte, picture uint16, tl0 uint8) {
	switch {
	case d.HasPicture && d.Wide:
		binary.BigEndian.PutUint16(payload[d.pictureAt:], 0x8000|picture&0x7fff)
	case d.HasPicture:
		payload[d.pictureAt] = uint8(picture & 0x7f)
	}
	if d.HasTL0 {
		payload[d.tl0From] = tl0
	}
}

// First reports whether the payload begins a picture.
func (d *VP8Descriptor) First() bool { return d.Start && d.Partition == 0 }

// Keyframe reports whether the payload begins a keyframe: the lowest bit of the
// frame's first byte is clear (RFC 6386 section 9.1).
func (d *VP8Descriptor) Keyframe(payload []byte) bool {
	return d.First() && len(payload) > d.Size && payload[d.Size]&1 == 0
}

// VP8FrameSize reads width and height in pixels from the ten bytes at the start of a
// keyframe (RFC 6386 section 9.1), those that follow the descriptor.
func VP8FrameSize(frame []byte) (width, height int, ok bool) {
	if len(frame) < 10 || frame[0]&1 != 0 || frame[3] != 0x9d || frame[4] != 0x01 || frame[5] != 0x2a {
		return 0, 0, false
	}
	width = int(binary.LittleEndian.Uint16(frame[6:]) & 0x3fff)
	height = int(binary.LittleEndian.Uint16(frame[8:]) & 0x3fff)
	return width, height, true
}

func inspectVP8(p *relay.Packet) VP8Descriptor {
	d, ok := ParseVP8(p.Payload)
	if !ok || len(p.Payload) == d.Size {
		return d
	}
	p.FrameStart = d.First()
	p.Keyframe = d.Keyframe(p.Payload)
	p.Temporal = min(d.Temporal, relay.MaxTemporal-1)
	p.SwitchPoint = d.Sync || p.Keyframe || p.Temporal == 0
	return d
}
