package codec

import (
	"encoding/binary"

	"maille/relay"
)

// NAL unit types (ITU-T H.264 table 7-1, RFC 6184 section 5.2).
const (
	nalSlice = 1
	nalIDR   = 5
	nalSPS   = 7
	nalSTAPA = 24
	nalFUA   = 28
)

// inspectH264 marks by NAL unit type. A keyframe begins with its sequence parameter
// set, or with the first slice of an instantaneous refresh when the parameters came
// by another way; a keyframe's packets that tell neither are not marked.
func inspectH264(p *relay.Packet) {
	b := p.Payload
	if len(b) < 2 {
		return
	}
	switch b[0] & 0x1f {
	case nalSTAPA:
		for b = b[1:]; len(b) >= 2; {
			n := int(binary.BigEndian.Uint16(b))
			b = b[2:]
			if n == 0 || n > len(b) {
				return
			}
			inspectNAL(p, b[0]&0x1f, b[1:n])
			b = b[n:]
		}
	case nalFUA:
		if b[1]&0x80 != 0 {
			inspectNAL(p, b[1]&0x1f, b[2:])
		} else if b[1]&0x1f == nalIDR {
			p.Keyframe = true
		}
	default:
		inspectNAL(p, b[0]&0x1f, b[1:])
	}
}

// inspectNAL marks by one NAL unit that starts in the packet; body follows its
// header. A slice with its first bit set begins at macroblock 0 (Exp-Golomb zero).
func inspectNAL(p *relay.Packet, kind uint8, body []byte) {
	first := len(body) > 0 && body[0]&0x80 != 0
	switch kind {
	case nalSPS:
		p.Keyframe, p.FrameStart, p.SwitchPoint = true, true, true
	case nalIDR:
		p.Keyframe, p.SwitchPoint = true, true
		p.FrameStart = p.FrameStart || first
	case nalSlice:
		p.SwitchPoint = true
		p.FrameStart = p.FrameStart || first
	}
}
