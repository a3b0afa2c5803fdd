package linkbench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"runtime/pprof"
	"syscall"
	"time"
)

// usage is what a process used of the machine in some time. Unlike the time, the counts
// do not depend on what else the machine does.
type usage struct {
	CPU time.Duration // user and kernel mode
	// Wakes counts goroutines that became runnable, Sleeps threads that went to sleep,
	// Allocs objects on the heap.
	Wakes, Sleeps, Allocs uint64
}

func (u usage) minus(o usage) usage {
	return usage{u.CPU - o.CPU, u.Wakes - o.Wakes, u.Sleeps - o.Sleeps, u.Allocs - o.Allocs}
}

const (
	wakesMetric  = "/sched/latencies:seconds"
	allocsMetric = "/gc/heap/allocs:objects"
)

// used is what this process used so far.
func used() usage {
	var out usage
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err == nil {
		out.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
		out.Sleeps = uint64(r.Nvcsw)
	}
	samples := []metrics.Sample{{Name: wakesMetric}, {Name: allocsMetric}}
	metrics.Read(samples)
	if samples[0].Value.Kind() == metrics.KindFloat64Histogram {
		for _, n := range samples[0].Value.Float64Histogram().Counts {
			out.Wakes += n
		}
		out.Wakes *= wakesSampled
	}
	if samples[1].Value.Kind() == metrics.KindUint64 {
		out.Allocs = samples[1].Value.Uint64()
	}
	return out
}

// wakesSampled: the runtime counts every eighth.
const wakesSampled = 8

// meter measures this process from start to stop, with a profile if it has a path.
type meter struct {
	profile string
	file    *os.File
	before  usage
}

func (m *meter) start() {
	if m.profile != "" {
		if f, err := os.Create(m.profile); err == nil {
			m.file = f
			_ = pprof.StartCPUProfile(f)
		}
	}
	m.before = used()
}

func (m *meter) stop() usage {
	u := used().minus(m.before)
	if m.file != nil {
		pprof.StopCPUProfile()
		_ = m.file.Close()
	}
	return u
}

// profile is where the child's profile goes, "" for none.
func (o childOrder) profile() string {
	if o.Profile == "" {
		return ""
	}
	return filepath.Join(o.Profile, fmt.Sprintf("%s-%s-%s-%d.prof", o.Case, o.Variant, o.Role, os.Getpid()))
}
