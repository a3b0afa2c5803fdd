package sdp

import "strings"

const (
	opusDTX = ";usedtx=1"
	// opusStereo asks for music quality (RFC 7587 section 7).
	opusStereo = ";stereo=1;maxaveragebitrate=510000"
	// OpusSendsStereo says that what is sent has two channels (RFC 7587 section 6.1);
	// livekit-client asks a browser to decode both only then.
	OpusSendsStereo = ";sprop-stereo=1"
)

// OpusParams are the parameters of opus (RFC 7587) that suit a publication.
func OpusParams(stereo, dtx bool) (add string) {
	if dtx {
		add = opusDTX
	}
	if stereo {
		add += opusStereo
	}
	return add
}

// AddOpus adds parameters to those of opus in each section of a description: of says which
// payload type opus has there, "" for none, and what to add.
func AddOpus(text string, of func(mid string) (pt, params string)) string {
	var out, part strings.Builder
	mid := ""
	flush := func() {
		section := part.String()
		part.Reset()
		if pt, add := of(mid); pt != "" {
			if head, rest, ok := strings.Cut(section, "a=fmtp:"+pt+" "); ok {
				value, tail, _ := strings.Cut(rest, "\r\n")
				section = head + "a=fmtp:" + pt + " " + withParams(value, add) + "\r\n" + tail
			}
		}
		out.WriteString(section)
		mid = ""
	}
	for line := range strings.Lines(text) {
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

// AddOpusBundled adds parameters to those of opus, and gives a payload type the same parameters in every section of an answer:
// where both directions share a transport, it means the same in all of them (RFC 8843
// section 9.1). Those of the sections that the client sends in win: they carry what the
// client tells its own encoder through the answer.
func AddOpusBundled(answer, add string, sends map[string]bool) string {
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
		params[opus] = withParams(was, add)
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

// withParams adds parameters to those of opus. A client may have offered what it was
// answered before: that does not count.
func withParams(params, add string) string {
	var keep []string
	for p := range strings.SplitSeq(params, ";") {
		if p = strings.TrimSpace(p); p != "" && !strings.Contains(opusDTX+opusStereo+OpusSendsStereo+";", ";"+p+";") {
			keep = append(keep, p)
		}
	}
	return strings.TrimPrefix(strings.Join(keep, ";")+add, ";")
}
