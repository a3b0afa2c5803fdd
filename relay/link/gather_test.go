package link

import (
	"testing"
	"testing/synctest"
	"time"
)

// play lets packets come at a rate for a while and looks with each, as those that push do;
// it returns the longest that one waited, and how many left together at most.
func (g *gather) play(now *int64, rate float64, d time.Duration) (longest time.Duration, most int) {
	var waiting []int64
	for end := *now + int64(d); *now < end; {
		*now += int64(1e9 / rate)
		waiting = append(waiting, *now)
		g.judge(*now)
		left := 0
		for len(waiting) > 0 && g.wait(*now, len(waiting), waiting[0]) == 0 {
			longest = max(longest, time.Duration(*now-waiting[0]))
			waiting = waiting[1:]
			g.took(*now)
			left++
		}
		most = max(most, left)
	}
	return longest, most
}

func TestAudioGathersOnlyAtHighRates(t *testing.T) {
	now := int64(time.Hour)
	g := gather{full: 10}
	if longest, most := g.play(&now, 2500, time.Second); longest != 0 || most != 1 {
		t.Errorf("of 2,500 packets a second one waited %v, %d left together", longest, most)
	}
	longest, most := g.play(&now, 20000, time.Second)
	if longest == 0 || longest > time.Duration(gatherMost) {
		t.Errorf("of 20,000 packets a second one waited %v", longest)
	}
	if most < 10 {
		t.Errorf("of 20,000 packets a second %d left together", most)
	}
	g.judge(now + int64(time.Second))
	if wait := g.wait(now+int64(time.Second), 1, now+int64(time.Second)); wait != 0 {
		t.Errorf("waits %v after the rush", wait)
	}
}

// What waits when nothing more comes leaves all the same.
func TestAudioThatGathersLeavesByItself(t *testing.T) {
	now := int64(time.Hour)
	g := gather{full: 10}
	g.play(&now, 20000, time.Second)
	wait := g.wait(now, 1, now)
	if wait == 0 || wait > time.Duration(gatherMost) {
		t.Fatalf("waits %v", wait)
	}
	if again := g.wait(now+int64(wait), 1, now); again != 0 {
		t.Errorf("and then %v", again)
	}
}

// Below the rate at which audio gathers no packet of it waits at the link at all; above, no
// longer than a round.
func TestAudioDoesNotWaitBelowTheRate(t *testing.T) {
	for _, c := range []struct {
		audios  int // of 50 packets a second
		longest time.Duration
	}{{10, 0}, {76, 0}, {160, time.Duration(gatherMost)}} {
		synctest.Test(t, func(t *testing.T) {
			const delay = 50 * ms
			x := deliver(t, conditions{delay: delay}, load{audios: c.audios, warm: time.Second, measured: 2 * time.Second}, nil)
			if x.audio.share() < 1 || x.audio.at(1)-delay > c.longest {
				t.Errorf("%d packets a second: one waited %v, want %v at most; %v", 50*c.audios, x.audio.at(1)-delay, c.longest, &x.audio)
			}
			if c.longest > 0 && x.audio.at(.5) == delay {
				t.Errorf("%d packets a second: half of them did not wait", 50*c.audios)
			}
		})
	}
}
