package bwe

import "testing"

func TestTrainShowsANarrowPath(t *testing.T) {
	const usual = 150_000 // eight milliseconds a packet
	for name, c := range map[string]struct {
		train  [][2]float64 // gaps and delays in milliseconds
		narrow bool
	}{
		"narrow":                      {[][2]float64{{0, 30}, {20, 50}, {20, 70}}, true},
		"two packets":                 {[][2]float64{{0, 30}, {20, 50}}, false},
		"a picture on the old path":   {[][2]float64{{0, 30}, {8, 38}, {8, 46}, {8, 54}}, false},
		"a pause":                     {[][2]float64{{0, 30}, {1, 31}, {1, 32}, {60, 92}}, false},
		"slow because little is sent": {[][2]float64{{0, 30}, {20, 30}, {20, 31}}, false},
		"a queue that drains":         {[][2]float64{{0, 70}, {20, 60}, {20, 50}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var tr train
			now := int64(1e12)
			for _, a := range c.train {
				now += int64(a[0] * 1e6)
				tr.came(now, int64(a[1]*1e6), 1200)
			}
			if got := tr.narrow(usual); got != c.narrow {
				t.Errorf("narrow %v", got)
			}
		})
	}
}

// A path that becomes narrow is noticed by the first report that tells of it.
func TestOneReportIsEnoughForATrain(t *testing.T) {
	c := newClient(5 * mbit)
	c.ladder = []float64{1.2 * mbit}
	c.run(5 * 1e9)
	c.rate = .5 * mbit
	before := c.s.estimate.cap
	reports := 0
	for c.s.estimate.cap >= before {
		was := c.s.estimate.queue
		c.run(1e8)
		if c.s.estimate.queue > queueLimit && was != c.s.estimate.queue {
			reports++
		}
		if c.now > int64(c.rtt)+1e18 {
			t.Fatal("never")
		}
	}
	if reports != 1 {
		t.Errorf("%d reports of a queue", reports)
	}
}
