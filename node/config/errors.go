package config

import (
	"slices"
	"strings"
)

// Error is one mistake of the operator.
type Error struct {
	// Origin is where: "maille.yaml:12", "MAILLE_REGION" or "--region"; empty when the
	// setting is missing.
	Origin string
	// Text says what is wrong and what to write instead.
	Text string
	// Line is the line of the file as it stands there, without secrets; may be empty.
	Line string
}

func (e *Error) Error() string {
	s := e.Text
	if e.Origin != "" {
		s = e.Origin + ": " + s
	}
	if e.Line != "" {
		s += "\n    " + e.Line
	}
	return s
}

// nearest returns the name closest to s, if it is close enough to be what was meant.
func nearest(s string, names []string) (string, bool) {
	best, at := "", len(s)/2+1
	for _, n := range slices.Sorted(slices.Values(names)) {
		if d := distance(strings.ToLower(s), strings.ToLower(n)); d < at {
			best, at = n, d
		}
	}
	return best, best != ""
}

// distance is how many characters must be added, removed, changed or swapped with
// their neighbour to get from a to b (optimal string alignment).
func distance(a, b string) int {
	var last, prev, cur []int
	for i := range len(a) + 1 {
		last, prev, cur = prev, cur, make([]int, len(b)+1)
		for j := range cur {
			switch {
			case i == 0:
				cur[j] = j
			case j == 0:
				cur[j] = i
			default:
				same := 0
				if a[i-1] != b[j-1] {
					same = 1
				}
				cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+same)
				if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
					cur[j] = min(cur[j], last[j-2]+1)
				}
			}
		}
	}
	return cur[len(b)]
}

func didYouMean(s string, names []string) string {
	if n, ok := nearest(s, names); ok {
		return `; did you mean "` + n + `"?`
	}
	return "; known are " + strings.Join(names, ", ")
}
