package link

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"maille/relay"
)

// collect runs due and returns what was asked for.
func collect(c *chain, now, rtt int64) (asked []uint16, next int64) {
	next = c.due(now, rtt, func(from uint16, mask uint32) {
		for i := range uint16(32) {
			if mask>>i&1 != 0 {
				asked = append(asked, from+i)
			}
		}
	})
	return asked, next
}

func TestChainTellsLossFromWhatWasNotSent(t *testing.T) {
	var c chain
	const rtt = int64(100 * ms)
	c.got(65530, 0, false, 0)
	c.got(65533, 65530, true, 1) // 65531 and 65532 were not sent here
	if asked, _ := collect(&c, int64(time.Second), rtt); len(asked) != 0 {
		t.Fatalf("asked for %v, which was never sent", asked)
	}
	c.got(2, 1, true, int64(time.Second)) // 65534 to 1 are missing, some of them perhaps not sent
	asked, next := collect(&c, int64(time.Second)+holdMin, rtt)
	if !slices.Equal(asked, []uint16{65534, 65535, 0, 1}) {
		t.Fatalf("asked for %v", asked)
	}
	c.got(1, 65535, true, next-1) // repaired; names one more
	asked, _ = collect(&c, next+holdMax, rtt)
	if !slices.Equal(asked, []uint16{65534, 65535}) {
		t.Fatalf("then asked for %v", asked)
	}
	c.got(65535, 65533, true, next+holdMax+1)
	if asked, again := collect(&c, next+int64(time.Minute), rtt); len(asked) != 0 || again != never {
		t.Fatalf("asked for %v although nothing is missing", asked)
	}
	if c.received != 5 || c.repaired != 2 || c.lost != 0 {
		t.Errorf("received %d repaired %d lost %d", c.received, c.repaired, c.lost)
	}
}

// A run of losses is asked for at once, whatever order the packets after it come in: a
// round trip for each would be too late for all but the first.
func TestChainAsksForARunAtOnce(t *testing.T) {
	var c chain
	const rtt = int64(100 * ms)
	c.got(1, 0, false, 0)
	c.got(9, 8, true, 1) // overtook 8; 2 to 7 are lost
	c.got(8, 7, true, 2)
	asked, _ := collect(&c, holdMax+2, rtt)
	if !slices.Equal(asked, []uint16{2, 3, 4, 5, 6, 7}) {
		t.Fatalf("asked for %v", asked)
	}
	for seq := uint16(7); seq > 1; seq-- {
		if _, gapped := c.got(seq, seq-1, true, rtt); gapped {
			t.Fatalf("the answer %d opened a gap", seq)
		}
	}
	if asked, next := collect(&c, int64(time.Minute), rtt); len(asked) != 0 || next != never {
		t.Errorf("then asked for %v", asked)
	}
}

func TestChainAsksTwiceThenGivesUp(t *testing.T) {
	var c chain
	c.got(1, 0, false, 0)
	c.got(3, 2, true, 0)
	now, asks := int64(0), 0
	for {
		asked, next := collect(&c, now, int64(100*ms))
		asks += len(asked)
		if next == never {
			break
		}
		now = next
	}
	if asks != maxAsks || c.lost != 1 {
		t.Errorf("asked %d times, lost %d", asks, c.lost)
	}
	if now > int64(600*ms) {
		t.Errorf("given up only after %v", time.Duration(now))
	}
	if dup, _ := c.got(2, 1, true, now); dup || c.lost != 0 {
		t.Error("a packet that came after all was taken for a duplicate or stays lost")
	}
}

// What would come too late to be played is not asked for, or not again.
func TestChainAsksOnlyInTime(t *testing.T) {
	for _, tc := range []struct {
		kind relay.Kind
		rtt  time.Duration
		want int
	}{
		{relay.Audio, 100 * ms, 2},
		{relay.Audio, 250 * ms, 1},
		{relay.Audio, 390 * ms, 1},
		{relay.Audio, 450 * ms, 0},
		{relay.Video, 300 * ms, 2},
		{relay.Video, 600 * ms, 1},
		{relay.Video, 1100 * ms, 0},
	} {
		c := newChain(tc.kind)
		c.got(1, 0, false, 0)
		c.got(3, 2, true, 0)
		asks, now := 0, int64(0)
		for now < never {
			asked, next := collect(c, now, int64(tc.rtt))
			asks += len(asked)
			now = next
		}
		if asks != tc.want || c.lost != 1 || len(c.gaps) > 0 {
			t.Errorf("%v at %v: asked %d times, want %d; %d lost", tc.kind, tc.rtt, asks, tc.want, c.lost)
		}
		if dup, _ := c.got(2, 1, true, int64(time.Second)); dup || c.lost != 0 {
			t.Errorf("%v at %v: what came after all does not pass", tc.kind, tc.rtt)
		}
	}
}

func TestChainWaitsForWhatIsOnlyLate(t *testing.T) {
	var c chain
	c.got(1, 0, false, 0)
	c.got(3, 2, true, 0)
	c.got(2, 1, true, int64(2*ms))
	if asked, _ := collect(&c, int64(time.Second), 0); len(asked) != 0 || c.repaired != 0 {
		t.Errorf("asked for %v", asked)
	}
}

// Whatever arrives in whatever order, once or twice: each sequence number passes once,
// and what was sent and never came is what is asked for or lost.
func TestChainPassesEachPacketOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type sent struct {
			seq, prev uint16
			has       bool
		}
		var all []sent
		seq := rapid.Uint16().Draw(t, "first")
		for range rapid.IntRange(1, 60).Draw(t, "sent") {
			s := sent{seq: seq}
			if n := len(all); n > 0 {
				s.prev, s.has = all[n-1].seq, true
			}
			all = append(all, s)
			seq += rapid.Uint16Range(1, 4).Draw(t, "skip")
		}
		order := rapid.SliceOfN(rapid.IntRange(0, len(all)-1), 1, 150).Draw(t, "order")
		var c chain
		passed := map[uint16]int{}
		for i, k := range order {
			if dup, _ := c.got(all[k].seq, all[k].prev, all[k].has, int64(i)); !dup {
				passed[all[k].seq]++
			}
			if len(c.gaps) > maxGaps {
				t.Fatal("more gaps than the bound")
			}
		}
		for s, n := range passed {
			if n != 1 {
				t.Fatalf("%d passed %d times", s, n)
			}
		}
	})
}

func TestHistoryRepeatsAtMostTwice(t *testing.T) {
	h := newHistory(relay.Audio)
	if _, has, ssrc := h.note(5, 9, false); has || !ssrc {
		t.Error("the first of a stream names what came before it, or no SSRC")
	}
	if prev, has, ssrc := h.note(7, 9, false); prev != 5 || !has || ssrc {
		t.Error("second packet", prev, has, ssrc)
	}
	if _, _, ssrc := h.note(8, 10, false); !ssrc {
		t.Error("a new SSRC does not travel")
	}
	now := int64(0)
	for i := range 4 {
		now += int64(repeatAfter)
		if got := h.mayRepeat(7, now); got != (i < maxRepeats) {
			t.Errorf("repeat %d: %v", i, got)
		}
	}
	if !h.mayRepeat(5, now) || h.mayRepeat(5, now+int64(askAgain)) {
		t.Error("a request that came twice is answered twice")
	}
	if !h.mayRepeat(5, now+int64(10*ms)) {
		t.Error("the second request is not answered")
	}
	if h.mayRepeat(6, now) || h.mayRepeat(7+audioHistory, now) {
		t.Error("repeats what was never sent")
	}
}

func TestArrivalsAreReportedTwice(t *testing.T) {
	var a arrivalLog
	seen := map[uint16]int{}
	now, next := int64(0), uint16(65000)
	for range 2000 {
		if next%10 != 3 {
			a.note(next, now)
		}
		next++
		now += int64(ms)
		if a.due(now) <= now {
			base, _, list := a.take(now, nil)
			for i, r := range list {
				if r.Got {
					seen[base+uint16(i)]++
				}
			}
		}
	}
	for q := uint16(65000); q != next-100; q++ {
		want := 2
		if q%10 == 3 {
			want = 0
		}
		if got := seen[q]; got < want || want == 0 && got != 0 {
			t.Fatalf("%d reported %d times, want %d", q, got, want)
		}
	}
}

// A burst is reported in many reports at once, and what a lane held back for some
// milliseconds comes behind them all: it was not lost.
func TestHeldBackIsNotReportedLost(t *testing.T) {
	var a arrivalLog
	now := int64(time.Hour)
	base := uint16(0)
	for q := uint16(0); q < 100; q++ {
		if q%10 != 3 {
			a.note(q, now)
		}
		if a.due(now) <= now {
			base, _, _ = a.take(now, nil)
		}
	}
	if base > 3 {
		t.Fatalf("report begins at %d, 3 is still on its way", base)
	}
	now += int64(7 * ms)
	a.note(3, now)
	base, late, list := a.take(now, nil)
	if base > 3 || late != 0 || !list[3-base].Got {
		t.Errorf("report from %d says %d late", base, late)
	}
}

func TestLaneCount(t *testing.T) {
	type world struct {
		loss     float64 // random
		capacity float64 // datagrams per second of the path, beyond which all is lost
		perLane  float64
		offered  float64
		shed     bool // what does not fit is left out, so that nothing waits
	}
	run := func(w world, d time.Duration) (most, last int) {
		c := laneCount{least: 4, most: 64}
		st := laneState{lanes: 4, want: 4, rtt: 100 * ms, room: 1}
		now, arrived, lost := int64(0), 0.0, 0.0
		for ; now < int64(d); now += int64(probeEvery) {
			sent := min(float64(st.lanes)*w.perLane, w.offered)
			through := min(sent*(1-w.loss), w.capacity)
			arrived += through * probeEvery.Seconds()
			lost += (sent - through) * probeEvery.Seconds()
			st.arrived, st.lost, st.loss = uint64(arrived), uint64(lost), 1-through/sent
			st.waited, st.blocked = 0, 0
			if sent < w.offered {
				st.waited, st.blocked = 50*ms, 200*ms
			}
			if st.shed = w.shed && sent < w.offered; st.shed {
				st.waited, st.blocked = 0, 0
			}
			st.want, _ = c.decide(now, st)
			st.lanes = st.want
			most = max(most, st.want)
		}
		return most, st.want
	}
	if most, _ := run(world{capacity: 1e9, perLane: 800, offered: 2600}, time.Minute); most != 4 {
		t.Errorf("%d lanes where four are enough", most)
	}
	if _, last := run(world{loss: .05, capacity: 1e9, perLane: 55, offered: 2600}, 10*time.Second); last != 64 {
		t.Errorf("%d lanes at 5 %% random loss, want 64", last)
	}
	if _, last := run(world{loss: .2, capacity: 1e9, perLane: 20, offered: 2600, shed: true}, 10*time.Second); last != 64 {
		t.Errorf("%d lanes at 20 %% random loss where layers are shed for it, want 64", last)
	}
	if most, _ := run(world{capacity: 1e9, perLane: 200, offered: 2600, shed: true}, 10*time.Second); most != 4 {
		t.Errorf("%d lanes for layers that are shed where nothing is lost", most)
	}
	// A policer: no queue, and nothing beyond its rate passes, however many lanes.
	if most, last := run(world{capacity: 600, perLane: 160, offered: 2600}, 9*time.Second); last > 8 || most > 16 {
		t.Errorf("%d lanes, at most %d, on a path that carries no more", last, most)
	}
}

func TestALimitGoesIfWhatIsLostStays(t *testing.T) {
	at := int64(time.Minute)
	for _, c := range []struct {
		name   string
		before float64
		after  outcome
		want   bool
	}{
		{"random", .35, outcome{.6, 160, 40}, true},
		{"congestion", .35, outcome{.6, 190, 10}, false},
		{"mostly congestion", .6, outcome{.6, 160, 40}, false},
		{"too few to tell", .35, outcome{.6, 30, 10}, false},
	} {
		a := accused{at, c.before}
		if a.acquits(at+acquitAfter-1, c.after) {
			t.Errorf("%s: before what was under way has come", c.name)
		}
		if got := a.acquits(at+acquitAfter, c.after); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		if a.acquits(at+2*acquitAfter, c.after) {
			t.Errorf("%s: twice", c.name)
		}
	}
}

func TestShedderTakesFromTheTopAndComesBackAsItFits(t *testing.T) {
	var d shedder
	layers := []layerLoad{
		{spatial: 0, rate: 20},
		{spatial: 1, rate: 60},
		{spatial: 2, rate: 200},
		{spatial: 0, rate: 20},
		{spatial: 1, rate: 60},
		{spatial: 2, rate: 180},
	}
	shed := func() (out []float64) {
		for _, l := range layers {
			if l.shed {
				out = append(out, l.rate)
			}
		}
		slices.Sort(out)
		return out
	}
	now := int64(0)
	tick := func(overloaded bool, capacity float64) {
		now += int64(probeEvery)
		d.decide(now, overloaded, false, capacity, layers)
	}
	tick(true, 400)
	if got := shed(); !slices.Equal(got, []float64{200}) {
		t.Fatalf("shed %v", got)
	}
	tick(true, 100)
	if got := shed(); !slices.Equal(got, []float64{60, 60, 180, 200}) {
		t.Fatalf("shed %v: base layers stay, all else goes", got)
	}
	tick(false, 1000)
	if got := len(shed()); got != 4 {
		t.Fatalf("%d shed: something came back at once", got)
	}
	for range 100 {
		tick(false, 300)
	}
	if got := shed(); !slices.Equal(got, []float64{180, 200}) {
		t.Fatalf("shed %v: what fits comes back, what does not stays", got)
	}
	for range 100 {
		tick(false, 0)
	}
	if got := shed(); len(got) != 0 {
		t.Fatalf("shed %v though nothing limits the path", got)
	}
}

func TestShedderWaitsForLanesThatGrow(t *testing.T) {
	var d shedder
	layers := []layerLoad{{rate: 20}, {spatial: 1, rate: 60}, {spatial: 2, rate: 200}}
	now := int64(0)
	for ; now < growthFor; now += int64(probeEvery) {
		if d.decide(now, true, true, 100, layers) {
			t.Fatalf("shed after %v although lanes grow", time.Duration(now))
		}
	}
	if !d.decide(now, true, true, 100, layers) {
		t.Error("growth that brings nothing is waited for without end")
	}
	now += int64(time.Minute)
	d.decide(now, false, false, 0, layers)
	if now += int64(probeEvery); d.decide(now, true, true, 100, layers) {
		t.Error("growth is not waited for a second time")
	}
}

func TestShedderBringsBackMoreAndMore(t *testing.T) {
	var d shedder
	now, layers := int64(0), make([]layerLoad, 16)
	left := func() (n int) {
		for _, l := range layers {
			if l.shed {
				n++
			}
		}
		return n
	}
	for i := range layers {
		layers[i] = layerLoad{handle: uint16(i), spatial: 1, rate: 10}
	}
	layers[0].spatial = 0
	// calm lets time pass until something changes, at most a minute.
	calm := func(capacity float64) time.Duration {
		began, before := now, left()
		for left() == before && now-began < int64(time.Minute) {
			now += int64(probeEvery)
			d.decide(now, false, false, capacity, layers)
		}
		return time.Duration(now - began)
	}
	now += int64(probeEvery)
	d.decide(now, true, false, 1, layers)
	for _, want := range []int{14, 12, 8, 0} {
		if calm(1e6); left() != want {
			t.Fatalf("%d are still shed, want %d", left(), want)
		}
	}
	var waits []time.Duration
	for range 3 {
		for range 3 { // one overload, however long, is one failure
			now += int64(probeEvery)
			d.decide(now, true, false, 1, layers)
		}
		waits = append(waits, calm(0))
		if left() != 14 {
			t.Fatalf("%d shed: after a failure one comes back first", left())
		}
	}
	if !(waits[0] < waits[1] && waits[1] < waits[2]) || waits[2] > 4*time.Second {
		t.Errorf("waited %v before the next attempts", waits)
	}
	for range 100 {
		calm(0)
	}
	now += int64(time.Minute)
	d.decide(now, false, false, 0, layers)
	now += int64(probeEvery)
	d.decide(now, true, false, 1, layers)
	if calm(0); left() != 0 {
		t.Errorf("%d still shed though nothing limits the path", left())
	}
}

func TestBucketPacesAndPaysBack(t *testing.T) {
	var b bucket
	b.set(1000, 100, 0)
	b.take(100)
	if w := b.wait(); w < 0 || w > int64(2*ms) {
		t.Errorf("empty: wait %v", time.Duration(w))
	}
	b.take(150)
	b.advance(int64(50 * ms))
	if b.tokens > 0 {
		t.Error("an overdrawn bucket gives at once")
	}
	b.advance(int64(time.Hour))
	if b.tokens != 100 {
		t.Errorf("%v tokens, more than the burst", b.tokens)
	}
}
