package link

import (
	"testing"
	"time"
)

// play lets packets come at a rate for a while and looks every tenth of a millisecond, as a
// bundler does that is woken now and then; it returns the longest wait asked for.
func (g *gather) play(now *int64, rate float64, d time.Duration) (longest time.Duration) {
	const step = int64(100 * time.Microsecond)
	waiting, oldest, credit := 0, int64(0), 0.0
	for end := *now + int64(d); *now < end; *now += step {
		for credit += rate * float64(step) / 1e9; credit >= 1; credit-- {
			if waiting == 0 {
				oldest = *now
			}
			waiting++
		}
		g.judge(*now)
		if wait := g.wait(*now, waiting, oldest); wait > 0 {
			longest = max(longest, wait)
			continue
		}
		for ; waiting > 0; waiting-- {
			g.took(*now)
		}
	}
	return longest
}

func TestAudioGathersOnlyAtHighRates(t *testing.T) {
	now := int64(time.Hour)
	g := gather{full: 10}
	if wait := g.play(&now, 5000, time.Second); wait != 0 || g.patience != 0 {
		t.Errorf("5,000 packets a second wait %v, patience %d", wait, g.patience)
	}
	if wait := g.play(&now, 20000, time.Second); wait == 0 || wait > time.Duration(gatherMost) {
		t.Errorf("20,000 packets a second wait %v", wait)
	}
	if g.patience < 25 || g.patience > 35 {
		t.Errorf("patience %d, want what comes in %v s", g.patience, gatherTime)
	}
	if g.play(&now, 0, 5*time.Millisecond); g.on || g.patience != 0 {
		t.Error("gathers after the rush")
	}
}
