package link

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A path that loses a third of everything is bad, not dead.
func TestHeavyLossDoesNotEndASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 50 * ms})
		defer p.stop()
		p.sessions(t)
		p.both(p.a.host, p.b.host, conditions{delay: 50 * ms, loss: .3})
		settle(5 * time.Minute)
		if _, downs := p.a.counts(); downs != 0 {
			t.Errorf("%d times down in five minutes", downs)
		}
	})
}

// A bulk flow, here messages on channels, fills the path's queue; media keeps a part of
// the path, and all audio.
func TestBulkBesideMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ld := load{videos: 8, videoPPS: 125, size: 1198, audios: 3, warm: 4 * time.Second, measured: 8 * time.Second}
		began := false
		x := deliver(t, conditions{delay: 50 * ms, rate: 20e6, queue: 500_000}, ld, func(p *pair, at time.Duration) {
			if s := p.a.Session("b"); s != nil && at > 3*time.Second && !began {
				began = true
				for i := range 8 {
					if err := s.Send(fmt.Sprint("bulk", i), make([]byte, 3<<20)); err != nil {
						t.Error(err)
					}
				}
			}
		})
		x.log(t)
		if x.audio.share() < .995 || x.audio.at(.99) > 300*ms {
			t.Errorf("audio %v", &x.audio)
		}
		if x.video.share() < .25 {
			t.Errorf("video %v: pushed off the path", &x.video)
		}
	})
}

// The path shrinks to half of what is offered, and grows again.
func TestPathShrinksAndGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ld := load{videos: 16, videoPPS: 125, size: 1198, audios: 3, warm: 14 * time.Second, measured: 6 * time.Second}
		wide := conditions{delay: 50 * ms, rate: 50e6, queue: 2_500_000}
		narrow := wide
		narrow.rate = 8e6
		worst := time.Duration(0)
		x := deliver(t, wide, ld, func(p *pair, at time.Duration) {
			switch at.Truncate(100 * ms) {
			case 3 * time.Second:
				p.set(p.a.host, p.b.host, narrow)
			case 7 * time.Second:
				p.set(p.a.host, p.b.host, wide)
			}
			if at > 5*time.Second && at < 7*time.Second {
				worst = max(worst, p.path(p.a.host.addr.String(), p.b.host.addr.String()).backlog())
			}
		})
		x.log(t)
		if worst > 150*ms {
			t.Errorf("queue of %v two seconds after the path shrank", worst)
		}
		if x.video.share() < .9 || x.audio.share() < .999 {
			t.Errorf("seven seconds after it grew: video %v, audio %v", &x.video, &x.audio)
		}
	})
}

// A bottleneck without a queue worth the name: delay tells nothing, loss must not be
// answered by ever more lanes.
func TestShortQueueIsNotFloodedByLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ld := load{videos: 20, videoPPS: 125, size: 1198, audios: 3, warm: 4 * time.Second, measured: 10 * time.Second}
		x := deliver(t, conditions{delay: 50 * ms, rate: 10e6, queue: 25_000}, ld, nil)
		x.log(t)
		if x.audio.share() < .99 {
			t.Errorf("audio %v", &x.audio)
		}
		if lost := float64(x.dropped) / float64(x.dropped+int(x.a.Arrived)); lost > .15 {
			t.Errorf("%.0f%% of what was sent was lost", lost*100)
		}
	})
}
