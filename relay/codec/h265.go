package codec

import (
	"encoding/binary"

	"maille/relay"
)

// NAL unit types (ITU-T H.265 table 7-1, RFC 7798 section 4.4).
const (
	h265TSA     = 2 // 2 to 5: a decoder may move up to this temporal layer here
	h265STSA    = 5
	h265Slices  = 9  // 0 to 9 are pictures that refer to others
	h265IRAP    = 16 // 16 to 21 are pictures that refer to nothing before them
	h265IRAPEnd = 21
	h265VPS     = 32
	h265SPS     = 33
	h265AP      = 48
	h265FU      = 49

	h265Header = 2 // bytes of a NAL unit header
)

// inspectH265 marks by NAL unit type. As with H.264 a keyframe begins with its
// parameter sets or with the first slice of a random access picture.
func inspectH265(p *relay.Packet) {
	b := p.Payload
	if len(b) <= h265Header {
		return
	}
	p.Temporal = min(max(b[1]&7, 1)-1, relay.MaxTemporal-1)
	switch kind := b[0] >> 1 & 0x3f; kind {
	case h265AP:
		for b = b[h265Header:]; len(b) > 2+h265Header; {
			n := int(binary.BigEndian.Uint16(b))
			b = b[2:]
			if n <= h265Header || n > len(b) {
				return
			}
			inspectH265NAL(p, b[0]>>1&0x3f, b[h265Header:n], true)
			b = b[n:]
		}
	case h265FU:
		inspectH265NAL(p, b[2]&0x3f, b[3:], b[2]&0x80 != 0)
	default:
		inspectH265NAL(p, kind, b[h265Header:], true)
	}
}

// inspectH265NAL marks by one NAL unit, or a fragment of it; body follows its header. A
// slice with its first bit set is the first of its picture (H.265 section 7.3.6.1).
func inspectH265NAL(p *relay.Packet, kind uint8, body []byte, begins bool) {
	first := begins && len(body) > 0 && body[0]&0x80 != 0
	switch {
	case kind == h265VPS, kind == h265SPS:
		p.Keyframe, p.FrameStart, p.SwitchPoint = true, true, true
	case kind >= h265IRAP && kind <= h265IRAPEnd:
		p.Keyframe, p.SwitchPoint = true, true
		p.FrameStart = p.FrameStart || first
	case kind <= h265Slices:
		p.SwitchPoint = p.SwitchPoint || p.Temporal == 0 || kind >= h265TSA && kind <= h265STSA
		p.FrameStart = p.FrameStart || first
	}
}
