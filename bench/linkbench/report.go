package linkbench

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

func percent(x float64) string { return fmt.Sprintf("%.2f %%", 100*x) }

func optional(x *float64, format string) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf(format, *x)
}

// Table writes the rows as text.
func Table(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "RTT ms\tloss\tpattern\tvariant\tvideo in time\taudio\tp50 ms\tp99 ms\tbytes\tus send\tus recv\t")
	last := ""
	for _, r := range rows {
		key := fmt.Sprintf("%g\t%g %%\t%s", r.RTT, r.Loss*100, r.Pattern)
		if key == last {
			key = "\t\t"
		} else {
			last = key
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.1f\t%.1f\t%s\t%s\t%s\t\n", key, r.Variant, percent(r.InTime), percent(r.Audio),
			r.P50, r.P99, optional(r.BytesRatio, "%.3f"), optional(r.CPUSend, "%.1f"), optional(r.CPURecv, "%.1f"))
	}
	return t.Flush()
}

// Figure is one promise of the design with what was measured.
type Figure struct {
	What, Got string
	Reached   bool
}

func (f Figure) String() string {
	verdict := "reached    "
	if !f.Reached {
		verdict = "NOT reached"
	}
	return fmt.Sprintf("%s  %s: %s", verdict, f.What, f.Got)
}

// coldBound is when a link that comes up under a running meeting should carry all of it.
// The design promises no number; a reroute that takes longer is seen.
const coldBound = 2 * time.Second

// Figures judges what was measured; promises whose row did not run are left out.
func (r *Results) Figures() []Figure {
	var out []Figure
	at := func(loss float64, judge func(o *Outcome)) {
		if o := r.find(Spec{100 * time.Millisecond, loss, Uniform}, "maille"); o != nil {
			judge(o)
		}
	}
	add := func(reached bool, what, format string, args ...any) {
		out = append(out, Figure{what, fmt.Sprintf(format, args...), reached})
	}
	at(0, func(o *Outcome) {
		add(o.Quality.P50 <= time.Millisecond, "100 ms, 0 %: added p50 <= 1 ms", "%.2f ms", ms(o.Quality.P50))
		add(o.Quality.P99 <= 5*time.Millisecond, "100 ms, 0 %: added p99 <= 5 ms", "%.2f ms", ms(o.Quality.P99))
	})
	at(.01, func(o *Outcome) {
		add(o.Quality.All >= .999, "100 ms, 1 %: >= 99.9 % in time", "%s", percent(o.Quality.All))
	})
	at(.05, func(o *Outcome) {
		add(o.Quality.Video >= .995, "100 ms, 5 %: video >= 99.5 % in time", "%s (%s came)", percent(o.Quality.Video), percent(o.Quality.VideoGot))
		add(o.Quality.Audio >= .998, "100 ms, 5 %: audio >= 99.8 % in time", "%s (%s came)", percent(o.Quality.Audio), percent(o.Quality.AudioGot))
	})
	at(.2, func(o *Outcome) {
		add(o.Quality.Audio >= .98, "100 ms, 20 %: audio >= 98 % in time", "%s (%s came)", percent(o.Quality.Audio), percent(o.Quality.AudioGot))
	})
	for _, loss := range []float64{0, .01, .05, .2} {
		at(loss, func(o *Outcome) {
			add(o.Framing() <= 1.05, fmt.Sprintf("100 ms, %g %%: forward bytes <= media + 5 %% + repairs", 100*loss),
				"%.3f, and %.3f of repairs", o.Framing(), o.Repaired())
		})
	}
	for _, pattern := range []string{Bottleneck, Shallow} {
		if o := r.find(Spec{RTT: specialRTT, Pattern: pattern}, "maille"); o != nil {
			add(o.Quality.AudioGot >= .995, pattern+": audio loss <= 0.5 %", "%s lost, %s in time", percent(1-o.Quality.AudioGot), percent(o.Quality.Audio))
			add(o.Queue <= 150*time.Millisecond, pattern+": queue p95 <= 150 ms after 2 s", "%.0f ms", ms(o.Queue))
			add(o.Upper >= 0 && o.Upper <= 15*time.Second, pattern+": upper layers back within 15 s", "%s (in it, in time by layer: %s, %s, %s)",
				after(o.Upper), percent(o.Quality.Layers[0]), percent(o.Quality.Layers[1]), percent(o.Quality.Layers[2]))
		}
	}
	if o := r.find(Spec{RTT: specialRTT, Pattern: Cold}, "maille"); o != nil {
		add(o.Cold >= 0 && o.Cold <= coldBound, "cold: all video within 2 s", "%s", after(o.Cold))
	}
	for _, c := range r.ratios() {
		add(c.clean && c.ratio <= c.bound, fmt.Sprintf("processor, both ends, %s: <= %.1fx quic", c.what, c.bound), "%.2fx (%s)", c.ratio, c.detail)
	}
	return out
}

func after(d time.Duration) string {
	if d < 0 {
		return "never"
	}
	return fmt.Sprintf("after %.1f s", d.Seconds())
}

// Write writes tables and figures.
func (r *Results) Write(w io.Writer) error {
	if err := Table(w, r.Rows()); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for i := range r.Outcomes {
		if o := &r.Outcomes[i]; PlanFor(o.Spec.Pattern, 0).Fault > 0 {
			fmt.Fprintf(w, "%s, %s: audio back %s, upper layers %s; in time by layer %s, %s, %s; queue p95 %.0f ms; audio p99 %.0f ms beyond the path\n",
				o.Spec.Pattern, o.Variant, after(o.Audio), after(o.Upper), percent(o.Quality.Layers[0]), percent(o.Quality.Layers[1]),
				percent(o.Quality.Layers[2]), ms(o.Queue), ms(o.Quality.AudioP99))
		}
	}
	for _, c := range r.Capacity {
		fmt.Fprintf(w, "one node pair, %s: carries %.0f Mbit/s, %d packets/s (limit: %s)\n", c.Where, c.Mbits, c.PPS, c.Limit)
	}
	for _, c := range r.CPU {
		fmt.Fprintln(w, c)
		if c.Variant == "maille" && c.Came >= cleanShare {
			fmt.Fprintf(w, "%-22s so a core at each end carries about %.0f packets/s\n", c.Pattern, 1e6/max(c.Send, c.Recv))
		}
	}
	fmt.Fprintln(w)
	for _, f := range r.Figures() {
		fmt.Fprintln(w, f)
	}
	return nil
}
