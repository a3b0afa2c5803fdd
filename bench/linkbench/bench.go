package linkbench

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Bench runs what was chosen.
type Bench struct {
	Choice Choice
	Seed   uint64
	Warm   time.Duration
	// Profile, if not "", is a folder for processor profiles of the loopback runs.
	Profile string
	// Bubble runs f in a synctest bubble and returns after it.
	Bubble func(name string, f func())
	// Progress takes a line per run while they go on, Report the tables at the end.
	Progress, Report io.Writer
}

// Results are what a bench measured.
type Results struct {
	Outcomes []Outcome
	CPU      []CPURow
	Capacity []Capacity
}

// Rows are all results as reported in JSON.
func (r *Results) Rows() []Row {
	var out []Row
	for i := range r.Outcomes {
		out = append(out, r.Outcomes[i].Row())
	}
	for _, c := range r.CPU {
		out = append(out, c.Row())
	}
	return out
}

// Run measures. Runs that could not be made are reported and left out.
func (b *Bench) Run(ctx context.Context) *Results {
	res := &Results{}
	// Processor time first, while nothing else runs here.
	if b.Choice.CPU {
		res.CPU = b.cpu(ctx)
	}
	type job struct{ spec, variant int }
	jobs := make(chan job)
	outcomes := make([]*Outcome, len(b.Choice.Grid)*len(Variants))
	begun := time.Now()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards done, and lines of progress
		done int
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for j := range jobs {
				spec, variant := b.Choice.Grid[j.spec], Variants[j.variant]
				var out Outcome
				var err error
				b.Bubble(fmt.Sprintf("%v/%s", spec, variant), func() {
					out, err = Run(spec, variant, Meeting, PlanFor(spec.Pattern, b.Warm), b.Seed)
				})
				mu.Lock()
				done++
				fmt.Fprintf(b.Progress, "%3d/%d %4.0f s  ", done, len(outcomes), time.Since(begun).Seconds())
				if err != nil {
					fmt.Fprintln(b.Progress, err)
				} else {
					outcomes[j.spec*len(Variants)+j.variant] = &out
					fmt.Fprintln(b.Progress, out.line())
				}
				mu.Unlock()
			}
		})
	}
	for s := range b.Choice.Grid {
		for v := range Variants {
			jobs <- job{s, v}
		}
	}
	close(jobs)
	wg.Wait()
	for _, o := range outcomes {
		if o != nil {
			res.Outcomes = append(res.Outcomes, *o)
		}
	}
	if b.Choice.Capacity {
		res.Capacity = b.capacity()
	}
	return res
}

func (o *Outcome) line() string {
	return fmt.Sprintf("%-26s %-6s in time %s audio %s, all video %s, %d lanes, %s",
		o.Spec, o.Variant, percent(o.Quality.Video), percent(o.Quality.Audio), after(o.Cold), o.Sent.Lanes, o.Sent.Notes)
}

// Capacity is the largest load that crossed one path as it should.
type Capacity struct {
	Where string
	Mbits float64
	PPS   int
	// Limit is what happened at the next step.
	Limit string
}

// steps are how many meetings' loads are tried over one path: 24 Mbit/s to 384.
var steps = []int{1, 2, 4, 6, 8, 12, 16}

// capacityShare is the share of video and of audio that must be in time.
const capacityShare = .995

// capacityRamp is how long a demand takes to grow to its full size: people join and turn
// on cameras one by one.
const capacityRamp = 20 * time.Second

// capacity tries larger loads at 100 ms until one does not pass, in virtual time: what
// the protocol allows, however fast the processor.
func (b *Bench) capacity() []Capacity {
	var out []Capacity
	for _, loss := range []float64{0, .01} {
		spec := Spec{RTT: 100 * time.Millisecond, Loss: loss, Pattern: Uniform}
		best := Capacity{Where: spec.String(), Limit: "none found"}
		for _, k := range steps {
			load := Meeting
			load.Videos *= k
			load.Audios *= k
			load.Ramp = capacityRamp
			var o Outcome
			var err error
			b.Bubble(fmt.Sprintf("capacity/%v/%d", spec, k), func() {
				o, err = Run(spec, "maille", load, Plan{Settle: settle, Warm: capacityRamp + 10*time.Second, Measured: 5 * time.Second}, b.Seed)
			})
			if err != nil {
				best.Limit = err.Error()
				break
			}
			fmt.Fprintf(b.Progress, "%4.0f Mbit/s %s\n", load.Bitrate()/1e6, o.line())
			if min(o.Quality.Video, o.Quality.Audio) < capacityShare {
				best.Limit = fmt.Sprintf("at %.0f Mbit/s video %s audio %s", load.Bitrate()/1e6, percent(o.Quality.Video), percent(o.Quality.Audio))
				break
			}
			best.Mbits, best.PPS = load.Bitrate()/1e6, load.PacketsPerSecond()
		}
		out = append(out, best)
	}
	return out
}

func (r *Results) find(spec Spec, variant string) *Outcome {
	i := slices.IndexFunc(r.Outcomes, func(o Outcome) bool { return o.Spec == spec && o.Variant == variant })
	if i < 0 {
		return nil
	}
	return &r.Outcomes[i]
}
