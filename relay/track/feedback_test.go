package track

import (
	"testing"

	"pgregory.net/rapid"

	"maille/relay"
)

func TestDemandIsTheUnion(t *testing.T) {
	track := newTrack(t)
	first, src := &source{}, &source{}
	track.SetSource(first)
	a := track.Attach(&sink{}, relay.UpTo(0, 1))
	b := track.Attach(&sink{}, relay.UpTo(0, 0))
	b.Want(relay.UpTo(1, 0))
	track.SetSource(src)
	a.Want(relay.NoLayers)
	a.Want(relay.NoLayers)
	equal(t, "first source", first.demands,
		[]relay.LayerSet{relay.NoLayers, relay.UpTo(0, 1), relay.UpTo(0, 1) | relay.UpTo(1, 0)})
	equal(t, "its successor", src.demands, []relay.LayerSet{relay.UpTo(0, 1) | relay.UpTo(1, 0)})
}

// More is asked for at once, less only when it stayed less for a while.
func TestDemandFallsLate(t *testing.T) {
	now := int64(1e9)
	track := newTrack(t, WithClock(func() int64 { return now }))
	src := &source{}
	track.SetSource(src)
	tap := track.Attach(&sink{}, relay.Spatial(2))
	seq := uint16(0)
	arrive := func() {
		seq++
		track.Push(packet(seq, func(p *relay.Packet) { p.Arrived = now }))
	}
	last := func() relay.LayerSet { return src.demands[len(src.demands)-1] }
	tap.Want(relay.Spatial(0))
	arrive()
	equal(t, "just after", last(), relay.Spatial(2)|relay.Spatial(0))
	now += demandLinger / 2
	tap.Want(relay.Spatial(2)) // flips back
	arrive()
	equal(t, "after flipping back", last(), relay.Spatial(2)|relay.Spatial(0))
	now += demandLinger
	arrive()
	equal(t, "the small one is let go", last(), relay.Spatial(2))
	n := len(src.demands)
	tap.Want(relay.NoLayers)
	now += demandLinger - 1
	arrive()
	equal(t, "not yet", len(src.demands), n)
	now++
	arrive()
	equal(t, "nobody watches", last(), relay.NoLayers)
	tap.Want(relay.Spatial(1))
	equal(t, "someone does", last(), relay.Spatial(1))
}

// A source may change the demand while it is being told: it hears the newest last.
func TestSourceActsWithinDemand(t *testing.T) {
	track := newTrack(t)
	tap := track.Attach(&sink{}, relay.Spatial(2))
	src := &source{}
	src.onDemand = func(d relay.LayerSet) {
		if d == relay.Spatial(2) {
			tap.Want(relay.Spatial(2) | relay.Spatial(0))
		}
	}
	track.SetSource(src)
	equal(t, "demands", src.demands, []relay.LayerSet{relay.Spatial(2), relay.Spatial(2) | relay.Spatial(0)})
}

// A layer whose keyframes are large for its bitrate gets fewer of them.
func TestKeyframesTakeAShareOfTheBitrate(t *testing.T) {
	now := int64(1e9)
	track := newTrack(t, WithClock(func() int64 { return now }))
	src := &source{}
	track.SetSource(src)
	tap := track.Attach(&sink{}, relay.AllLayers)
	seq, key := uint16(0), false
	keyBytes, all := 0, 0
	for i := range 3000 { // 60 s at 50 packets/s, a request with each
		seq++
		key = len(src.keyframes) > 0
		src.keyframes = nil
		for n := range 20 {
			if n > 0 && !key {
				break
			}
			track.Push(packet(seq, func(p *relay.Packet) {
				p.Arrived, p.Keyframe, p.Timestamp = now, key, uint32(i)*1800
				p.Payload = p.Buffer()[12:1012]
				if key && i > 500 {
					keyBytes += len(p.Payload)
				}
				if i > 500 {
					all += len(p.Payload)
				}
			}))
			if key && n < 19 {
				seq++
			}
		}
		tap.Keyframe(0)
		now += 20 * 1e6
	}
	share := float64(keyBytes) / float64(all)
	if share > keyframeShare*1.2 || share < keyframeShare/2 {
		t.Fatalf("keyframes take %.0f %% of the bitrate, want about %.0f %%", share*100, keyframeShare*100)
	}
}

func TestKeyframeRequestsBecomeOne(t *testing.T) {
	now := int64(0)
	track := newTrack(t, WithClock(func() int64 { return now }))
	src := &source{}
	track.SetSource(src)
	tap := track.Attach(&sink{}, relay.AllLayers)
	seq := uint16(0)
	arrive := func(keyframe bool) {
		seq++
		track.Push(packet(seq, func(p *relay.Packet) { p.Arrived, p.Keyframe = now, keyframe }))
	}
	ask := func(n int) {
		for range n {
			tap.Keyframe(0)
		}
	}
	for _, step := range []struct {
		name string
		at   int64
		do   func()
		want int // requests of layer 0 so far
	}{
		{"149 subscribers at once", 0, func() { ask(149) }, 1},
		{"not before the window ends", 499, func() { arrive(false) }, 1},
		{"the remembered one at its end", 500, func() { arrive(false) }, 2},
		{"once", 900, func() { arrive(false) }, 2},
		{"remembered again", 950, func() { ask(3) }, 2},
		{"served meanwhile", 960, func() { arrive(true) }, 2},
		{"so nothing at its end", 1100, func() { arrive(false) }, 2},
		{"a new one at once", 1200, func() { ask(1) }, 3},
	} {
		now = step.at * ms
		step.do()
		if len(src.keyframes) != step.want {
			t.Fatalf("%s: %d requests, want %d", step.name, len(src.keyframes), step.want)
		}
	}
	tap.Keyframe(1)
	tap.Keyframe(relay.MaxSpatial)
	equal(t, "layers are rationed apart", src.keyframes, []uint8{0, 0, 0, 1})
}

func TestKeyframeRequestWaitsForASource(t *testing.T) {
	now := int64(1000 * ms)
	track := newTrack(t, WithClock(func() int64 { return now }))
	track.Attach(&sink{}, relay.AllLayers).Keyframe(2)
	src := &source{}
	track.SetSource(src)
	track.Push(packet(1, func(p *relay.Packet) { p.Arrived = now }))
	equal(t, "asked with the first packet", src.keyframes, []uint8{2})
}

// Whatever is asked and whenever, no two requests of a layer are closer than the
// window, and none that was not served is forgotten.
func TestKeyframeBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b keyframeBudget
		now, last, open := int64(0), int64(-1), false
		sent := func() {
			if last >= 0 && now-last < keyframeWindow {
				t.Fatalf("requests at %d and %d ms", last/ms, now/ms)
			}
			last, open = now, false
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now += rapid.Int64Range(0, 400).Draw(t, "wait") * ms
			if b.next() <= now {
				if !b.due(now, 1) {
					t.Fatalf("due at %d ms, now %d", b.next()/ms, now/ms)
				}
				sent()
			} else if b.due(now, 1) {
				t.Fatal("due before its time")
			}
			switch rapid.IntRange(0, 2).Draw(t, "event") {
			case 0:
				if open = true; b.request(now, 1, keyframeWindow) {
					sent()
				}
			case 1:
				b.arrived(1)
				open = false
			}
			if open != (b.next() != never) {
				t.Fatalf("open request: %v, next at %d", open, b.next())
			}
		}
	})
}

func TestResendClimbsOnce(t *testing.T) {
	now := int64(0)
	track := newTrack(t, WithClock(func() int64 { return now }))
	src := &source{}
	track.SetSource(src)
	for _, seq := range []uint16{65530, 3, 4} { // 65531 to 2 are missing
		track.Push(packet(seq, nil))
	}
	for range 149 {
		track.Resend(0, []uint16{65530, 65535, 0, 3, 9, 40000})
	}
	now = 49 * ms
	track.Resend(0, []uint16{65535, 1})
	for range 5 {
		now += 51 * ms
		track.Resend(0, []uint16{65535})
	}
	track.Push(packet(0, nil))
	now += 51 * ms
	track.Resend(0, []uint16{0})
	equal(t, "climbed", src.resends, [][]uint16{{65535, 0}, {1}, {65535}, {65535}})
}
