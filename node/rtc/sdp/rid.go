package sdp

import "strings"

// EncodingOf gives a rid its encoding: q, h and f by name, as LiveKit clients send
// them from small to large, others by their order. It reports whether
// the rid is one of them.
func EncodingOf(rids []string, rid string) (uint8, bool) {
	named := true
	for _, r := range rids {
		named = named && (r == "q" || r == "h" || r == "f")
	}
	if named {
		if i := strings.Index("qhf", rid); len(rid) == 1 && i >= 0 {
			return uint8(i), true
		}
	}
	for i, r := range rids {
		if r == rid {
			return uint8(i), true
		}
	}
	return 0, rid == ""
}
