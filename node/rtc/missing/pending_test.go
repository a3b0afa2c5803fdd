package missing

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever comes, the list is bounded, each packet climbs a few times and is answered
// once.
func TestPendingIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Pending
		now := int64(1e9)
		climbed := make(map[uint16]int)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			now += int64(rapid.IntRange(0, 60).Draw(t, "ms")) * 1e6
			origin := uint16(rapid.IntRange(0, 300).Draw(t, "origin"))
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				before := len(q.list)
				q.Add(origin+1000, 1, origin, now)
				q.Add(origin+1000, 1, origin, now)
				if len(q.list) > before+1 || len(q.list) > maxPending {
					t.Fatalf("%d packets wait after %d", len(q.list), before)
				}
			case 1:
				if seq, ok := q.Came(1, origin); ok && seq != origin+1000 {
					t.Fatalf("%d is answered as %d", origin, seq)
				}
				delete(climbed, origin)
				if _, again := q.Came(1, origin); again {
					t.Fatal("answered twice")
				}
			case 2:
				for _, m := range q.list {
					if m.due <= now && now < q.next {
						t.Fatalf("due at %d, looked at from %d", m.due, q.next)
					}
				}
				ask := q.Due(now)
				for _, o := range ask[1] {
					if climbed[o]++; climbed[o] > 2*climbTries*(maxPending+1) {
						t.Fatalf("%d climbs for ever", o)
					}
				}
				for _, m := range q.list {
					if m.tries > climbTries || m.due <= now {
						t.Fatalf("%+v at %d", m, now)
					}
				}
			}
		}
	})
}

func TestSettled(t *testing.T) {
	var l Settled
	l.Add(7, 1000e6)
	for _, tt := range []struct {
		seq      uint16
		now, rtt int64
		want     bool
	}{
		{7, 1001e6, 0, true},
		{7, 1049e6, 0, false},
		{8, 1001e6, 0, false},
		{7, 1080e6, 100e6, true},
		{7, 1090e6, 100e6, false},
		{7, 1400e6, 10e9, false},
	} {
		if got := l.Crossing(tt.seq, tt.now, tt.rtt); got != tt.want {
			t.Errorf("%d at %d ms with a round trip of %d ms: %t", tt.seq, tt.now/1e6, tt.rtt/1e6, got)
		}
	}
	for i := range 1000 {
		l.Add(uint16(100+i), 2e9)
	}
	if len(l.list) != maxSettled || l.Crossing(7, 1001e6, 0) || !l.Crossing(1099, 2e9, 0) {
		t.Errorf("%d entries", len(l.list))
	}
}
