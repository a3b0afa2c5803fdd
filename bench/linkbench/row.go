package linkbench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Row is one line of the report. Shares are 0 to 1.
type Row struct {
	RTT     float64 `json:"rtt_ms"`
	Loss    float64 `json:"loss"`
	Pattern string  `json:"pattern"`
	Variant string  `json:"variant"`
	// InTime is the share of video within path + 1.5 round trips + 20 ms, Audio that of
	// audio.
	InTime float64 `json:"in_time"`
	// P50 and P99 are beyond the path, of what came, in milliseconds.
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Audio float64 `json:"audio"`
	// BytesRatio is UDP payload sent forward, repairs and all, over RTP bytes offered;
	// null where it is not known.
	BytesRatio *float64 `json:"bytes_ratio"`
	// CPUSend and CPURecv are microseconds of process time per packet; null in virtual
	// time, which has none.
	CPUSend *float64 `json:"cpu_us_send"`
	CPURecv *float64 `json:"cpu_us_recv"`
}

// WriteRows writes a JSON array, a row a line.
func WriteRows(w io.Writer, rows []Row) error {
	var b strings.Builder
	b.WriteString("[")
	for i, r := range rows {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n")
		b.Write(line)
	}
	b.WriteString("\n]\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Variants in the order they are reported.
var Variants = []string{"quic", "maille", "udp"}

// Patterns of impairment. Those after Burst are one row each.
const (
	Uniform    = "uniform"    // every datagram lost or not on its own
	Burst      = "burst"      // Gilbert-Elliott, runs of 5 on average
	Reorder    = "reorder"    // 5 % held back by up to 5 ms
	Duplicate  = "duplicate"  // 1 % arrive twice
	Bottleneck = "bottleneck" // 10 Mbit/s for 20 s, with a queue of a second
	Shallow    = "shallow"    // the same with a queue of 100 ms
	Blackhole  = "blackhole"  // nothing passes for a second
	Cold       = "cold"       // nothing lost; the load begins the moment it is asked for
)

// Spec is a row of the grid.
type Spec struct {
	RTT     time.Duration
	Loss    float64
	Pattern string
}

func (s Spec) String() string {
	return fmt.Sprintf("%g ms %g %% %s", float64(s.RTT)/1e6, s.Loss*100, s.Pattern)
}

// specialRTT is the round trip of the rows that are not about loss.
const specialRTT = 100 * time.Millisecond

// Grid is all of it.
func Grid() []Spec {
	var out []Spec
	for _, ms := range []int{10, 30, 100, 300} {
		for _, loss := range []float64{0, .001, .01, .02, .05, .2} {
			out = append(out, lossy(time.Duration(ms)*time.Millisecond, loss)...)
		}
	}
	return append(out, Specials()...)
}

// Specials are the rows that are not about loss.
func Specials() []Spec {
	var out []Spec
	for _, p := range []string{Reorder, Duplicate, Bottleneck, Shallow, Blackhole, Cold} {
		out = append(out, Spec{RTT: specialRTT, Pattern: p})
	}
	return out
}

func lossy(rtt time.Duration, loss float64) []Spec {
	out := []Spec{{rtt, loss, Uniform}}
	if loss > 0 {
		out = append(out, Spec{rtt, loss, Burst})
	}
	return out
}

// Choice is what a run of the bench measures.
type Choice struct {
	Grid          []Spec
	CPU, Capacity bool
	// Cases, if any, are the only loads whose processor time is measured.
	Cases []string
}

// Choose reads ROWS: a comma-separated list of "RTT in ms:loss share" with an optional
// ":uniform" or ":burst" (both otherwise), the names of the other patterns, "specials" for
// all of these, "cpu" or "cpu=" and one of its loads such as "audio x4", and "capacity".
// Empty means everything.
func Choose(rows string) (Choice, error) {
	if strings.TrimSpace(rows) == "" {
		return Choice{Grid: Grid(), CPU: true, Capacity: true}, nil
	}
	var c Choice
	for word := range strings.SplitSeq(rows, ",") {
		word = strings.TrimSpace(word)
		switch {
		case word == "cpu":
			c.CPU = true
		case strings.HasPrefix(word, "cpu="):
			name := loopback + strings.TrimPrefix(word, "cpu=")
			if !slices.ContainsFunc(cpuCases, func(k cpuCase) bool { return k.pattern == name }) {
				return Choice{}, fmt.Errorf("no load %q", name)
			}
			c.CPU, c.Cases = true, append(c.Cases, name)
		case word == "capacity":
			c.Capacity = true
		case word == "specials":
			c.Grid = append(c.Grid, Specials()...)
		case slices.ContainsFunc(Specials(), func(s Spec) bool { return s.Pattern == word }):
			c.Grid = append(c.Grid, Spec{RTT: specialRTT, Pattern: word})
		default:
			specs, err := parseSpec(word)
			if err != nil {
				return Choice{}, err
			}
			c.Grid = append(c.Grid, specs...)
		}
	}
	return c, nil
}

func parseSpec(word string) ([]Spec, error) {
	bad := fmt.Errorf("row %q: want RTT:LOSS such as 100:0.01, optionally :uniform or :burst", word)
	parts := strings.Split(word, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return nil, bad
	}
	ms, err := strconv.ParseFloat(parts[0], 64)
	if err != nil || ms < 0 || ms > 2000 {
		return nil, bad
	}
	loss, err := strconv.ParseFloat(parts[1], 64)
	if err != nil || loss < 0 || loss >= 1 {
		return nil, bad
	}
	rtt := time.Duration(ms * float64(time.Millisecond))
	if len(parts) == 2 {
		return lossy(rtt, loss), nil
	}
	if parts[2] != Uniform && parts[2] != Burst {
		return nil, bad
	}
	return []Spec{{rtt, loss, parts[2]}}, nil
}
