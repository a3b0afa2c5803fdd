package link

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// How soon a link has the lanes it needs, the first time and after a cut.
func TestLanesComeUpSoon(t *testing.T) {
	if raceEnabled {
		t.Skip("a figure, not a race")
	}
	for _, c := range []struct {
		loss          float64
		first, second time.Duration
	}{
		{.05, 3 * time.Second, 2 * time.Second}, {.2, 7 * time.Second, 4 * time.Second},
	} {
		t.Run(fmt.Sprint(c.loss), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ld := meeting
				ld.warm, ld.measured = time.Second, 20*time.Second
				path := conditions{delay: 50 * ms, loss: c.loss}
				dead := path
				dead.cut = true
				var first, second, back time.Duration
				x := deliver(t, path, ld, func(p *pair, at time.Duration) {
					lanes := 0
					if s := p.a.Session("b"); s != nil {
						lanes = len(s.lanes.all())
						if at > 14*time.Second && back == 0 {
							back = at
						}
					}
					switch {
					case at < 12*time.Second && lanes >= 32 && first == 0:
						first = at
					case at > 14*time.Second && lanes >= 32 && second == 0:
						second = at - back
					}
					switch at.Truncate(100 * ms) {
					case 12 * time.Second:
						p.both(p.a.host, p.b.host, dead)
					case 14 * time.Second:
						p.both(p.a.host, p.b.host, path)
					}
				})
				t.Logf("32 lanes after %v, after the cut %v after the session; %v", first, second, x.lanes)
				if first == 0 || first > c.first || second == 0 && back != 0 || second > c.second {
					t.Errorf("too late")
				}
			})
		})
	}
}
