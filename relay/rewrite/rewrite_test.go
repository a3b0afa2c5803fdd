package rewrite

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"maille/relay"
	"maille/relay/codec"
)

func newVP8() *Rewriter {
	return New(Config{Codec: codec.VP8, Seq: 65000, Timestamp: 1<<32 - 100})
}

// Without loss, a subscriber sees one stream without gaps, whatever is left out, paused
// and switched, and whether or not the clocks are known.
func TestOneStreamForTheSubscriber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, v := newVP8(), viewer{t: t}
		streams := []*stream{newStream(0), newStream(1), newStream(2)}
		for _, s := range streams {
			s.delay = rapid.Int64Range(0, 100).Draw(t, "delay")
		}
		if rapid.Bool().Draw(t, "clocks") {
			for _, s := range streams {
				r.Clock(s.clock(rapid.Int64Range(-5000, 5000).Draw(t, "clock at")))
			}
		}
		current, next, limit, paused := -1, 0, uint8(3), false
		for picture := range rapid.IntRange(1, 80).Draw(t, "pictures") {
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				next = rapid.IntRange(0, 2).Draw(t, "encoding")
			case 1:
				limit = rapid.Uint8Range(0, 2).Draw(t, "limit")
			case 2:
				if paused = !paused; !paused {
					current = -1 // comes back with a keyframe
				}
			}
			for i, s := range streams {
				key := next == i && current != i
				for _, p := range s.frame(int64(picture)*period, rapid.IntRange(1, 3).Draw(t, "packets"), key) {
					if paused {
						continue
					}
					if key && p.FrameStart {
						r.Switch(p.Encoding)
						current = i
					}
					if current != i {
						continue
					}
					if p.Temporal > limit {
						if _, pad := r.Skip(p); pad {
							t.Fatal("nothing was missing")
						}
						continue
					}
					o, ok := r.Next(p)
					if !ok {
						t.Fatalf("picture %d of encoding %d refused", picture, i)
					}
					v.inOrder(p, o)
					if encoding, origin, ok := r.Origin(o.Seq); !ok || int(encoding) != i || origin != p.Seq {
						t.Fatalf("seq %d comes from %d/%d, want %d/%d", o.Seq, encoding, origin, i, p.Seq)
					}
				}
			}
		}
	})
}

// With loss and reorder, every packet that arrives has a number of its own, in the
// order of the publisher, and exactly the lost ones leave holes.
func TestGapsStayGaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, s := newVP8(), newStream(1)
		limit := rapid.Uint8Range(0, 2).Draw(t, "limit")
		type arrival struct {
			p     *relay.Packet
			index int
			at    int
		}
		var arrivals []arrival
		index := 0
		for picture := range rapid.IntRange(1, 60).Draw(t, "pictures") {
			for _, p := range s.frame(int64(picture)*period, rapid.IntRange(1, 4).Draw(t, "packets"), picture == 0) {
				a := arrival{p: p, index: index, at: index}
				if index > 0 {
					a.at += rapid.IntRange(0, 40).Draw(t, "late") * rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "is late")
				}
				if index == 0 || rapid.IntRange(0, 9).Draw(t, "lost") > 0 {
					arrivals = append(arrivals, a)
				}
				index++
			}
		}
		slices.SortStableFunc(arrivals, func(a, b arrival) int { return a.at - b.at })

		numbers := map[uint16]int{} // by number, index of the publisher's packet
		newest := 0
		for _, a := range arrivals {
			newest = max(newest, a.index)
			var o Out
			var ok bool
			if a.p.Temporal > limit {
				o, ok = r.Skip(a.p)
			} else if o, ok = r.Next(a.p); !ok {
				t.Fatalf("packet %d has no place", a.index)
			}
			if !ok {
				continue
			}
			if _, twice := numbers[o.Seq]; twice {
				t.Fatalf("%d was used for %d and %d", o.Seq, numbers[o.Seq], a.index)
			}
			numbers[o.Seq] = a.index
			if _, again := r.Next(a.p); again {
				t.Fatal("a repeated packet was numbered again")
			}
		}
		first, last := uint16(65000), r.sent.last
		order, holes := -1, 0
		for i := range last - first + 1 {
			at, ok := numbers[first+i]
			if !ok {
				holes++
				continue
			}
			if at < order {
				t.Fatalf("%d comes after %d", at, order)
			}
			order = at
		}
		if missing := newest + 1 - len(arrivals); holes != missing {
			t.Fatalf("%d holes, %d packets lost", holes, missing)
		}
	})
}

func TestLatePacketFillsItsGap(t *testing.T) {
	r, s := newVP8(), newStream(0)
	a, b, c := s.frame(0, 1, true)[0], s.frame(period, 1, false)[0], s.frame(2*period, 1, false)[0]
	first, _ := r.Next(a)
	third, _ := r.Next(c)
	second, ok := r.Next(b)
	if !ok || second.Seq != first.Seq+1 || third.Seq != second.Seq+1 {
		t.Fatalf("%+v %+v %+v", first, second, third)
	}
	if second.Timestamp-first.Timestamp != period*ticks || third.Timestamp-second.Timestamp != period*ticks {
		t.Fatalf("timestamps %d %d %d", first.Timestamp, second.Timestamp, third.Timestamp)
	}
	if second.Picture != first.Picture+1 || third.Picture != second.Picture+1 || second.TL0 != first.TL0 {
		t.Fatalf("pictures %+v %+v %+v", first, second, third)
	}
}

// A gap that turns out to be a packet nobody wants is closed with padding.
func TestLateSkipAsksForPadding(t *testing.T) {
	r, s := newVP8(), newStream(0)
	a, b, c := s.frame(0, 1, true)[0], s.frame(period, 1, false)[0], s.frame(2*period, 1, false)[0]
	first, _ := r.Next(a)
	third, _ := r.Next(c)
	pad, ok := r.Skip(b)
	if !ok || pad.Seq != first.Seq+1 || pad.Timestamp != third.Timestamp {
		t.Fatalf("%+v, %v", pad, ok)
	}
	if _, ok := r.Skip(b); ok {
		t.Fatal("padded twice")
	}
	if _, _, ok := r.Origin(pad.Seq); ok {
		t.Fatal("padding has no origin")
	}
	if p := r.Pad(0); p.Seq != third.Seq+1 {
		t.Fatalf("padding of our own is %d", p.Seq)
	}
}

// What is sent before the first packet begins numbers and time, which go on with it.
func TestPaddingBeforeTheFirst(t *testing.T) {
	r, s := newVP8(), newStream(0)
	const second = 1000 * ms
	s.delay = 0
	a, b := r.Pad(second), r.Pad(3*second)
	if r.Started() {
		t.Error("started by padding")
	}
	p := s.frame(8000, 1, true)[0]
	o, ok := r.Next(p)
	if !ok || !r.Started() {
		t.Fatal("refused")
	}
	if b.Seq != a.Seq+1 || o.Seq != b.Seq+1 {
		t.Errorf("numbers %d, %d, %d", a.Seq, b.Seq, o.Seq)
	}
	if b.Timestamp-a.Timestamp != 2*90000 || o.Timestamp-b.Timestamp != 5*90000 {
		t.Errorf("times %d, %d, %d", a.Timestamp, b.Timestamp, o.Timestamp)
	}
	if _, _, ok := r.Origin(b.Seq); ok {
		t.Error("padding has an origin")
	}
}

// What upstream left out on purpose leaves no gap; what is lost besides does.
func TestOmittedUpstream(t *testing.T) {
	r, s, v := newVP8(), newStream(0), viewer{t: t}
	see := func(p *relay.Packet) Out {
		o, ok := r.Next(p)
		if !ok {
			t.Fatal("refused")
		}
		return o
	}
	for picture := range 11 {
		for _, p := range s.frame(int64(picture)*period, 2, picture == 0) {
			if p.Temporal == 2 {
				continue // a link was not asked for it
			}
			if p.FrameStart && picture > 0 {
				p.Omitted = 2
			}
			v.inOrder(p, see(p))
		}
	}
	s.frame(11*period, 1, false) // lost
	s.frame(12*period, 3, false) // left out
	p := s.frame(13*period, 1, false)[0]
	p.Omitted = 3
	if o := see(p); o.Seq != v.last.Seq+2 {
		t.Fatalf("%d after %d: one packet was lost", o.Seq, v.last.Seq)
	}
}

func TestAgain(t *testing.T) {
	r, s := newVP8(), newStream(0)
	a, b, c := s.frame(0, 1, true)[0], s.frame(period, 1, false)[0], s.frame(2*period, 1, false)[0]
	want, _ := r.Next(a)
	r.Next(c)
	next := newStream(1)
	key := next.frame(3*period, 1, true)[0]
	r.Switch(1)
	r.Next(key)
	for i := range MaxResends + 1 {
		got, ok := r.Again(want.Seq, a)
		if ok != (i < MaxResends) || ok && got != want {
			t.Fatalf("answer %d: %+v, %v; sent as %+v", i, got, ok, want)
		}
	}
	if _, ok := r.Again(want.Seq+2, a); ok {
		t.Fatal("answered with another packet")
	}
	// Found upstream only now: it goes with the number kept for it, once.
	late, ok := r.Again(want.Seq+1, b)
	if !ok || late.Timestamp != want.Timestamp+period*ticks || late.Picture != want.Picture+1 {
		t.Fatalf("%+v, %v", late, ok)
	}
	if _, ok := r.Next(b); ok {
		t.Fatal("sent again as late")
	}
	if _, _, ok := r.Origin(want.Seq - 1); ok {
		t.Fatal("never sent")
	}
	if _, _, ok := r.Origin(want.Seq + 4); ok {
		t.Fatal("not sent yet")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	r := New(Config{Codec: codec.Opus, Seq: 1, History: 5})
	for seq := range uint16(9) {
		p := relay.NewPacket()
		p.Seq, p.Payload = seq, p.Buffer()[:1]
		r.Next(p)
	}
	for seq := uint16(1); seq <= 9; seq++ {
		if _, origin, ok := r.Origin(seq); ok != (seq >= 2) || ok && origin != seq-1 {
			t.Errorf("%d: %d, %v", seq, origin, ok)
		}
	}
}

func TestPublisherBeginsAnew(t *testing.T) {
	for name, change := range map[string]func(*relay.Packet){
		"another SSRC":     func(p *relay.Packet) { p.SSRC++ },
		"far back":         func(p *relay.Packet) { p.Seq -= 20000 },
		"far ahead":        func(p *relay.Packet) { p.Seq += 2000 },
		"SSRC and all":     func(p *relay.Packet) { p.SSRC++; p.Seq += 9; p.Timestamp += 1 << 30 },
		"back, other time": func(p *relay.Packet) { p.Seq -= 20000; p.Timestamp -= 1 << 30 },
	} {
		t.Run(name, func(t *testing.T) {
			r, s := newVP8(), newStream(0)
			before, _ := r.Next(s.frame(0, 1, true)[0])
			p := s.frame(period, 1, true)[0]
			change(p)
			o, ok := r.Next(p)
			if !ok || o.Seq != before.Seq+2 {
				t.Fatalf("%+v, %v: one number is left out for what was lost", o, ok)
			}
			if passed := int32(o.Timestamp - before.Timestamp); passed != period*ticks {
				t.Fatalf("%d ticks passed", passed)
			}
			p = s.frame(2*period, 1, false)[0]
			change(p)
			if after, ok := r.Next(p); !ok || after.Seq != o.Seq+1 || after.Timestamp != o.Timestamp+period*ticks {
				t.Fatalf("goes on with %+v after %+v", after, o)
			}
		})
	}
}

func TestEmptyPacketsAreSkipped(t *testing.T) {
	r, s := newVP8(), newStream(0)
	first, _ := r.Next(s.frame(0, 1, true)[0])
	padding := s.frame(1, 1, false)[0]
	padding.Payload = nil
	if _, ok := r.Next(padding); ok {
		t.Fatal("padding of the publisher goes no further")
	}
	r.Skip(padding)
	if o, _ := r.Next(s.frame(period, 1, false)[0]); o.Seq != first.Seq+1 {
		t.Fatalf("%d after %d", o.Seq, first.Seq)
	}
}

// VP9 references are distances of picture ids: they must stay.
func TestVP9PicturesKeepTheirDistances(t *testing.T) {
	r := New(Config{Codec: codec.VP9, Seq: 1})
	p9 := func(seq uint16, picture byte) *relay.Packet {
		p := relay.NewPacket()
		p.Seq, p.Timestamp, p.Payload = seq, uint32(picture)*3000, []byte{0x8c, picture, 0xaa}
		return p
	}
	first, _ := r.Next(p9(1, 10))
	r.Skip(p9(2, 11))
	second, _ := r.Next(p9(3, 12))
	if second.Seq != first.Seq+1 || second.Picture != first.Picture+2 {
		t.Fatalf("%+v then %+v", first, second)
	}
	r.Switch(0)
	third, _ := r.Next(p9(100, 90))
	if third.Seq != second.Seq+1 || third.Picture != second.Picture+1 {
		t.Fatalf("%+v then %+v", second, third)
	}
	out := r.AppendPayload(nil, p9(100, 90), third)
	if d, _ := codec.ParseVP9(out); d.Picture != third.Picture&0x7f {
		t.Fatalf("wrote %d, want %d", d.Picture, third.Picture)
	}
}

func TestAppendPayload(t *testing.T) {
	r, s := newVP8(), newStream(0)
	r.Next(s.frame(0, 1, true)[0])
	r.Switch(1)
	p := newStream(1).frame(period, 1, true)[0]
	o, _ := r.Next(p)
	before := slices.Clone(p.Payload)
	buf := make([]byte, 3, relay.BufferSize)
	out := r.AppendPayload(buf, p, o)[3:]
	d, ok := codec.ParseVP8(out)
	if !ok || d.Picture != o.Picture&0x7fff || d.TL0 != o.TL0 || len(out) != len(p.Payload) {
		t.Fatalf("wrote %x for %+v", out, o)
	}
	if !slices.Equal(before, p.Payload) {
		t.Fatal("the packet itself changed: other subscribers see it too")
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	r, s := newVP8(), newStream(0)
	p := s.frame(0, 1, true)[0]
	buf := make([]byte, 0, relay.BufferSize)
	if got := testing.AllocsPerRun(1000, func() {
		p.Seq += 2
		o, _ := r.Next(p)
		r.AppendPayload(buf, p, o)
		r.Skip(p)
	}); got != 0 {
		t.Fatalf("%v allocations", got)
	}
}

func BenchmarkNext(b *testing.B) {
	r, s := newVP8(), newStream(0)
	p := s.frame(0, 1, true)[0]
	buf := make([]byte, 0, relay.BufferSize)
	b.ReportAllocs()
	for b.Loop() {
		p.Seq++
		o, _ := r.Next(p)
		r.AppendPayload(buf, p, o)
	}
}
