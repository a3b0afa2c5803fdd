package rtc

import (
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/relay"
	"maille/relay/rewrite"
)

// pacing is a pacer on a scripted clock, with what left it.
type pacing struct {
	*pacer
	now  int64
	s    *Subscriber
	left []leaving
}

type leaving struct {
	seq   uint16
	at    int64
	again bool
}

func newPacing(rate float64) *pacing {
	c := &pacing{pacer: new(pacer), now: 1e9}
	c.s = &Subscriber{peer: &Peer{engine: &Engine{now: func() int64 { return c.now }}}}
	c.set(rate)
	return c
}

// offer gives a packet of 1,000 bytes, headers included.
func (c *pacing) offer(seq uint16, again bool) {
	p := relay.NewPacket()
	defer p.Release()
	w := paced{s: c.s, p: p, out: rewrite.Out{Seq: seq}, again: again, size: 1000}
	if !c.hold(&w) {
		c.left = append(c.left, leaving{seq, c.now, again})
	}
}

// run lets time pass tick by tick until nothing waits.
func (c *pacing) run() {
	for c.busy.Load() {
		c.now += int64(paceTick)
		for w, ok := c.next(c.now); ok; w, ok = c.next(c.now) {
			c.left = append(c.left, leaving{w.out.Seq, c.now, w.again})
			w.release()
		}
	}
}

func TestNothingWaitsWithoutPace(t *testing.T) {
	c := newPacing(0)
	for seq := range uint16(1000) {
		c.offer(seq, false)
	}
	if len(c.left) != 1000 {
		t.Fatalf("%d of 1000 packets left at once", len(c.left))
	}
}

// A keyframe leaves at the pace, in order, from a burst of a few milliseconds on.
func TestKeyframeIsSpread(t *testing.T) {
	c := newPacing(100_000)
	began := c.now
	for seq := range uint16(40) {
		c.offer(seq, false)
	}
	c.run()
	if len(c.left) != 40 {
		t.Fatalf("%d packets left", len(c.left))
	}
	for i, l := range c.left {
		if l.seq != uint16(i) {
			t.Fatalf("packet %d left as number %d", l.seq, i)
		}
		// Two packets are the burst and the one that begins.
		if most := 100_000*float64(l.at-began)/1e9 + 2*relay.BufferSize; float64(1000*i) > most {
			t.Fatalf("%d bytes after %v", 1000*i, time.Duration(l.at-began))
		}
	}
	if took := c.now - began; took > 400e6 {
		t.Fatalf("40 kB at 100 kB/s took %v", time.Duration(took))
	}
}

// What would wait for too long leaves faster.
func TestNothingWaitsForLong(t *testing.T) {
	c := newPacing(10_000)
	began := c.now
	for seq := range uint16(100) {
		c.offer(seq, false)
	}
	c.run()
	if took := time.Duration(c.now - began); len(c.left) != 100 || took > paceWithin+2*paceTick {
		t.Fatalf("%d of 100 packets took %v", len(c.left), took)
	}
}

func TestRepairsOvertake(t *testing.T) {
	c := newPacing(50_000)
	for seq := range uint16(10) {
		c.offer(seq, false)
	}
	c.offer(1000, true)
	first := len(c.left)
	c.run()
	if got := c.left[first]; !got.again {
		t.Fatalf("number %d left before the repair", got.seq)
	}
}

// What waits of a picture that a keyframe replaces is let go, of that video only.
func TestKeyframeReplacesWhatWaits(t *testing.T) {
	c := newPacing(20_000)
	for seq := range uint16(10) {
		c.offer(seq, false)
	}
	c.offer(3, true)
	other := &Subscriber{peer: c.s.peer}
	mine := c.s
	c.s = other
	c.offer(500, false)
	c.s = mine
	first := len(c.left)
	p := relay.NewPacket()
	c.hold(&paced{s: c.s, p: p, out: rewrite.Out{Seq: 10}, key: true, size: 1000})
	p.Release()
	if c.bytes != 2000 {
		t.Fatalf("%d bytes wait, want the other's packet and the keyframe", c.bytes)
	}
	c.run()
	if got := c.left[first:]; len(got) != 2 || got[0].seq != 500 || got[1].seq != 10 {
		t.Fatalf("%+v left", got)
	}
}

// The pace may end while packets wait: they leave in order, before what comes.
func TestPaceEndsInOrder(t *testing.T) {
	c := newPacing(20_000)
	for seq := range uint16(20) {
		c.offer(seq, false)
	}
	c.set(0)
	for seq := uint16(20); seq < 30; seq++ {
		c.offer(seq, false)
	}
	c.run()
	for i, l := range c.left {
		if l.seq != uint16(i) {
			t.Fatalf("packet %d left as number %d", l.seq, i)
		}
	}
	if len(c.left) != 30 {
		t.Fatalf("%d packets left", len(c.left))
	}
}

// What waits is bounded, and let go with the peer: a packet released twice or kept
// would be found by the pool.
func TestPacerIsBoundedAndLetsGo(t *testing.T) {
	c := newPacing(1000)
	for seq := range uint16(3 * paceMost) {
		c.offer(seq, false)
	}
	if n := c.repair.n + c.video.n; n != paceMost {
		t.Fatalf("%d packets wait", n)
	}
	if got := c.s.drops.Snapshot()[relay.DropShed.String()]; got < 2*paceMost-2 {
		t.Fatalf("%d packets counted as dropped", got)
	}
	c.close()
	if c.bytes != 0 || c.busy.Load() {
		t.Fatalf("%d bytes wait after the end", c.bytes)
	}
	c.offer(1, false)
	if c.video.n != 0 {
		t.Fatal("a packet waits after the end")
	}
}

// On a narrow path nothing before the newest keyframe is sent again.
func TestNarrowPathRepairsWhatCounts(t *testing.T) {
	for _, tt := range []struct {
		rate float64
		want uint64 // repairs of one packet before the keyframe, and one after
	}{{0, 2}, {1e6, 1}} {
		s, tr, _ := bench(relay.Video, webrtc.MimeTypeVP8)
		f := newPacketFeed(webrtc.MimeTypeVP8, 500)
		for range 100 {
			f.push(tr)
		}
		before := s.newest - 10
		f.key = true
		for range 20 {
			f.push(tr)
		}
		s.peer.path.pacer.set(tt.rate)
		s.answer(f.at, []uint16{before, s.newest - 5})
		if got := s.resent.Load(); got != tt.want {
			t.Errorf("pace %.0f: %d packets sent again, want %d", tt.rate, got, tt.want)
		}
		s.peer.path.pacer.close()
	}
}

func TestPacingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	c := newPacing(100_000)
	c.left = make([]leaving, 0, 1<<16)
	step := func() {
		for seq := range uint16(50) {
			c.offer(seq, false)
		}
		c.run()
		c.left = c.left[:0]
	}
	step()
	if n := testing.AllocsPerRun(100, step); n > 1 { // the pool may have been emptied
		t.Errorf("%v allocations for 50 packets", n)
	}
}

func BenchmarkPacer(b *testing.B) {
	c := newPacing(1e9)
	c.left = make([]leaving, 0, 64)
	for b.Loop() {
		for seq := range uint16(50) {
			c.offer(seq, false)
		}
		c.run()
		c.left = c.left[:0]
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50, "ns/packet")
}

// What waits of a video that ends at once is let go, and makes nothing else hurry.
func TestForgottenPicturesDoNotLeave(t *testing.T) {
	c := newPacing(10_000)
	for seq := range uint16(100) {
		c.offer(seq, false)
	}
	first := len(c.left)
	if c.least <= 10_000 {
		t.Fatal("nothing hurries")
	}
	c.forget(c.s)
	if c.run(); len(c.left) != first || c.bytes != 0 || c.least != 0 {
		t.Errorf("%d packets left, %d bytes wait, at least at %v", len(c.left)-first, c.bytes, c.least)
	}
}
