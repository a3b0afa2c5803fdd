package rtc

import (
	"strconv"
	"strings"

	"github.com/pion/webrtc/v4"

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

const (
	termsDTX = ";usedtx=1"
	// termsStereo asks for music quality (RFC 7587 section 7).
	termsStereo = ";stereo=1;maxaveragebitrate=510000"
)

// audioTerms adds the opus parameters of each publication to the answer that is sent;
// they bind the client only, so pion need not know. The caller holds mu.
func (p *Peer) audioTerms(answer string) string {
	if p.role == Duplex {
		sends := make(map[string]bool)
		for mid := range p.up.sections {
			sends[mid] = true
		}
		return bundledTerms(answer, p.commonTerms(), sends)
	}
	var out, part strings.Builder
	mid := ""
	flush := func() {
		text := part.String()
		part.Reset()
		if s := p.up.sections[mid]; s != nil && s.terms.opus != 0 {
			pt := itoa(s.terms.opus)
			stereo, dtx := false, true
			if s.pub != nil {
				stereo, dtx = s.pub.stereo, s.pub.dtx
			}
			add := opusTerms(stereo, dtx)
			if head, rest, ok := strings.Cut(text, "a=fmtp:"+pt+" "); ok {
				value, tail, _ := strings.Cut(rest, "\r\n")
				text = head + "a=fmtp:" + pt + " " + withTerms(value, add) + "\r\n" + tail
			}
		}
		out.WriteString(text)
		mid = ""
	}
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "m=") {
			flush()
		}
		if v, ok := strings.CutPrefix(line, "a=mid:"); ok {
			mid = strings.TrimRight(v, "\r\n")
		}
		part.WriteString(line)
	}
	flush()
	return out.String()
}

func opusTerms(stereo, dtx bool) (add string) {
	if dtx {
		add = termsDTX
	}
	if stereo {
		add += termsStereo
	}
	return add
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
	return opusTerms(stereo, dtx)
}

// bundledTerms gives a payload type the same parameters in every section of an answer:
// where both directions share a transport, it means the same in all of them (RFC 8843
// section 9.1). Those of the sections that the client sends in win: they carry what the
// client tells its own encoder through the answer.
func bundledTerms(answer, add string, sends map[string]bool) string {
	params, sure := make(map[string]string), make(map[string]bool)
	mid, opus := "", ""
	for line := range strings.Lines(answer) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		pt, rest, _ := strings.Cut(value, " ")
		switch {
		case key == "a=mid":
			mid = value
		case key == "a=rtpmap" && strings.EqualFold(rest, "opus/48000/2"):
			opus = pt
		case key == "a=fmtp" && (params[pt] == "" || sends[mid] && !sure[pt]):
			params[pt], sure[pt] = rest, sends[mid]
		}
	}
	if was, ok := params[opus]; ok {
		params[opus] = withTerms(was, add)
	}
	var out strings.Builder
	for line := range strings.Lines(answer) {
		if value, ok := strings.CutPrefix(line, "a=fmtp:"); ok {
			pt, _, _ := strings.Cut(value, " ")
			line = "a=fmtp:" + pt + " " + params[pt] + "\r\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// withTerms adds parameters to those of opus. A client may have offered what it was
// answered before: that does not count.
func withTerms(params, add string) string {
	var keep []string
	for p := range strings.SplitSeq(params, ";") {
		if p = strings.TrimSpace(p); p != "" && !strings.Contains(termsDTX+termsStereo+";", ";"+p+";") {
			keep = append(keep, p)
		}
	}
	return strings.TrimPrefix(strings.Join(keep, ";")+add, ";")
}
