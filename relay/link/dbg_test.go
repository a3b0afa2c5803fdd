package link

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDbg(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ld := meeting
		ld.warm = 2 * time.Second
		ld.measured = 6 * time.Second
		last := time.Duration(-1)
		x := deliver(t, conditions{delay: 50 * ms, rate: 10e6, queue: 1250000}, ld, func(p *pair, at time.Duration) {
			if at-last < 200*ms {
				return
			}
			last = at
			s := p.a.Session("b")
			if s == nil {
				return
			}
			s.sent.mu.Lock()
			e := &s.sent.estimate
			t.Logf("%v queue %.0f ms limit %.0f cap %.2f Mbit delivered %.2f settled %.2f loss %.3f", at.Round(ms), e.queue/1e6, e.limit/1e6, e.cap*8/1e6, e.rate.perSecond()*8/1e6, e.settled*8/1e6, s.sent.lossRate)
			s.sent.mu.Unlock()
		})
		x.log(t)
	})
}
