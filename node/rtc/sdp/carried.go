package sdp

import (
	"strings"

	"maille/relay"
)

// Carried reads which track each section of a node's description sends, by mid,
// and counts them. The error is ErrLimit.
func Carried(text string) (tracks map[string]relay.TrackID, sections int, err error) {
	if len(text) > MaxAnswerBytes {
		return nil, 0, limit("SDP bytes", len(text), MaxAnswerBytes)
	}
	tracks = make(map[string]relay.TrackID)
	mid, sid, sends := "", "", false
	flush := func() {
		if mid != "" && sid != "" && sends {
			tracks[mid] = relay.TrackID(sid)
		}
		mid, sid, sends = "", "", false
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "m="):
			flush()
			sections++
		case strings.HasPrefix(line, "a=mid:"):
			mid = line[len("a=mid:"):]
		case strings.HasPrefix(line, "a=msid:"):
			_, sid, _ = strings.Cut(line, " ")
		case line == "a=sendrecv", line == "a=sendonly":
			sends = true
		}
	}
	flush()
	if sections > MaxSections {
		return nil, 0, limit("sections", sections, MaxSections)
	}
	return tracks, sections, nil
}

// AsOffer makes an offer out of a client's answer.
func AsOffer(answer string) string {
	return strings.NewReplacer("a=setup:active\r\n", "a=setup:actpass\r\n", "a=setup:passive\r\n", "a=setup:actpass\r\n").Replace(answer)
}

// Quiet marks the sections of an answer inactive that nothing is sent in: a client takes
// one that says otherwise for a track of nobody.
func Quiet(answer string) string {
	var out, part strings.Builder
	msid := false
	flush := func() {
		text := part.String()
		part.Reset()
		if !msid {
			text = strings.Replace(text, "\r\na=sendonly\r\n", "\r\na=inactive\r\n", 1)
		}
		out.WriteString(text)
		msid = false
	}
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "m=") {
			flush()
		}
		msid = msid || strings.HasPrefix(line, "a=msid:")
		part.WriteString(line)
	}
	flush()
	return out.String()
}
