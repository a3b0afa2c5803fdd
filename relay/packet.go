package relay

import (
	"sync"
	"sync/atomic"
)

// BufferSize holds any RTP packet that a path with a 1,500-byte MTU delivers.
const BufferSize = 1500

// Packet is one RTP packet of a track, parsed once, in a pooled and refcounted
// buffer. All header numbers are the publisher's own ("origin numbering") on every
// node. Fields are read-only once the packet was pushed into a track.
type Packet struct {
	Seq       uint16
	Timestamp uint32
	SSRC      uint32
	// PayloadType is the publisher's; a sink maps it by codec.
	PayloadType uint8
	Marker      bool

	// Spatial is the simulcast encoding or SVC spatial layer, Temporal the temporal
	// layer. For audio Spatial is 0, and Temporal 1 what is not among the loudest.
	Spatial, Temporal uint8
	// Encoding is the simulcast stream that carries the packet (its own SSRC and
	// sequence space). Equal to Spatial for simulcast; 0 for SVC and audio.
	Encoding uint8
	// Keyframe is true on the packets of a keyframe that can be told apart without
	// decoding (at least its first packet).
	Keyframe bool
	// FrameStart is true on the first packet of a picture.
	FrameStart bool
	// SwitchPoint is true where a decoder may move up to this temporal layer.
	SwitchPoint bool

	// Omitted is how many sequence numbers right before Seq were left out on purpose
	// (layers not asked for here, silence), so that they are not taken for lost. A link
	// or the track's classifier sets it; sinks that got those packets all the same see no
	// gap to apply it to. 0 on packets from a client.
	Omitted uint16

	// Level is the RFC 6464 audio level in -dBov (0 loudest, 127 silence), valid when
	// HasLevel.
	Level    uint8
	Voice    bool
	HasLevel bool

	// Extensions that travel end to end, as raw element bodies; nil when absent. They
	// alias the packet's buffer.
	Descriptor  []byte // AV1 RTP spec dependency descriptor
	CaptureTime []byte // abs-capture-time

	// Payload aliases the packet's buffer; its bytes are opaque and never changed.
	Payload []byte

	// Arrived is when this node received the packet, in nanoseconds of the node's
	// monotonic clock.
	Arrived int64

	refs atomic.Int32
	buf  [BufferSize]byte
}

var pool = sync.Pool{New: func() any { return new(Packet) }}

// NewPacket returns an empty packet with one reference.
func NewPacket() *Packet {
	p := pool.Get().(*Packet)
	if p.refs.Load() != 0 {
		panic("relay: pooled packet still referenced")
	}
	p.reset()
	p.refs.Store(1)
	return p
}

func (p *Packet) reset() {
	p.Seq, p.Timestamp, p.SSRC, p.PayloadType, p.Marker = 0, 0, 0, 0, false
	p.Spatial, p.Temporal, p.Encoding = 0, 0, 0
	p.Keyframe, p.FrameStart, p.SwitchPoint = false, false, false
	p.Omitted = 0
	p.Level, p.Voice, p.HasLevel = 0, false, false
	p.Descriptor, p.CaptureTime, p.Payload = nil, nil, nil
	p.Arrived = 0
}

// Buffer returns the packet's whole backing array, for a reader to fill before
// the packet is parsed.
func (p *Packet) Buffer() []byte { return p.buf[:] }

// Retain adds a reference. Only a holder of a reference may call it.
func (p *Packet) Retain() {
	if p.refs.Add(1) <= 1 {
		panic("relay: Retain of a released packet")
	}
}

// Release drops a reference; the last one returns the buffer to the pool.
func (p *Packet) Release() {
	switch n := p.refs.Add(-1); {
	case n == 0:
		pool.Put(p)
	case n < 0:
		panic("relay: packet released twice")
	}
}
