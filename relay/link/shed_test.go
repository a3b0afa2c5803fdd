package link

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"maille/relay"
)

// When a path turns too narrow upper layers stop within 200 ms of packets beginning to
// wait, before the queue drops of every layer alike; audio never does.
func TestShedsWithin200ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ld := load{videos: 10, videoPPS: 150, size: 1198, simulcast: true, audios: 3, warm: 3 * time.Second, measured: 10 * time.Second}
		wide := conditions{delay: 50 * ms, rate: 100e6, queue: 10_000_000}
		narrow := wide
		narrow.rate, narrow.queue = 8e6, 1_000_000
		var over, shed, full time.Duration
		x := deliver(t, wide, ld, func(p *pair, at time.Duration) {
			if at.Truncate(20*ms) == 5*time.Second {
				p.set(p.a.host, p.b.host, narrow)
			}
			sa := p.a.Session("b")
			if sa == nil || at < 5*time.Second {
				return
			}
			oldest := int64(0)
			sa.queue.mu.Lock()
			for _, r := range sa.queue.active {
				for _, o := range r.active {
					oldest = max(oldest, relay.Now()-o.pending.first().at)
				}
			}
			sa.queue.mu.Unlock()
			if over == 0 && oldest > int64(20*ms) {
				over = at
			}
			if shed == 0 && sa.counters.drops[relay.DropShed].Load() > 0 {
				shed = at
			}
			if full == 0 && sa.counters.drops[relay.DropQueueFull].Load() > 0 {
				full = at
			}
		})
		x.log(t)
		t.Logf("packets wait after %v, layers are shed after %v, the queue drops after %v", over, shed, full)
		if over == 0 || shed == 0 || shed-over > 200*ms {
			t.Errorf("packets wait after %v, layers are shed after %v", over, shed)
		}
		if full != 0 && full < shed {
			t.Errorf("the queue drops of all layers after %v, before any is shed", full)
		}
		if x.audio.share() < 1 {
			t.Errorf("audio %v", &x.audio)
		}
	})
}

// A true bottleneck that also loses at random: video is shed soon enough that audio passes
// and no queue is left standing.
func TestShedsUnderLossToo(t *testing.T) {
	for _, c := range []struct{ loss, rate float64 }{
		{0, 10e6}, {.02, 10e6}, {.05, 10e6}, {.05, 5e6}, {.05, 16e6},
	} {
		if raceEnabled && c.rate < 16e6 {
			continue
		}
		t.Run(fmt.Sprintf("%g %% at %g Mbit/s", 100*c.loss, c.rate/1e6), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ld := load{videos: 8, videoPPS: 210, size: 1198, simulcast: true, audios: 3, warm: 5 * time.Second, measured: 12 * time.Second}
				wide := conditions{delay: 50 * ms, loss: c.loss}
				narrow := wide
				narrow.rate, narrow.queue = c.rate, int(c.rate/8)
				var queues []time.Duration
				var shed, longest time.Duration
				x := deliver(t, wide, ld, func(p *pair, at time.Duration) {
					if at.Truncate(20*ms) == 5*time.Second {
						p.set(p.a.host, p.b.host, narrow)
					}
					backlog := p.path(p.a.host.addr.String(), p.b.host.addr.String()).backlog()
					longest = max(longest, backlog)
					if at >= 7*time.Second {
						queues = append(queues, backlog)
					}
					if sa := p.a.Session("b"); shed == 0 && at > 5*time.Second && sa.counters.drops[relay.DropShed].Load() > 0 {
						shed = at - 5*time.Second
					}
				})
				x.log(t)
				slices.Sort(queues)
				p95 := queues[len(queues)*95/100]
				t.Logf("shed after %v; queue on the path p95 %v from 2 s on, at most %v", shed, p95, longest)
				if p95 > 150*ms {
					t.Errorf("queue p95 %v", p95)
				}
				if shed == 0 || shed > time.Second {
					t.Errorf("layers are shed after %v", shed)
				}
				if x.audio.share() < .995 {
					t.Errorf("audio %v", &x.audio)
				}
			})
		})
	}
}
