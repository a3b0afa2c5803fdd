package codec

import "maille/relay"

// inspectAV1 marks a packet that has no dependency descriptor: the aggregation
// header only says where a coded video sequence begins (AV1 RTP spec section 4.4).
func inspectAV1(p *relay.Packet) {
	if len(p.Payload) < 2 {
		return
	}
	p.Keyframe = p.Payload[0]&0x08 != 0
	p.FrameStart, p.SwitchPoint = p.Keyframe, p.Keyframe
}
