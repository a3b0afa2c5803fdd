package link

import (
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
