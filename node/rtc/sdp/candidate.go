package sdp

import (
	"encoding/json"
	"strconv"
	"strings"
)

// CheckCandidate reads the JSON of an RTCIceCandidateInit; the error is ErrRefused. An
// empty candidate, the end of them, is fine.
func CheckCandidate(initJSON string) error {
	var init struct {
		Candidate string `json:"candidate"`
	}
	if err := json.Unmarshal([]byte(initJSON), &init); err != nil {
		return refuse("candidate: %v", err)
	}
	text := strings.TrimPrefix(init.Candidate, "candidate:")
	if text == "" {
		return nil
	}
	// foundation component transport priority address port "typ" type (RFC 8839 5.1)
	f := strings.Fields(text)
	if len(f) < 8 || f[6] != "typ" {
		return refuse("candidate with %d fields", len(f))
	}
	if _, err := strconv.ParseUint(f[5], 10, 16); err != nil {
		return refuse("candidate port %q", f[5])
	}
	return nil
}
