package rtc

import (
	"strconv"
	"strings"

	"github.com/pion/webrtc/v4"

	"maille/node/rtc/sdp"
	"maille/relay"
	"maille/relay/packet"
)

// terms are what both sides agreed on for a section.
type terms struct {
	mime       string // canonical, from the codec table
	pt         uint8
	opus       uint8 // payload type of opus in an audio section, 0 for none
	extensions packet.ExtMap
}

// accept reports whether a packet is of the codec that was agreed on. A client that
// sends RED may send plain opus in between: their payload types become those that every
// node knows.
func (t *terms) accept(p *relay.Packet) bool {
	switch {
	case t.mime != mimeRED:
		return p.PayloadType == t.pt
	case p.PayloadType == t.pt:
		p.PayloadType = ptRED
	case p.PayloadType == t.opus && t.opus != 0:
		p.PayloadType = ptOpus
	default:
		return false
	}
	return true
}

// agreed reads the terms of each accepted section, by mid, from an answer of this
// node. Its first codec is the one in use.
func agreed(answer string) map[string]terms {
	out := make(map[string]terms)
	var (
		kind, mid, pt string
		accepted      bool
		t             terms
	)
	shut := func() {
		if accepted && mid != "" && t.mime != "" {
			out[mid] = t
		}
	}
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\r\n")
		if rest, ok := strings.CutPrefix(line, "m="); ok {
			shut()
			f := strings.Fields(rest)
			kind, mid, accepted, t = f[0], "", len(f) > 3 && f[1] != "0", terms{}
			if accepted {
				pt = f[3]
			}
			continue
		}
		key, value, _ := strings.Cut(strings.TrimPrefix(line, "a="), ":")
		switch key {
		case "mid":
			mid = value
		case "rtpmap":
			p, name, _ := strings.Cut(value, " ")
			name, _, _ = strings.Cut(name, "/")
			n, err := strconv.ParseUint(p, 10, 7)
			if err != nil {
				break
			}
			mime := canonical(kind, name)
			if p == pt {
				t.mime, t.pt = mime, uint8(n)
			}
			if mime == webrtc.MimeTypeOpus {
				t.opus = uint8(n)
			}
		case "extmap":
			id, uri, _ := strings.Cut(value, " ")
			id, _, _ = strings.Cut(id, "/")
			if n, err := strconv.ParseUint(id, 10, 8); err == nil {
				setExtension(&t.extensions, uri, uint8(n))
			}
		}
	}
	shut()
	return out
}

func setExtension(m *packet.ExtMap, uri string, id uint8) {
	switch uri {
	case uriLevel:
		m.AudioLevel = id
	case uriDescriptor:
		m.Descriptor = id
	case uriCaptureTime:
		m.CaptureTime = id
	case uriTransportCC:
		m.TransportCC = id
	case uriPlayout:
		m.PlayoutDelay = id
	}
}

func canonical(kind, name string) string {
	mime := kind + "/" + name
	for _, c := range codecs {
		if strings.EqualFold(c.mime, mime) {
			return c.mime
		}
	}
	return mime
}

// audioTerms adds the opus parameters of each publication to the answer that is sent;
// they bind the client only, so pion need not know. The caller holds mu.
func (p *Peer) audioTerms(answer string) string {
	if p.role == Duplex {
		sends := make(map[string]bool)
		for mid := range p.up.sections {
			sends[mid] = true
		}
		return sdp.AddOpusBundled(answer, p.commonTerms(), sends)
	}
	return sdp.AddOpus(answer, func(mid string) (pt, params string) {
		s := p.up.sections[mid]
		if s == nil || s.terms.opus == 0 {
			return "", ""
		}
		stereo, dtx := false, true
		if s.pub != nil {
			stereo, dtx = s.pub.stereo, s.pub.dtx
		}
		return itoa(s.terms.opus), sdp.OpusParams(stereo, dtx)
	})
}

// stereoTerms says in an offer which sections carry two channels. The caller holds mu.
func (p *Peer) stereoTerms(offer string) string {
	stereo := make(map[string]bool)
	for _, s := range p.down.subs {
		if s.down.Stereo && s.transceiver != nil {
			stereo[s.transceiver.Mid()] = true
		}
	}
	if len(stereo) == 0 {
		return offer
	}
	return sdp.AddOpus(offer, func(mid string) (pt, params string) {
		if !stereo[mid] {
			return "", ""
		}
		return itoa(ptOpus), sdp.OpusSendsStereo
	})
}

// commonTerms are opus parameters that suit all publications: music must not be cut into
// pieces, nor lose a channel. The caller holds mu.
func (p *Peer) commonTerms() string {
	stereo, dtx := false, true
	for _, s := range p.up.sections {
		if s.pub != nil && s.terms.opus != 0 {
			stereo, dtx = stereo || s.pub.stereo, dtx && s.pub.dtx
		}
	}
	return sdp.OpusParams(stereo, dtx)
}
