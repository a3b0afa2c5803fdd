package link

import (
	"testing"

	"maille/relay"
	"maille/relay/track"
	"maille/relay/wire"
)

// queueOf returns a session that is nothing but its queue, and streams on it.
func queueOf(kinds ...relay.Kind) (*Session, []*outStream) {
	s := new(Session)
	s.queue.init()
	var outs []*outStream
	for i, k := range kinds {
		outs = append(outs, &outStream{s: s, handle: uint16(i), track: track.New("TR", k, "")})
	}
	return s, outs
}

// What comes for a stream that has just ended is not wanted; it is no overload, for which
// others would be shed.
func TestEndedStreamIsNoOverload(t *testing.T) {
	s, outs := queueOf(relay.Video)
	s.queue.forget(outs[0])
	p := fill(1, 100)
	s.queue.push(entry{p: p, out: outs[0]})
	p.Release()
	if d := s.counters.drops.Snapshot(); d["queue_full"] != 0 || d["not_wanted"] != 1 {
		t.Errorf("drops: %v", d)
	}
}

func TestFullQueueDropsOldestVideoFirst(t *testing.T) {
	s, outs := queueOf(relay.Video, relay.Video, relay.Audio)
	defer s.queue.release()
	now := int64(0)
	push := func(o *outStream, seq int) {
		now++
		p := fill(uint16(seq), 100)
		s.queue.push(entry{p: p, out: o, at: now})
		p.Release()
	}
	for i := range maxVideoQueued {
		push(outs[i%2], i/2)
	}
	for i := range 100 {
		push(outs[2], i)
		push(outs[0], maxVideoQueued/2+i)
	}
	if got := s.counters.drops.Snapshot()["queue_full"]; got != 100 {
		t.Fatalf("%d dropped, want 100", got)
	}
	if outs[0].shed.Load() != 50 || outs[1].shed.Load() != 50 || outs[2].shed.Load() != 0 {
		t.Errorf("dropped of each stream: %d %d %d", outs[0].shed.Load(), outs[1].shed.Load(), outs[2].shed.Load())
	}
	first := map[*outStream]int{}
	pops := 0
	for {
		e, ok := s.queue.pop(now, func(entry) { t.Error("late") })
		if !ok {
			break
		}
		pops++
		if _, seen := first[e.out]; !seen {
			first[e.out] = int(e.p.Seq)
		}
		e.p.Release()
	}
	if pops != maxVideoQueued || first[outs[0]] != 50 || first[outs[1]] != 50 {
		t.Errorf("%d left, the first are %d and %d", pops, first[outs[0]], first[outs[1]])
	}
	for i := range 100 {
		e, ok := s.queue.popUrgent()
		if !ok || int(e.p.Seq) != i {
			t.Fatalf("audio %d missing", i)
		}
		e.p.Release()
	}
	for i := range maxAudioQueued + 5 {
		push(outs[2], i)
	}
	if e, _ := s.queue.popUrgent(); e.p.Seq != 5 {
		t.Errorf("oldest audio is %d, want 5", e.p.Seq)
	} else {
		e.p.Release()
	}
}

func TestQueueIsFairBetweenStreams(t *testing.T) {
	s, outs := queueOf(relay.Video, relay.Video)
	defer s.queue.release()
	for i := range 900 {
		p := fill(uint16(i), 1100)
		s.queue.push(entry{p: p, out: outs[0]})
		if i < 100 {
			s.queue.push(entry{p: p, out: outs[1]})
		}
		p.Release()
	}
	var n [2]int
	for range 200 {
		e, _ := s.queue.pop(0, nil)
		n[e.out.handle]++
		e.p.Release()
	}
	if n[1] < 95 {
		t.Errorf("of 200 packets the small stream sent %d", n[1])
	}
}

func TestQueueDropsWhatIsTooLate(t *testing.T) {
	s, outs := queueOf(relay.Video)
	p := fill(1, 100)
	s.queue.push(entry{p: p, out: outs[0], at: 1})
	p.Release()
	late := 0
	if _, ok := s.queue.pop(2+maxQueued, func(e entry) { late++; e.p.Release() }); ok || late != 1 {
		t.Error("an old packet was sent")
	}
	if s.queue.video != 0 || len(s.queue.active) != 0 {
		t.Error("queue not empty")
	}
}

func TestPushAllocatesNothing(t *testing.T) {
	s, outs := queueOf(relay.Video, relay.Audio)
	defer s.queue.release()
	p := fill(1, 1000)
	defer p.Release()
	for _, o := range outs {
		o.layers.Store(uint32(relay.AllLayers))
	}
	b := &bundler{s: s}
	l := &lane{s: s, out: make(chan []byte, 4)}
	l.bucket.rate = 1e9
	if n := testing.AllocsPerRun(1000, func() {
		outs[0].Push(p)
		outs[1].Push(p)
		bundle := wire.NewBundle(newDatagram(), wire.TypeMedia)
		if e := b.nextAudio(); !b.add(&bundle, e) {
			t.Fatal("audio did not fit")
		}
		b.fill(&bundle, l, relay.Now())
		b.launch(&bundle, l, 1)
		freeDatagram(<-l.out)
	}); n != 0 {
		t.Errorf("%v allocations per packet pair", n)
	}
}
