package link

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"maille/relay"
)

// seeded makes the pair's path lose other packets.
func (p *pair) seeded(seed uint64) {
	p.network.mu.Lock()
	defer p.network.mu.Unlock()
	p.rng = rand.New(rand.NewPCG(seed, seed))
}

// A side that hears nothing for a second, and for the time to the next probe, takes the
// link for down, whatever the round trip is.
func TestDownAfterASecondOfSilence(t *testing.T) {
	for _, delay := range []time.Duration{5 * ms, 50 * ms, 150 * ms, 300 * ms} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, conditions{delay: delay})
				defer p.stop()
				sa, sb := p.sessions(t)
				settle(5*time.Second + 30*ms)
				p.both(p.a.host, p.b.host, conditions{cut: true})
				var wg sync.WaitGroup
				for _, s := range []*Session{sa, sb} {
					wg.Go(func() {
						<-s.Done()
						if silent := time.Duration(relay.Now() - s.heard.Load()); silent < downAfter || silent > downAfter+probeEvery+2*ms {
							t.Errorf("%v of silence", silent)
						}
					})
				}
				wg.Wait()
				settle(time.Second)
				for _, n := range []*node{p.a, p.b} {
					n.mu.Lock()
					if len(n.downs) == 0 || !errors.Is(n.downs[0], ErrSilent) {
						t.Errorf("%s: down for %v", n.name, n.downs)
					}
					n.mu.Unlock()
				}
			})
		})
	}
}

// Paths that lose a fifth of everything over a long way are not taken for down, nor those
// that are cut for less than a second; with little to say or with much.
func TestNoFalseAlarms(t *testing.T) {
	for seed := range uint64(3) {
		for _, c := range []conditions{
			{delay: 150 * ms, loss: .2}, {delay: 150 * ms, loss: .2, jitter: 60 * ms}, {delay: 300 * ms, loss: .3},
		} {
			if raceEnabled && seed > 0 {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, conditions{delay: c.delay})
				defer p.stop()
				p.seeded(seed + 10)
				p.sessions(t)
				p.both(p.a.host, p.b.host, c)
				settle(2 * time.Minute)
				if _, downs := p.a.counts(); downs != 0 {
					t.Errorf("seed %d, %v: %d times down in two minutes", seed, c, downs)
				}
			})
		}
	}
	t.Run("with media", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ld := load{videos: 4, videoPPS: 100, size: 1198, audios: 3, warm: time.Second, measured: 10 * time.Second}
			deliver(t, conditions{delay: 150 * ms, loss: .2}, ld, func(p *pair, at time.Duration) {
				if ups, downs := p.a.counts(); ups != 1 || downs != 0 {
					t.Fatalf("%d sessions began and %d ended after %v", ups, downs, at)
				}
			})
		})
	})
	for _, delay := range []time.Duration{5 * ms, 150 * ms} {
		for _, oneWay := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				good, dead := conditions{delay: delay}, conditions{delay: delay, cut: true}
				p := newPair(t, good)
				defer p.stop()
				p.sessions(t)
				for i := range 20 {
					settle(10*time.Second + time.Duration(i)*17*ms)
					p.set(p.a.host, p.b.host, dead)
					if !oneWay {
						p.set(p.b.host, p.a.host, dead)
					}
					settle(950 * ms)
					p.both(p.a.host, p.b.host, good)
				}
				settle(2 * time.Second)
				if _, downs := p.a.counts(); downs != 0 {
					t.Errorf("delay %v, one way %v: cut for less than a second, down %d times of 20", delay, oneWay, downs)
				}
			})
		}
	}
}
