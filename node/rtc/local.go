package rtc

import (
	"strings"

	"github.com/pion/webrtc/v4"

	"maille/relay"
	"maille/relay/codec"
)

// local is a Subscriber as pion sees it: a webrtc.TrackLocal.
type local struct{ s *Subscriber }

// ID is the msid's track id.
func (l local) ID() string { return string(l.s.down.Sid) }

// RID is empty: subscribers get one encoding at a time.
func (l local) RID() string { return "" }

// StreamID is the msid's stream id.
func (l local) StreamID() string { return l.s.down.Stream }

// Kind is pion's word for audio or video.
func (l local) Kind() webrtc.RTPCodecType { return pionKind(l.s.down.Kind) }

// Bind is called by pion when the answer is in. It never fails, which would break the
// whole connection: a track whose codec the client refused stays silent.
func (l local) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	s := l.s
	b := &binding{
		writer: c.WriteStream(), ssrc: uint32(c.SSRC()), rtxSSRC: uint32(c.SSRCRetransmission()),
		formats: c.CodecParameters(),
	}
	chosen := b.choose(s.down.Mime)
	for _, e := range c.HeaderExtensions() {
		setExtension(&b.ids, e.URI, uint8(e.ID))
	}
	if s.down.Kind == relay.Audio {
		b.ids.TransportCC = 0 // see extensions; a Duplex peer has it for what it receives
	}
	if !b.usable {
		s.peer.log.Info("client does not take codec", "track", s.down.Sid, "mime", s.down.Mime)
		if s.down.Refused != nil {
			s.peer.post(s.down.Refused)
		}
	}
	s.peer.hear(s, b)
	s.bound.Store(b)
	return chosen, nil
}

// choose sets the formats that a track of a codec is sent in; usable is false when the
// client has none for it.
func (b *binding) choose(mime string) (chosen webrtc.RTPCodecParameters) {
	b.pt, b.rtx, b.red, b.usable = 0, 0, 0, false
	for _, codec := range b.formats {
		switch {
		case strings.EqualFold(codec.MimeType, sentAs(mime)) && !b.usable:
			chosen, b.pt, b.usable = codec, uint8(codec.PayloadType), true
		case strings.EqualFold(codec.MimeType, mimeRED):
			b.red = uint8(codec.PayloadType)
		}
	}
	for _, codec := range b.formats {
		if repeats(codec, chosen) && b.usable && b.rtxSSRC != 0 {
			b.rtx = uint8(codec.PayloadType)
		}
	}
	return chosen
}

// redundant reports whether a packet goes on as RED: the client takes it, and its opus
// has the number that the packet's blocks name.
func (b *binding) redundant(p *relay.Packet) bool {
	if b.red == 0 || p.PayloadType != ptRED {
		return false
	}
	return codec.REDOf(p.Payload, b.pt)
}

// Unbind is called by pion when the section is freed.
func (l local) Unbind(webrtc.TrackLocalContext) error {
	if b := l.s.bound.Swap(nil); b != nil {
		l.s.peer.unhear(l.s, b)
	}
	return nil
}
