package rtc

import (
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"maille/node/rtc/sdp"
	"maille/relay"
)

// format is one row of what this node negotiates.
type format struct {
	kind relay.Kind
	mime string
	pt   uint8
	rtx  uint8 // payload type of its retransmissions; 0 for none
	rate uint32
	chns uint16
	fmtp string
	// common formats are decoded by every client. They are what a client is asked to send
	// unless it names another, and what each section falls back to.
	common bool
	// up and down say whether clients may send it, and are sent it.
	up, down bool
}

const (
	// MimeRED is opus with redundancy (RFC 2198).
	MimeRED = "audio/red"
	mimeRED = MimeRED
	// ptOpus and ptRED are how packets of an audio/red track are told apart on every node.
	ptOpus = 111
	ptRED  = 63
)

// codecs is the table; payload types are the ones LiveKit clients see elsewhere, and
// only matter in this node's offers. Order is preference.
//
// H264 is only constrained baseline: it is what every receiver decodes, and one
// publisher is watched by all kinds of receivers. RED (RFC 2198) goes on to subscribers
// that take it; for others the node that faces them sends the opus in it. The level of
// H265 is the highest of its tier: it bounds nothing here.
var codecs = []format{
	{relay.Video, webrtc.MimeTypeVP8, 96, 97, 90000, 0, "", true, true, true},
	{
		relay.Video, webrtc.MimeTypeH264, 108, 109, 90000, 0,
		"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", true, true, true,
	},
	{relay.Video, webrtc.MimeTypeVP9, 98, 99, 90000, 0, "profile-id=0", false, true, true},
	{relay.Video, webrtc.MimeTypeAV1, 35, 36, 90000, 0, "", false, true, true},
	{relay.Video, webrtc.MimeTypeH265, 116, 117, 90000, 0, "level-id=186;profile-id=1;tier-flag=0;tx-mode=SRST", false, true, true},
	{relay.Audio, webrtc.MimeTypeOpus, ptOpus, 0, 48000, 2, "minptime=10;useinbandfec=1", true, true, true},
	{relay.Audio, mimeRED, ptRED, 0, 48000, 2, "111/111", false, true, true},
}

// takes is the table as package sdp needs it.
var takes = func() (out []sdp.Format) {
	for _, c := range codecs {
		out = append(out, sdp.Format{Mime: c.mime, Fmtp: c.fmtp})
	}
	return out
}()

// in says whether the format is negotiated in a role.
func (c format) in(r Role) bool {
	return c.up && r.receives() || c.down && r.sends()
}

// isCommon tells of a mime type whether every client decodes it.
func isCommon(mime string) bool {
	for _, c := range codecs {
		if c.common && strings.EqualFold(c.mime, mime) {
			return true
		}
	}
	return false
}

// sentAs is what subscribers get of a track.
func sentAs(mime string) string {
	if strings.EqualFold(mime, mimeRED) {
		return webrtc.MimeTypeOpus
	}
	return mime
}

// Header extensions, by the URI that SDP names them with.
const (
	uriMid         = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriRid         = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	uriRepairedRid = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
	uriLevel       = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	uriTransportCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	uriDescriptor  = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
	uriCaptureTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
	uriPlayout     = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
)

var extensions = map[Role]map[relay.Kind][]string{
	Uplink: {
		relay.Audio: {uriMid, uriRid, uriLevel, uriTransportCC, uriCaptureTime},
		relay.Video: {uriMid, uriRid, uriRepairedRid, uriTransportCC, uriDescriptor, uriCaptureTime},
	},
	Downlink: {
		// No transport-cc on audio: opus has no retransmission format, so a repair is the
		// same packet again, and under AES-GCM a number may be used twice only for the very
		// same bytes.
		relay.Audio: {uriCaptureTime},
		relay.Video: {uriTransportCC, uriDescriptor, uriCaptureTime},
	},
	Duplex: {
		relay.Audio: {uriMid, uriRid, uriLevel, uriTransportCC, uriCaptureTime},
		relay.Video: {uriMid, uriRid, uriRepairedRid, uriTransportCC, uriDescriptor, uriCaptureTime},
	},
}

func pionKind(k relay.Kind) webrtc.RTPCodecType {
	if k == relay.Audio {
		return webrtc.RTPCodecTypeAudio
	}
	return webrtc.RTPCodecTypeVideo
}

// feedback is what RTCP feedback a codec of this kind is offered with.
func feedback(k relay.Kind, r Role) []webrtc.RTCPFeedback {
	fb := []webrtc.RTCPFeedback{{Type: webrtc.TypeRTCPFBNACK}}
	if k == relay.Video || r.receives() {
		fb = append(fb, webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC})
	}
	if k == relay.Video {
		fb = append(fb, webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBCCM, Parameter: "fir"},
			webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBNACK, Parameter: "pli"})
	}
	if k == relay.Video && r.sends() {
		fb = append(fb, webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBGoogREMB}) // of who has no transport-cc
	}
	return fb
}

// parameters returns the codec as pion takes it, with its retransmission codec.
func (c format) parameters(r Role) []webrtc.RTPCodecParameters {
	out := []webrtc.RTPCodecParameters{{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: c.mime, ClockRate: c.rate, Channels: c.chns,
			SDPFmtpLine: c.fmtp, RTCPFeedback: feedback(c.kind, r),
		},
		PayloadType: webrtc.PayloadType(c.pt),
	}}
	if c.rtx != 0 {
		out = append(out, webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeRTX, ClockRate: c.rate,
				SDPFmtpLine: "apt=" + itoa(c.pt),
			},
			PayloadType: webrtc.PayloadType(c.rtx),
		})
	}
	return out
}

// repeats reports whether rtx is the retransmission format of c (RFC 4588 section 8).
func repeats(rtx, c webrtc.RTPCodecParameters) bool {
	if !strings.EqualFold(rtx.MimeType, webrtc.MimeTypeRTX) {
		return false
	}
	apt, _, _ := strings.Cut(rtx.SDPFmtpLine, ";")
	return strings.TrimSpace(apt) == "apt="+itoa(int(c.PayloadType))
}

// choose picks what a section is answered with. First the codec in use: the one its
// AddTrack named if the client offers it, else the client's first that everyone decodes,
// else its first. The others follow: clients made with pion never offer again what the
// answer to one section left out.
func choose(offered []webrtc.RTPCodecParameters, wish string) (chosen []webrtc.RTPCodecParameters) {
	rank := func(c webrtc.RTPCodecParameters) int {
		switch {
		case strings.EqualFold(c.MimeType, webrtc.MimeTypeRTX):
			return 0
		case strings.EqualFold(c.MimeType, wish):
			return 3
		case isCommon(c.MimeType):
			return 2
		}
		return 1
	}
	best := 0
	for _, c := range offered {
		if n := rank(c); n > best {
			chosen, best = []webrtc.RTPCodecParameters{c}, n
		}
	}
	if chosen == nil {
		return nil
	}
	for _, c := range offered {
		if repeats(c, chosen[0]) || strings.EqualFold(chosen[0].MimeType, mimeRED) && strings.EqualFold(c.MimeType, webrtc.MimeTypeOpus) {
			chosen = append(chosen, c)
		}
	}
	for _, c := range offered {
		if !slices.ContainsFunc(chosen, func(o webrtc.RTPCodecParameters) bool { return o.PayloadType == c.PayloadType }) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// mediaEngine is what a role negotiates, with playout for sections that this node sends
// video in.
func mediaEngine(r Role, playout bool) (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	for _, c := range codecs {
		if !c.in(r) {
			continue
		}
		for _, p := range c.parameters(r) {
			if err := m.RegisterCodec(p, pionKind(c.kind)); err != nil {
				return nil, err
			}
		}
	}
	var dirs []webrtc.RTPTransceiverDirection
	if r.receives() {
		dirs = append(dirs, webrtc.RTPTransceiverDirectionRecvonly)
	}
	if r.sends() {
		dirs = append(dirs, webrtc.RTPTransceiverDirectionSendonly)
	}
	for kind, uris := range extensions[r] {
		for _, uri := range uris {
			if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, pionKind(kind), dirs...); err != nil {
				return nil, err
			}
		}
	}
	if playout && r.sends() {
		err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uriPlayout}, webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverDirectionSendonly)
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// preferring returns the codecs of a section that carries mime: it, then the common
// ones of its kind, so that no client has to refuse the section and the track may go on
// in one of them. With all the others follow too: pion offers nothing later that the
// client's first answer of a kind did not name. ok is false when this node does not
// send mime.
func preferring(kind relay.Kind, mime string, all bool) (out []webrtc.RTPCodecParameters, ok bool) {
	var common, rest []webrtc.RTPCodecParameters
	for _, c := range codecs {
		switch {
		case !c.down || c.kind != kind:
		case strings.EqualFold(c.mime, mime):
			out, ok = append(out, c.parameters(Downlink)...), true
		case c.common:
			common = append(common, c.parameters(Downlink)...)
		case all:
			rest = append(rest, c.parameters(Downlink)...)
		}
	}
	return slices.Concat(out, common, rest), ok
}

// Codecs returns the mime types that clients may publish, in order of preference, for
// JoinResponse.enabled_publish_codecs and Room.enabled_codecs.
func Codecs() []string {
	var out []string
	for _, c := range codecs {
		if c.up {
			out = append(out, c.mime)
		}
	}
	return out
}
