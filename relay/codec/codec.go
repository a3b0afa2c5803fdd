// Package codec reads what a forwarder needs from the clear bytes of a packet: where
// pictures begin, which are keyframes, which layer a packet belongs to. It looks only
// at payload descriptors, header extensions and the first bytes that end to end
// encryption leaves clear (one byte of a VP8 frame, the first of an H.264 or H.265 NAL unit), never
// at the coded picture. No input makes it fail: what cannot be read is unmarked.
package codec

import (
	"strings"

	"maille/relay"
)

// Codec names a payload format.
type Codec uint8

const (
	Unknown Codec = iota
	Opus
	RED
	VP8
	VP9
	H264
	AV1
	H265
)

var names = map[string]Codec{
	"opus": Opus, "red": RED, "vp8": VP8, "vp9": VP9, "h264": H264, "av1": AV1, "h265": H265,
}

// Of returns the codec of a MIME type such as "video/VP8", in any case, with or
// without the kind.
func Of(mime string) Codec {
	if i := strings.IndexByte(mime, '/'); i >= 0 {
		mime = mime[i+1:]
	}
	return names[strings.ToLower(mime)]
}

// ClockRate returns the RTP clock rate in Hz.
func (c Codec) ClockRate() uint32 {
	if c == Opus || c == RED {
		return 48000
	}
	return 90000
}

// Inspect marks one packet without knowing those before it. It suffices for Opus,
// VP8, VP9, H.264 and H.265; AV1 needs an Inspector to know layers.
func Inspect(mime string, p *relay.Packet) {
	i := Inspector{codec: Of(mime)}
	i.Inspect(p)
}

// Inspector marks the packets of one encoding. It is not safe for concurrent use.
type Inspector struct {
	codec Codec
	deps  *Structure // of the last keyframe that carried one
	next  *Structure // scratch for the one being read
	// lifted are the temporal layers, by spatial layer, that a decoder may move up to with
	// their next picture: the last one of the lowest said so.
	lifted [maxSpatialIDs]uint8
}

// NewInspector returns an inspector for a MIME type.
func NewInspector(mime string) *Inspector { return &Inspector{codec: Of(mime)} }

// Inspect sets Keyframe, FrameStart, Temporal and SwitchPoint of p, and Spatial when
// the encoding carries spatial layers (Encoding is 0 and the codec is VP9 or AV1).
// Payload, Descriptor and Encoding must be set.
func (i *Inspector) Inspect(p *relay.Packet) {
	if p.Descriptor != nil && i.codec != VP8 {
		if d, ok := i.described(p); ok {
			p.Keyframe = d.Structured
			p.FrameStart = d.Start && d.Spatial == 0
			p.SwitchPoint = i.lifts(&d)
			layer(p, d.Spatial, d.Temporal)
			return
		}
	}
	switch i.codec {
	case Opus, RED:
		p.FrameStart = len(p.Payload) > 0
	case VP8:
		if d := inspectVP8(p); !d.HasTemporal && p.Descriptor != nil {
			i.timed(p)
		}
	case VP9:
		inspectVP9(p)
	case H264:
		inspectH264(p)
	case AV1:
		inspectAV1(p)
	case H265:
		inspectH265(p)
	}
}

// timed marks the temporal layer of p from its dependency descriptor. Chromium tells it
// there alone: with one, its VP8 descriptors hold nothing that is optional.
func (i *Inspector) timed(p *relay.Packet) {
	if d, ok := i.described(p); ok {
		p.Temporal = min(d.Temporal, relay.MaxTemporal-1)
		p.SwitchPoint = i.lifts(&d) || p.Keyframe || p.Temporal == 0
	}
}

// lifts reports whether a decoder may move up to the frame's temporal layer with it. What
// is discarded with its layer is no point to move up by itself; the picture of the lowest
// layer before it may have been, and everyone has that one.
func (i *Inspector) lifts(d *Descriptor) bool {
	up, own := &i.lifted[d.Spatial], uint8(1)<<d.Temporal
	may := d.Switch || *up&own != 0
	if d.Start {
		*up &^= own
		if d.Temporal == 0 {
			*up = d.Lift &^ own
		}
	}
	return may
}

// described reads p's dependency descriptor, false when it cannot be read and, without
// one, the payload may say more.
func (i *Inspector) described(p *relay.Packet) (Descriptor, bool) {
	if i.next == nil {
		i.next = new(Structure)
	}
	d, err := ParseDescriptor(p.Descriptor, i.deps, i.next)
	if err != nil {
		return d, false
	}
	if d.Structured {
		if i.deps == nil {
			i.deps = new(Structure)
		}
		i.deps, i.next = i.next, i.deps
	}
	return d, true
}

// layer files the packet under a layer, within relay's bounds.
func layer(p *relay.Packet, spatial, temporal uint8) {
	if p.Encoding == 0 {
		p.Spatial = min(spatial, relay.MaxSpatial-1)
	}
	p.Temporal = min(temporal, relay.MaxTemporal-1)
}

// FrameEnd reports whether p is the last packet of its layer's picture. The node
// that leaves out upper spatial layers sets the marker there.
func (c Codec) FrameEnd(p *relay.Packet) bool {
	switch {
	case len(p.Descriptor) >= mandatoryDescriptor && c != VP8:
		return p.Descriptor[0]&0x40 != 0
	case c == VP9:
		d, ok := ParseVP9(p.Payload)
		return ok && d.End
	}
	return p.Marker
}
