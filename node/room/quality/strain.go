package quality

import (
	"time"

	"maille/proto/livekit"
)

const (
	// judgeLeast is how many packets a direction must have carried for its losses to
	// count: of fewer, one lost packet would be a verdict.
	judgeLeast = 20
	// Shares of packets lost, after which speech is no longer what it was, and no longer
	// understood. Repairs hide the first from most, but cost them delay.
	lossGood, lossPoor = 0.02, 0.08
	// Round trips, after which people begin to interrupt each other (ITU-T G.114 puts it
	// at 150 ms one way), and after which they take turns.
	delayGood, delayPoor = 300 * time.Millisecond, 600 * time.Millisecond
	// Held video, with all else well, is what a good connection lacks.
	scoreBest, scoreWorst = 4.5, 1.0
)

// Counted is what was known of one stream when it was last judged.
type Counted struct{ packets, lost uint64 }

// Since returns what has been added, and notes the new state. Counters that fell are of
// a stream that began anew.
func (c *Counted) Since(packets, lost uint64) (uint64, uint64) {
	old := *c
	*c = Counted{packets, lost}
	if packets < old.packets || lost < old.lost {
		old = Counted{}
	}
	return packets - old.packets, lost - old.lost
}

// Strain is what a client's connection suffered in one interval.
type Strain struct {
	packets, lost uint64        // in the direction that suffered most
	RTT           time.Duration // the longest
	Held          bool          // video is held back for lack of bandwidth
	Cut           bool          // no media passes
}

// With takes another direction or stream into account: the worst counts.
func (s *Strain) With(packets, lost uint64) {
	if packets+lost < judgeLeast {
		return
	}
	if s.packets == 0 || lost*(s.packets+s.lost) > s.lost*(packets+lost) {
		s.packets, s.lost = packets, lost
	}
}

// Verdict is the quality, and a score as a mean opinion from 1 to 5.
func (s Strain) Verdict() (livekit.ConnectionQuality, float32) {
	if s.Cut {
		return livekit.ConnectionQuality_LOST, scoreWorst
	}
	loss := 0.0
	if s.packets > 0 {
		loss = float64(s.lost) / float64(s.packets+s.lost)
	}
	worst := max(loss/lossPoor, float64(s.RTT)/float64(delayPoor))
	score := float32(max(scoreWorst, scoreBest-2*worst))
	switch {
	case loss >= lossPoor || s.RTT >= delayPoor:
		return livekit.ConnectionQuality_POOR, score
	case loss >= lossGood || s.RTT >= delayGood || s.Held:
		return livekit.ConnectionQuality_GOOD, min(score, 4)
	}
	return livekit.ConnectionQuality_EXCELLENT, score
}
