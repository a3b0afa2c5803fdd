package wire

import (
	"encoding/binary"

	"maille/relay"
)

// minFrame is the smallest frame: fixed header, length, and no payload.
const minFrame = fixedHeader + 2

// fixedHeader is handle, flags, layers, marker and payload type, sequence, timestamp.
const fixedHeader = 2 + 1 + 1 + 1 + 2 + 4

// Part tells which piece of a packet a frame carries.
type Part uint8

const (
	Whole Part = iota
	FirstHalf
	SecondHalf
)

// Frame is one packet of a stream on a link. Slices alias the datagram when decoded
// and the packet when encoded.
//
//	handle    u16   stream, chosen by the receiver when it asked for it
//	flags     u8    see the flag constants
//	layers    u8    encoding:2 spatial:2 temporal:2 prev:2
//	type      u8    marker:1 payload type:7
//	seq       u16   origin's
//	timestamp u32   origin's
//	prev      0-5   how far back, or the number itself; absent when seq-1 or none; with
//	                omitted: 0, how far back u16 (0 = none), how many omitted u16
//	ssrc      u32   now and then; the receiver remembers it
//	level     u8    voice:1 level:7
//	ext       2+n   lengths of descriptor and capture time, then both
//	part      u16   second:1 offset:15
//	length    u16   absent on the last frame of a full datagram
type Frame struct {
	Handle                      uint16
	Encoding, Spatial, Temporal uint8

	PayloadType uint8
	Marker      bool
	Keyframe    bool
	FrameStart  bool
	SwitchPoint bool

	Seq       uint16
	Timestamp uint32

	// Prev is the origin sequence sent before this one on this link for the same
	// stream and encoding, valid when HasPrev. Only breaks in this chain are losses.
	Prev    uint16
	HasPrev bool

	// Omitted is how many numbers right before Seq were left out on purpose, at the origin
	// or on the way: Prev tells only what was left out on this link.
	Omitted uint16

	SSRC    uint32
	HasSSRC bool

	Level    uint8
	Voice    bool
	HasLevel bool

	Descriptor  []byte
	CaptureTime []byte

	Part Part
	// Offset is where a second half begins in the packet's payload.
	Offset uint16

	Payload []byte
}

const (
	flagKeyframe = 1 << iota
	flagFrameStart
	flagSwitch
	flagLevel
	flagExt
	flagLength
	flagPart
	flagSSRC
)

const (
	prevNext = 0 // seq-1
	prevBack = 1 // one byte: how far back, or 0 and four more bytes with omitted
	prevFull = 2 // two bytes: the number
	prevNone = 3
)

// maxExt bounds each extension; the longest real one is a dependency descriptor with
// its template structure, about 100 bytes.
const maxExt = 255

// From fills the frame from a packet. Extensions beyond bounds are left out.
func (f *Frame) From(p *relay.Packet, handle uint16) {
	*f = Frame{
		Handle: handle, Encoding: p.Encoding, Spatial: p.Spatial, Temporal: p.Temporal,
		PayloadType: p.PayloadType, Marker: p.Marker, Keyframe: p.Keyframe,
		FrameStart: p.FrameStart, SwitchPoint: p.SwitchPoint,
		Seq: p.Seq, Timestamp: p.Timestamp, SSRC: p.SSRC, Omitted: p.Omitted,
		Level: p.Level, Voice: p.Voice, HasLevel: p.HasLevel, Payload: p.Payload,
	}
	if len(p.Descriptor) <= maxExt {
		f.Descriptor = p.Descriptor
	}
	if len(p.CaptureTime) <= maxExt {
		f.CaptureTime = p.CaptureTime
	}
}

// Size is the encoded size; withLength tells whether the length field is written.
func (f *Frame) Size(withLength bool) int {
	n := fixedHeader + len(f.Payload)
	switch f.prevForm() {
	case prevBack:
		n++
		if f.Omitted > 0 {
			n += 4
		}
	case prevFull:
		n += 2
	}
	if f.HasSSRC {
		n += 4
	}
	if f.HasLevel {
		n++
	}
	if len(f.Descriptor)+len(f.CaptureTime) > 0 {
		n += 2 + len(f.Descriptor) + len(f.CaptureTime)
	}
	if f.Part != Whole {
		n += 2
	}
	if withLength {
		n += 2
	}
	return n
}

func (f *Frame) prevForm() uint8 {
	switch back := f.Seq - f.Prev; {
	case f.Omitted > 0:
		return prevBack
	case !f.HasPrev:
		return prevNone
	case back == 1:
		return prevNext
	case back > 0 && back < 256:
		return prevBack
	}
	return prevFull
}

// Split cuts a frame that no datagram holds into two that one each does.
func (f *Frame) Split() (first, second Frame) {
	first, second = *f, *f
	first.Part, second.Part = FirstHalf, SecondHalf
	second.Descriptor, second.CaptureTime = nil, nil
	cut := len(f.Payload) / 2
	first.Payload, second.Payload = f.Payload[:cut], f.Payload[cut:]
	second.Offset = uint16(cut)
	return first, second
}

// Fits tells whether the frame goes into a datagram of its own, unsplit.
func (f *Frame) Fits() bool { return f.FitsIn(MaxDatagram) }

// FitsIn is Fits for a datagram of at most max bytes.
func (f *Frame) FitsIn(max int) bool { return BundleHeader+f.Size(false) <= max }

func (f *Frame) append(b []byte, last bool) []byte {
	var flags uint8
	set := func(on bool, flag uint8) {
		if on {
			flags |= flag
		}
	}
	ext := len(f.Descriptor)+len(f.CaptureTime) > 0
	set(f.Keyframe, flagKeyframe)
	set(f.FrameStart, flagFrameStart)
	set(f.SwitchPoint, flagSwitch)
	set(f.HasLevel, flagLevel)
	set(ext, flagExt)
	set(!last, flagLength)
	set(f.Part != Whole, flagPart)
	set(f.HasSSRC, flagSSRC)

	form := f.prevForm()
	b = binary.BigEndian.AppendUint16(b, f.Handle)
	b = append(b, flags, f.Encoding<<6|f.Spatial<<4|f.Temporal<<2|form, bit7(f.Marker)|f.PayloadType&0x7f)
	b = binary.BigEndian.AppendUint16(b, f.Seq)
	b = binary.BigEndian.AppendUint32(b, f.Timestamp)
	switch form {
	case prevBack:
		b = f.appendBack(b)
	case prevFull:
		b = binary.BigEndian.AppendUint16(b, f.Prev)
	}
	if f.HasSSRC {
		b = binary.BigEndian.AppendUint32(b, f.SSRC)
	}
	if f.HasLevel {
		b = append(b, bit7(f.Voice)|f.Level&0x7f)
	}
	if ext {
		b = append(b, uint8(len(f.Descriptor)), uint8(len(f.CaptureTime)))
		b = append(append(b, f.Descriptor...), f.CaptureTime...)
	}
	switch f.Part {
	case FirstHalf:
		b = binary.BigEndian.AppendUint16(b, 0)
	case SecondHalf:
		b = binary.BigEndian.AppendUint16(b, 1<<15|f.Offset)
	}
	if !last {
		b = binary.BigEndian.AppendUint16(b, uint16(len(f.Payload)))
	}
	return append(b, f.Payload...)
}

func (f *Frame) appendBack(b []byte) []byte {
	back := f.Seq - f.Prev
	if f.Omitted == 0 {
		return append(b, uint8(back))
	}
	if !f.HasPrev {
		back = 0
	}
	b = binary.BigEndian.AppendUint16(append(b, 0), back)
	return binary.BigEndian.AppendUint16(b, f.Omitted)
}

func bit7(on bool) uint8 {
	if on {
		return 0x80
	}
	return 0
}
