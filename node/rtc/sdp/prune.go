package sdp

import (
	"slices"
	"strings"
)

// pion reads all of a section again for each of its formats. Of up to 64 that a client
// lists, the few that this node can take are enough.
const (
	// maxAlike formats of a section may match the same row of the codec table.
	maxAlike = 3
	// maxNearby are kept of a section in which no format matches: pion may take one with
	// parameters that differ.
	maxNearby = 8
	// maxFeedback is how many kinds of RTCP feedback a format keeps. Browsers list five.
	maxFeedback = 8
)

// Format is one row of what a node can take: a codec, and the parameters that it has.
type Format struct{ Mime, Fmtp string }

// telling are the parameters that tell formats of a codec apart; the others say how
// well it is done. Those that a client leaves out have the value that the table has.
var telling = []string{"profile-level-id", "packetization-mode", "profile-id", "tier-flag", "tx-mode"}

// Prune leaves out of an offer the formats that are of no use to who can take
// those of the table, with all that
// is said of them, so that pion need not read it. Each section keeps a format.
func Prune(offer string, table []Format) string {
	var out strings.Builder
	out.Grow(len(offer))
	for len(offer) > 0 {
		end := strings.Index(offer, "\nm=") + 1
		if end == 0 {
			end = len(offer)
		}
		section := offer[:end]
		offer = offer[end:]
		switch {
		case strings.HasPrefix(section, "m=audio "):
			pruneSection(&out, section, "audio", table)
		case strings.HasPrefix(section, "m=video "):
			pruneSection(&out, section, "video", table)
		default:
			out.WriteString(section)
		}
	}
	return out.String()
}

// listed is what a section says of a format. The first of each kind counts.
type listed struct{ name, fmtp string }

func pruneSection(out *strings.Builder, section string, kind string, table []Format) {
	head, _, _ := strings.Cut(section, "\r\n")
	fields := strings.Fields(head)
	if len(fields) < 4 {
		out.WriteString(section)
		return
	}
	formats := make(map[string]*listed)
	for _, pt := range fields[3:] {
		formats[pt] = new(listed)
	}
	for line := range strings.Lines(section) {
		key, pt, rest := ofFormat(line)
		f := formats[pt]
		switch {
		case f == nil:
		case key == "a=rtpmap" && f.name == "":
			f.name, _, _ = strings.Cut(rest, "/")
		case key == "a=fmtp" && f.fmtp == "":
			f.fmtp = rest
		}
	}
	keep := useful(fields[3:], formats, kind, table)
	out.WriteString(strings.Join(slices.Concat(fields[:3], keep), " "))
	out.WriteString("\r\n")
	said := make(map[string]int) // of which format, how often
	for line := range strings.Lines(section[min(len(head)+2, len(section)):]) {
		key, pt, _ := ofFormat(line)
		if key != "" {
			most := 1
			if key == "a=rtcp-fb" {
				most = maxFeedback
			}
			if said[key+pt]++; said[key+pt] > most || pt != "*" && !slices.Contains(keep, pt) {
				continue
			}
		}
		out.WriteString(line)
	}
}

// ofFormat splits a line that is about one format; key is empty for others.
func ofFormat(line string) (key, pt, rest string) {
	key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
	switch key {
	case "a=rtpmap", "a=fmtp", "a=rtcp-fb":
		pt, rest, _ = strings.Cut(value, " ")
		return key, pt, strings.TrimSpace(rest)
	}
	return "", "", ""
}

// useful are the formats to keep, in the client's order.
func useful(order []string, formats map[string]*listed, kind string, table []Format) []string {
	kept, nearby := make(map[string]bool), make(map[string]bool)
	alike := make(map[string]int) // by the table's mime type
	for _, pt := range order {
		f := formats[pt]
		row := slices.IndexFunc(table, func(c Format) bool { return strings.EqualFold(c.Mime, kind+"/"+f.name) })
		if row < 0 || kept[pt] {
			continue
		}
		if len(nearby) < maxNearby {
			nearby[pt] = true
		}
		if c := table[row]; alike[c.Mime] < maxAlike && matches(c.Fmtp, f.fmtp) {
			alike[c.Mime]++
			kept[pt] = true
		}
	}
	if len(kept) == 0 {
		kept = nearby
	}
	repaired := make(map[string]bool)
	for _, pt := range order {
		f := formats[pt]
		if of := parameter(f.fmtp, "apt"); strings.EqualFold(f.name, "rtx") && kept[of] && !repaired[of] {
			repaired[of], kept[pt] = true, true
		}
	}
	var out []string
	for _, pt := range order {
		if kept[pt] {
			out = append(out, pt)
			delete(kept, pt)
		}
	}
	if out == nil {
		return order[:1]
	}
	return out
}

func matches(ours, theirs string) bool {
	for _, name := range telling {
		a, b := parameter(ours, name), parameter(theirs, name)
		if name == "profile-level-id" && len(a) == 6 && len(b) == 6 {
			a, b = a[:4], b[:4] // the rest is the level
		}
		if a != "" && b != "" && !strings.EqualFold(a, b) {
			return false
		}
	}
	return true
}

func parameter(fmtp, name string) string {
	for p := range strings.SplitSeq(fmtp, ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}
