package link

import "time"

// laneCount decides how many lanes a link has. It is pure.
//
// A lane's congestion window is about sqrt(1.5/loss) packets whatever the path could
// carry, so random loss is answered by more lanes. A queue on the path is not: there
// more lanes only fill it faster.
type laneCount struct {
	least, most int
	since       int64 // waiting began; 0 when nothing waits
	changed     int64
	lossy       int64 // last time loss was seen
	calm        int64 // since when the lanes carry much more than is asked of them
	queued      int64 // since when the path is congested
	begun       bool
}

// laneState is what is known when the decision is due.
type laneState struct {
	lanes     int           // up now
	want      int           // as decided last
	rtt       time.Duration // smoothed
	waited    time.Duration // longest wait of a packet since the last decision
	blocked   time.Duration // time since then in which packets waited for nothing but a lane
	loss      float64       // share of datagrams lost lately
	congested bool
	room      float64 // what the lanes may send, over what they are asked to
}

const (
	// laneWait is the wait for a lane that makes more lanes worth it: a burst of a
	// keyframe may wait, a stream of them may not.
	laneWait = 12 * time.Millisecond
	// laneBlocked, of the 200 ms between decisions: less is bursts that lanes spread out.
	laneBlocked = 50 * time.Millisecond
	// laneLoss is loss that binds a window; less is growth that overshot.
	laneLoss = 0.0005
	// calmFor is how long lanes must have been too many before one goes.
	calmFor = int64(20 * time.Second)
)

// decide returns how many lanes there should be.
func (c *laneCount) decide(now int64, st laneState) int {
	if !c.begun {
		c.begun, c.changed, c.calm, c.queued, c.lossy = true, now, now, now, now-int64(time.Hour)
	}
	if st.loss > laneLoss {
		c.lossy = now
	}
	if !st.congested {
		c.queued = now
	}
	waits := st.waited >= laneWait && st.blocked >= laneBlocked
	if !waits {
		c.since = now
	}
	if st.room < 3 || st.lanes < st.want {
		c.calm = now
	}
	settle := int64(st.rtt) + int64(100*time.Millisecond)
	switch {
	case now-c.changed < settle:
		return st.want
	case now-c.queued > int64(500*time.Millisecond):
		c.queued, c.changed = now, now
		return max(min(st.want, st.lanes)*3/4, c.least)
	case st.congested || st.lanes < st.want || !waits:
	case now-c.lossy < int64(time.Second), now-c.since > int64(500*time.Millisecond):
		c.changed = now
		return min(st.want*2, c.most)
	}
	if now-c.calm > calmFor && st.want > c.least {
		c.calm, c.changed = now-calmFor*3/4, now
		return st.want - max(1, st.want/8)
	}
	return st.want
}
