package codec

import "maille/relay"

// VP9Descriptor is the payload descriptor before each VP9 payload (RFC 9628
// section 4.2). Absent fields are zero.
type VP9Descriptor struct {
	Inter      bool // predicted from other pictures
	Start, End bool // first, last packet of a layer's picture
	NotUpward  bool // Z: no higher spatial layer of this picture needs it

	HasPicture bool
	Wide       bool   // Picture has 15 bits, else 7
	Picture    uint16 // picture id

	Layered           bool
	Spatial, Temporal uint8
	SwitchUp          bool // a decoder may move up to this temporal layer
	InterLayer        bool // predicted from the spatial layer below
	TL0               uint8

	Size      int // bytes the descriptor takes
	pictureAt int
	tl0From   int // 0 when there is none
}

// ParseVP9 reads the descriptor at the start of a payload, false when cut short.
func ParseVP9(b []byte) (d VP9Descriptor, ok bool) {
	r := reader{b: b}
	flags := r.byte()
	flexible := flags&0x10 != 0
	d.Inter, d.Start, d.End, d.NotUpward = flags&0x40 != 0, flags&0x08 != 0, flags&0x04 != 0, flags&0x01 != 0
	if flags&0x80 != 0 {
		d.HasPicture, d.pictureAt = true, r.at
		v := r.byte()
		d.Picture = uint16(v & 0x7f)
		if v&0x80 != 0 {
			d.Wide = true
			d.Picture = d.Picture<<8 | uint16(r.byte())
		}
	}
	if flags&0x20 != 0 {
		v := r.byte()
		d.Layered = true
		d.Temporal, d.SwitchUp, d.Spatial, d.InterLayer = v>>5, v&0x10 != 0, v>>1&7, v&1 != 0
		if !flexible {
			d.tl0From = r.at
			d.TL0 = r.byte()
		}
	}
	if flexible && d.Inter {
		for range 3 { // at most three references
			if r.byte()&1 == 0 {
				break
			}
		}
	}
	if flags&0x02 != 0 {
		r.scalability()
	}
	d.Size = r.at
	return d, !r.short
}

// scalability skips the scalability structure.
func (r *reader) scalability() {
	v := r.byte()
	if v&0x10 != 0 {
		r.skip(4 * (int(v>>5) + 1)) // width and height of each spatial layer
	}
	if v&0x08 != 0 {
		for range r.byte() {
			r.skip(int(r.byte() >> 2 & 3)) // references of a picture in the group
		}
	}
}

// reader reads bytes and notes when there were too few; what is missing reads as 0.
type reader struct {
	b     []byte
	at    int
	short bool
}

func (r *reader) byte() uint8 {
	if r.at >= len(r.b) {
		r.short = true
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *reader) skip(n int) {
	if n > len(r.b)-r.at {
		r.short, n = true, len(r.b)-r.at
	}
	r.at += n
}

// Rewrite puts another picture id and TL0 index into a copy of the payload that d
// was read from; the size stays. Fields that d lacks are left alone.
func (d *VP9Descriptor) Rewrite(payload []byte, picture uint16, tl0 uint8) {
	if d.HasPicture {
		if d.Wide {
			payload[d.pictureAt], payload[d.pictureAt+1] = 0x80|uint8(picture>>8), uint8(picture)
		} else {
			payload[d.pictureAt] = uint8(picture & 0x7f)
		}
	}
	if d.tl0From != 0 {
		payload[d.tl0From] = tl0
	}
}

func inspectVP9(p *relay.Packet) {
	d, ok := ParseVP9(p.Payload)
	if !ok || len(p.Payload) == d.Size {
		return
	}
	p.Keyframe = d.Start && !d.Inter
	p.FrameStart = d.Start && d.Spatial == 0
	layer(p, d.Spatial, d.Temporal)
	p.SwitchPoint = d.SwitchUp || !d.Inter || d.Temporal == 0
}
