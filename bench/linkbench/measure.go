package linkbench

import (
	"slices"
	"time"
)

// Sample is what became of one packet.
type Sample struct {
	// Sent and Got are instants of one clock, in nanoseconds; Got is 0 for a packet that
	// never came.
	Sent, Got int64
	Video     bool
	Encoding  uint8
	Bytes     int
}

// slack is what a packet may take beyond the path and one and a half round trips: the
// loss has to be noticed, asked for, and sent again.
const slack = 20 * time.Millisecond

// Deadline is the delay from sending within which a packet is in time.
func Deadline(rtt time.Duration) time.Duration { return rtt/2 + rtt*3/2 + slack }

// Quality is what came of the packets of one run. Shares are of what was sent, 1 where
// nothing was.
type Quality struct {
	// All, Video and Audio are the shares in time, VideoGot and AudioGot those that came
	// at all.
	All, Video, Audio  float64
	VideoGot, AudioGot float64
	// Layers are the shares in time of the video by encoding.
	Layers [len(encodings)]float64
	// P50 and P99 are delays beyond the path, of everything that came.
	P50, P99   time.Duration
	AudioP99   time.Duration
	MediaBytes int
}

type tally struct{ sent, got, inTime int }

func (t *tally) add(got, inTime bool) {
	t.sent++
	if got {
		t.got++
	}
	if inTime {
		t.inTime++
	}
}

func share(n, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(n) / float64(of)
}

// Judge computes the quality of what was sent in [begin, end).
func Judge(samples []Sample, rtt time.Duration, begin, end int64) Quality {
	var (
		all, video, audio tally
		layers            [len(encodings)]tally
		delays, audios    []time.Duration
		bytes             int
	)
	for _, s := range samples {
		if s.Sent < begin || s.Sent >= end {
			continue
		}
		bytes += s.Bytes
		delay := time.Duration(s.Got - s.Sent)
		got := s.Got != 0
		inTime := got && delay <= Deadline(rtt)
		all.add(got, inTime)
		if got {
			delays = append(delays, delay-rtt/2)
		}
		if s.Video {
			video.add(got, inTime)
			layers[s.Encoding].add(got, inTime)
			continue
		}
		audio.add(got, inTime)
		if got {
			audios = append(audios, delay-rtt/2)
		}
	}
	q := Quality{
		All: share(all.inTime, all.sent), Video: share(video.inTime, video.sent), Audio: share(audio.inTime, audio.sent),
		VideoGot: share(video.got, video.sent), AudioGot: share(audio.got, audio.sent),
		P50: Quantile(delays, .5), P99: Quantile(delays, .99), AudioP99: Quantile(audios, .99),
		MediaBytes: bytes,
	}
	for i, l := range layers {
		q.Layers[i] = share(l.inTime, l.sent)
	}
	return q
}

// Quantile sorts d and returns its q-quantile (nearest rank), 0 for none.
func Quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	i := int(q*float64(len(d))+.999999) - 1
	return d[min(max(i, 0), len(d)-1)]
}

// restoredShare is how much of what is sent must be in time for it to count as back, and
// restoredFor how long.
const (
	restoredShare = .95
	restoredFor   = 2 * time.Second
)

// Restored is how long after an instant the wanted packets were back: from then on,
// through restoredFor, all but a twentieth came in time. It is false when that never
// happened in the samples.
func Restored(samples []Sample, rtt time.Duration, after int64, wanted func(Sample) bool) (time.Duration, bool) {
	const step = int64(100 * time.Millisecond)
	var steps []tally
	for _, s := range samples {
		if s.Sent < after || !wanted(s) {
			continue
		}
		i := int((s.Sent - after) / step)
		for len(steps) <= i {
			steps = append(steps, tally{})
		}
		steps[i].add(s.Got != 0, s.Got != 0 && time.Duration(s.Got-s.Sent) <= Deadline(rtt))
	}
	width := int(int64(restoredFor) / step)
	for i := 0; i+width <= len(steps); i++ {
		var sum tally
		for _, w := range steps[i : i+width] {
			sum.sent += w.sent
			sum.inTime += w.inTime
		}
		first := steps[i]
		if share(sum.inTime, sum.sent) >= restoredShare && share(first.inTime, first.sent) >= restoredShare {
			return time.Duration(int64(i) * step), true
		}
	}
	return 0, false
}
