package sdp

import "strings"

// Extensions puts the header extensions back into the sections of an offer that have none.
// pion offers for a section what the client's last answer to it had, which is nothing
// once it was inactive: a section used again would have no dependency descriptor and no
// transport-wide numbers. known holds the lines of the first section of each kind
// of media, and Extensions adds to it.
func Extensions(offer string, known map[string]string) string {
	var out, part, lines strings.Builder
	kind, media := "", false
	flush := func() {
		text := part.String()
		switch {
		case !media:
		case lines.Len() > 0:
			if known[kind] == "" {
				known[kind] = lines.String()
			}
		case known[kind] != "":
			if head, tail, ok := strings.Cut(text, "a=mid:"); ok {
				value, rest, _ := strings.Cut(tail, "\r\n")
				text = head + "a=mid:" + value + "\r\n" + known[kind] + rest
			}
		}
		out.WriteString(text)
		part.Reset()
		lines.Reset()
	}
	for line := range strings.Lines(offer) {
		if rest, ok := strings.CutPrefix(line, "m="); ok {
			flush()
			kind, _, _ = strings.Cut(rest, " ")
			media = kind == "audio" || kind == "video"
		}
		if strings.HasPrefix(line, "a=extmap:") {
			lines.WriteString(line)
		}
		part.WriteString(line)
	}
	flush()
	return out.String()
}
