package wire

import (
	"encoding/binary"

	"maille/relay"
)

// Next decodes the first frame of b into f and returns the bytes behind it.
func (f *Frame) Next(b []byte) (rest []byte, err error) {
	if len(b) < fixedHeader {
		return nil, ErrShort
	}
	flags, layers, pt := b[2], b[3], b[4]
	*f = Frame{
		Handle:   binary.BigEndian.Uint16(b),
		Encoding: layers >> 6, Spatial: layers >> 4 & 3, Temporal: layers >> 2 & 3,
		PayloadType: pt & 0x7f, Marker: pt&0x80 != 0,
		Keyframe: flags&flagKeyframe != 0, FrameStart: flags&flagFrameStart != 0,
		SwitchPoint: flags&flagSwitch != 0,
		Seq:         binary.BigEndian.Uint16(b[5:]), Timestamp: binary.BigEndian.Uint32(b[7:]),
	}
	if f.Encoding >= relay.MaxSpatial || f.Spatial >= relay.MaxSpatial {
		return nil, ErrInvalid
	}
	c := cursor{b: b[fixedHeader:]}
	switch layers & 3 {
	case prevNext:
		f.Prev, f.HasPrev = f.Seq-1, true
	case prevBack:
		back := uint16(c.u8())
		if back == 0 {
			back, f.Omitted = c.u16(), c.u16()
		} else if back == 1 {
			return nil, ErrInvalid
		}
		if back > 0 {
			f.Prev, f.HasPrev = f.Seq-back, true
		}
	case prevFull:
		f.Prev, f.HasPrev = c.u16(), true
	}
	if flags&flagSSRC != 0 {
		f.SSRC, f.HasSSRC = c.u32(), true
	}
	if flags&flagLevel != 0 {
		v := c.u8()
		f.Level, f.Voice, f.HasLevel = v&0x7f, v&0x80 != 0, true
	}
	if flags&flagExt != 0 {
		d, t := int(c.u8()), int(c.u8())
		f.Descriptor, f.CaptureTime = c.take(d), c.take(t)
	}
	if flags&flagPart != 0 {
		if v := c.u16(); v>>15 == 0 {
			f.Part = FirstHalf
		} else {
			f.Part, f.Offset = SecondHalf, v&0x7fff
		}
	}
	n := len(c.b)
	if flags&flagLength != 0 {
		n = int(c.u16())
	}
	f.Payload = c.take(n)
	if c.short {
		return nil, ErrShort
	}
	if int(f.Offset)+len(f.Payload)+len(f.Descriptor)+len(f.CaptureTime) > relay.BufferSize {
		return nil, ErrInvalid
	}
	return c.b, nil
}

// Fill copies the frame into a fresh packet, except for SSRC and time of arrival.
func (f *Frame) Fill(p *relay.Packet) {
	p.Seq, p.Timestamp, p.PayloadType, p.Marker = f.Seq, f.Timestamp, f.PayloadType, f.Marker
	p.Spatial, p.Temporal, p.Encoding = f.Spatial, f.Temporal, f.Encoding
	p.Keyframe, p.FrameStart, p.SwitchPoint = f.Keyframe, f.FrameStart, f.SwitchPoint
	p.Omitted = f.Omitted
	p.Level, p.Voice, p.HasLevel = f.Level, f.Voice, f.HasLevel
	buf := p.Buffer()
	n := copy(buf[f.Offset:], f.Payload) + int(f.Offset)
	p.Payload = buf[:n:n]
	f.fillExt(p, n)
}

// fillExt places the extensions at the end of the buffer, behind any payload.
func (f *Frame) fillExt(p *relay.Packet, from int) {
	buf := p.Buffer()
	if d := len(f.Descriptor); d > 0 && from+d <= len(buf) {
		end := len(buf)
		at := end - d
		copy(buf[at:], f.Descriptor)
		p.Descriptor = buf[at:end:end]
	}
	if t := len(f.CaptureTime); t > 0 && from+len(p.Descriptor)+t <= len(buf) {
		end := len(buf) - len(p.Descriptor)
		at := end - t
		copy(buf[at:], f.CaptureTime)
		p.CaptureTime = buf[at:end:end]
	}
}

// cursor reads fields; after the first that is cut short everything reads as zero.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.b, c.short = nil, true
		return nil
	}
	if n == 0 {
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) u8() uint8 {
	if v := c.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if v := c.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if v := c.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}
