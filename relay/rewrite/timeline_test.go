package rewrite

import (
	"testing"

	"pgregory.net/rapid"

	"maille/relay"
)

// With a clock pair of both encodings, a picture of one follows a picture of the
// other by exactly the time between their captures, however late they arrive.
func TestSwitchIsExactWithClocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, a, b := newVP8(), newStream(0), newStream(2)
		a.delay, b.delay = rapid.Int64Range(0, 400).Draw(t, "delay"), rapid.Int64Range(0, 400).Draw(t, "delay")
		r.Clock(a.clock(rapid.Int64Range(-100, 100).Draw(t, "clock") * 40))
		r.Clock(b.clock(rapid.Int64Range(-100, 100).Draw(t, "clock") * 40))
		apart := rapid.Int64Range(1, 2000).Draw(t, "apart")
		before, _ := r.Next(a.frame(0, 1, true)[0])
		r.Switch(2)
		after, _ := r.Next(b.frame(apart, 1, true)[0])
		if off := int64(int32(after.Timestamp-before.Timestamp)) - apart*ticks; off < -1 || off > 1 {
			t.Fatalf("%d ms apart, off by %d ticks", apart, off)
		}
	})
}

func TestSwitchWithoutClocks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		delay int64 // of the second encoding, ms; the first has 10
		apart int64 // ms between the captures
		want  int64 // ticks between the timestamps
	}{
		{"by the arrivals", 10, period, period * ticks},
		{"a later path counts as time", 30, period, (period + 20) * ticks},
		{"arrived before the last picture", 0, 5, 1},
		{"the same picture", 10, 0, 1},
		{"after a long pause", 10, 3600_000, 3600_000 * ticks},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, a, b := newVP8(), newStream(0), newStream(1)
			b.delay = tt.delay
			r.Clock(a.clock(0)) // one is not enough
			before, _ := r.Next(a.frame(0, 1, true)[0])
			r.Switch(1)
			after, _ := r.Next(b.frame(tt.apart, 1, true)[0])
			if got := int64(int32(after.Timestamp - before.Timestamp)); got != tt.want {
				t.Fatalf("%d ticks, want %d", got, tt.want)
			}
		})
	}
}

// Clock pairs that disagree wildly with the arrivals are not believed.
func TestImplausibleClocksAreNotBelieved(t *testing.T) {
	r, a, b := newVP8(), newStream(0), newStream(1)
	r.Clock(a.clock(0))
	wrong := b.clock(0)
	wrong.NTP += 60 << 32
	r.Clock(wrong)
	before, _ := r.Next(a.frame(0, 1, true)[0])
	r.Switch(1)
	after, _ := r.Next(b.frame(period, 1, true)[0])
	if got := after.Timestamp - before.Timestamp; got != period*ticks {
		t.Fatalf("%d ticks", got)
	}
	r.Clock(relay.Clock{Spatial: relay.MaxSpatial}) // out of bounds, ignored
}

// After a pause the same encoding goes on where it would be.
func TestPauseKeepsTheTimeline(t *testing.T) {
	r, s := newVP8(), newStream(0)
	before, _ := r.Next(s.frame(0, 1, true)[0])
	for at := int64(1); at < 100; at++ {
		s.frame(at*period, 2, false)
	}
	s.delay = 300 // the network changed meanwhile
	r.Switch(0)
	after, ok := r.Next(s.frame(100*period, 1, true)[0])
	if !ok || after.Seq != before.Seq+1 || after.Timestamp-before.Timestamp != 100*period*ticks {
		t.Fatalf("%+v after %+v", after, before)
	}
}

// The sender report of the encoding being sent maps onto the subscriber's timestamps.
func TestMapClock(t *testing.T) {
	r, a, b := newVP8(), newStream(0), newStream(1)
	if _, ok := r.MapClock(a.clock(0)); ok {
		t.Fatal("nothing was sent yet")
	}
	r.Next(a.frame(0, 1, true)[0])
	r.Switch(1)
	o, _ := r.Next(b.frame(100, 1, true)[0])
	if at, ok := r.MapClock(b.clock(100)); !ok || at != o.Timestamp {
		t.Fatalf("%d, %v; the picture of that instant has %d", at, ok, o.Timestamp)
	}
	if _, ok := r.MapClock(a.clock(100)); ok {
		t.Fatal("the clock of another encoding")
	}
}

// Late packets and answers of an epoch that is too far back are refused, not mistimed.
func TestOldEpochsAreForgotten(t *testing.T) {
	r, streams := newVP8(), []*stream{newStream(0), newStream(1)}
	lost := streams[0].frame(0, 3, true)
	r.Next(lost[0])
	first, _ := r.Next(lost[2])
	for i := range epochs - 1 {
		r.Switch(uint8(1 - i%2))
		r.Next(streams[1-i%2].frame(int64(i+1)*period, 1, true)[0])
	}
	if again, ok := r.Again(first.Seq, lost[2]); !ok || again != first {
		t.Fatalf("%+v, %v, sent as %+v", again, ok, first)
	}
	r.Switch(0)
	r.Next(streams[0].frame(100*period, 1, true)[0])
	if _, ok := r.Again(first.Seq, lost[2]); ok {
		t.Fatal("answered from a forgotten epoch")
	}
	if _, ok := r.Next(lost[1]); ok {
		t.Fatal("filled from a forgotten epoch")
	}
}
