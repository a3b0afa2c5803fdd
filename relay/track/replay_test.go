package track

import (
	"sync"
	"testing"

	"maille/relay"
)

// frame pushes n packets of one picture.
func frame(track *Track, first uint16, n int, timestamp uint32, at int64, keyframe bool) {
	for i := range n {
		track.Push(packet(first+uint16(i), func(p *relay.Packet) {
			p.Timestamp, p.Arrived = timestamp, at
			p.FrameStart, p.Keyframe = i == 0, keyframe && i == 0
		}))
	}
}

func replayed(track *Track, want relay.LayerSet) ([]uint16, bool) {
	got := &sink{}
	tap := track.Attach(got, want)
	defer tap.Detach()
	ok := tap.Replay(0)
	return got.seqs, ok
}

func TestReplay(t *testing.T) {
	for _, tt := range []struct {
		name string
		now  int64 // ms
		push func(*Track)
		want []uint16
	}{
		{"nothing yet", 0, func(*Track) {}, nil},
		{"no keyframe", 0, func(tr *Track) { frame(tr, 1, 3, 100, 0, false) }, nil},
		{"the running group", 100, func(tr *Track) {
			frame(tr, 1, 2, 100, 0, false)
			frame(tr, 3, 2, 200, 33*ms, true)
			frame(tr, 5, 1, 300, 66*ms, false)
		}, []uint16{3, 4, 5}},
		{"the newest keyframe", 100, func(tr *Track) {
			frame(tr, 1, 2, 100, 0, true)
			frame(tr, 3, 2, 200, 33*ms, true)
		}, []uint16{3, 4}},
		{"across the wrap", 0, func(tr *Track) { frame(tr, 65534, 4, 100, 0, true) }, []uint16{65534, 65535, 0, 1}},
		{"with a gap", 0, func(tr *Track) {
			frame(tr, 1, 2, 100, 0, true)
			frame(tr, 4, 2, 200, 0, false)
		}, nil},
		{"with the gap filled", 0, func(tr *Track) {
			frame(tr, 1, 2, 100, 0, true)
			frame(tr, 4, 2, 200, 0, false)
			frame(tr, 3, 1, 150, 0, false)
		}, []uint16{1, 2, 3, 4, 5}},
		{"with a layer left out upstream", 0, func(tr *Track) {
			frame(tr, 1, 2, 100, 0, true)
			tr.Push(packet(5, func(p *relay.Packet) { p.Timestamp, p.Omitted = 200, 2 }))
		}, []uint16{1, 2, 5}},
		{"its first packet came late", 0, func(tr *Track) {
			frame(tr, 1, 1, 100, 0, false)
			frame(tr, 3, 2, 200, 0, false)
			frame(tr, 2, 1, 200, 0, true)
		}, []uint16{2, 3, 4}},
		{"its packets overtook each other", 0, func(tr *Track) {
			frame(tr, 1, 1, 100, 0, false)
			frame(tr, 4, 1, 200, 0, true) // both are marked, as of H.264
			frame(tr, 2, 2, 200, 0, true)
		}, []uint16{2, 3, 4}},
		{"too old", 2001, func(tr *Track) { frame(tr, 1, 2, 100, 0, true) }, nil},
		{"too large", 0, func(tr *Track) {
			frame(tr, 1, 1, 100, 0, true)
			for seq := uint16(2); seq < gopBytes/1100+3; seq++ {
				tr.Push(packet(seq, func(p *relay.Packet) { p.Payload = p.Buffer()[:1100] }))
			}
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := tt.now * ms
			track := newTrack(t, WithClock(func() int64 { return now }))
			tt.push(track)
			got, ok := replayed(track, relay.AllLayers)
			if ok != (tt.want != nil) {
				t.Fatalf("said %v", ok)
			}
			equal(t, "replayed", got, tt.want)
		})
	}
}

func TestReplayGivesOnlyWhatIsWanted(t *testing.T) {
	track := newTrack(t, WithClock(func() int64 { return 0 }))
	frame(track, 1, 1, 100, 0, true)
	for seq := uint16(2); seq < 6; seq++ {
		track.Push(packet(seq, onLayer(0, uint8(seq%2))))
	}
	got, _ := replayed(track, relay.UpTo(0, 0))
	equal(t, "base layer", got, []uint16{1, 2, 4})
	if track.Attach(&sink{}, relay.AllLayers).Replay(relay.MaxSpatial) {
		t.Fatal("replayed an encoding that does not exist")
	}
}

// A newcomer that attaches and replays while packets flow sees every packet from the
// keyframe on in order. What came live before the replay it sees twice.
func TestReplayMeetsLivePackets(t *testing.T) {
	for range 50 {
		track := New("TR_a", relay.Video, "video/VP8", WithClock(func() int64 { return 0 }))
		frame(track, 1, 1, 100, 0, true)
		got := &sink{}
		start := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			close(start)
			for seq := uint16(2); seq <= 400; seq++ {
				track.Push(packet(seq, nil))
			}
		})
		<-start
		if !track.Attach(got, relay.AllLayers).Replay(0) {
			t.Fatal("not replayed")
		}
		wg.Wait()
		from := 0
		for i, seq := range got.seqs {
			if seq == 1 {
				from = i
			}
		}
		for i, seq := range got.seqs[from:] {
			if seq != uint16(i+1) {
				t.Fatalf("packet %d after the keyframe is %d", i, seq)
			}
		}
		if last := got.seqs[len(got.seqs)-1]; last != 400 {
			t.Fatalf("ended at %d", last)
		}
		track.Close()
	}
}

// A sink that begins while packets flow sees every packet from the keyframe on once, in
// order, and none before it.
func TestBeginMeetsLivePackets(t *testing.T) {
	for range 50 {
		track := New("TR_a", relay.Video, "video/VP8", WithClock(func() int64 { return 0 }))
		frame(track, 1, 1, 100, 0, true)
		got := &sink{}
		tap := track.Attach(got, relay.NoLayers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			close(start)
			for seq := uint16(2); seq <= 400; seq++ {
				track.Push(packet(seq, nil))
			}
		})
		<-start
		readied := 0
		pushed := tap.Begin(relay.UpTo(0, 1), [relay.MaxSpatial]bool{true, true}, func() { readied = len(got.seqs) + 1 })
		equal(t, "groups that were there", pushed, [relay.MaxSpatial]bool{true})
		equal(t, "packets before ready", readied-1, 0)
		equal(t, "demand", track.Demand(), relay.UpTo(0, 1))
		wg.Wait()
		for i, seq := range got.seqs {
			if seq != uint16(i+1) {
				t.Fatalf("packet %d is %d", i, seq)
			}
		}
		if len(got.seqs) != 400 {
			t.Fatalf("%d packets of 400", len(got.seqs))
		}
		track.Close()
	}
}
