package wire

import "maille/relay"

// pendingHalves bounds the packets that wait for their other half. Halves leave in
// consecutive datagrams, so more than a few pending ones means loss.
const pendingHalves = 32

// Joiner puts halves of packets back together. It holds at most pendingHalves and
// gives up the oldest first. It is not safe for concurrent use.
type Joiner struct {
	slots [pendingHalves]half
	next  int
}

type half struct {
	p      *relay.Packet
	handle uint16
	have   Part
	ext    int // bytes of extensions that came with the first half
	end    int // payload bytes known so far: end of the second half, or length of the first
	at     int // where the second half begins
}

// Add takes a half and returns the whole packet once both are there, nil before. The
// packet lacks SSRC and time of arrival. lost counts packets given up: to make room,
// or because the halves do not match.
func (j *Joiner) Add(f *Frame) (p *relay.Packet, lost int) {
	for i := range j.slots {
		h := &j.slots[i]
		if h.p == nil || h.handle != f.Handle || h.p.Seq != f.Seq || h.p.Encoding != f.Encoding {
			continue
		}
		if h.have == f.Part {
			return nil, 0
		}
		p, ok := h.complete(f)
		*h = half{}
		if !ok {
			p.Release()
			return nil, 1
		}
		return p, 0
	}
	h := &j.slots[j.next]
	j.next = (j.next + 1) % pendingHalves
	if h.p != nil {
		h.p.Release()
		lost = 1
	}
	*h = half{
		p: relay.NewPacket(), handle: f.Handle, have: f.Part,
		ext: len(f.Descriptor) + len(f.CaptureTime),
		at:  int(f.Offset), end: int(f.Offset) + len(f.Payload),
	}
	f.Fill(h.p)
	return nil, lost
}

// complete adds the other half; false when the two do not meet.
func (h *half) complete(f *Frame) (*relay.Packet, bool) {
	p, buf := h.p, h.p.Buffer()
	if f.Part == SecondHalf {
		end := int(f.Offset) + len(f.Payload)
		if int(f.Offset) != h.end || end+h.ext > len(buf) {
			return p, false
		}
		copy(buf[f.Offset:], f.Payload)
		p.Payload = buf[:end:end]
		return p, true
	}
	if len(f.Payload) != h.at || h.end+len(f.Descriptor)+len(f.CaptureTime) > len(buf) {
		return p, false
	}
	copy(buf, f.Payload)
	p.Payload = buf[:h.end:h.end]
	f.fillExt(p, h.end)
	return p, true
}

// Reset releases what is pending.
func (j *Joiner) Reset() {
	for i := range j.slots {
		if p := j.slots[i].p; p != nil {
			p.Release()
		}
		j.slots[i] = half{}
	}
}
