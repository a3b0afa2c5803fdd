package track

import (
	"testing"

	"maille/relay"
)

// While its publisher is muted nothing of a video passes and no request for a keyframe
// climbs. Then all goes on from a keyframe, which is asked for until it comes.
func TestMutedVideo(t *testing.T) {
	now := int64(1e9)
	track := newTrack(t, WithClock(func() int64 { return now }))
	from, to := new(source), new(sink)
	track.SetSource(from)
	tap := track.Attach(to, relay.UpTo(0, 3))
	seq := uint16(65500)
	push := func(n int, key bool) {
		for range n {
			now += 40 * ms
			track.Push(packet(seq, func(p *relay.Packet) { p.Arrived, p.Keyframe, p.FrameStart = now, key, true }))
			seq++
		}
	}
	push(1, true)
	push(9, false)
	track.Mute(true)
	push(50, false)
	push(1, true)
	push(9, false)
	tap.Keyframe(0)
	equal(t, "passed", len(to.seqs), 10)
	equal(t, "asked while muted", from.keyframes, nil)
	if p := track.Lookup(0, seq-1); p != nil {
		t.Error("what was sent while muted is kept for repair")
	}
	if got := track.Demand(); got != relay.UpTo(0, 3) {
		t.Errorf("demanded while muted: %b", got)
	}

	track.Mute(false)
	push(30, false) // 1.2 s
	equal(t, "passed without a keyframe", len(to.seqs), 10)
	equal(t, "asked", from.keyframes, []uint8{0, 0, 0})
	var omitted uint16
	to.onPush = func(p *relay.Packet) { omitted += p.Omitted }
	key := seq
	push(1, true)
	push(9, false)
	equal(t, "passed after", len(to.seqs), 20)
	equal(t, "first after", to.seqs[10], key)
	equal(t, "told to be left out", omitted, 90)
	equal(t, "drops", track.Stats().Drops, map[string]uint64{"muted": 90})
	if lost := track.Stats().Encodings[0].Lost; lost != 0 {
		t.Errorf("%d lost", lost)
	}
}

// Encodings go on one by one, and those that nobody watches are asked for nothing.
func TestMutedSimulcast(t *testing.T) {
	track := newTrack(t, WithClock(func() int64 { return 1e9 }))
	from, to := new(source), new(sink)
	track.SetSource(from)
	track.Attach(to, relay.Spatial(0)|relay.Spatial(1))
	track.Mute(true)
	for spatial := range uint8(3) {
		track.Push(packet(1, onLayer(spatial, 0)))
	}
	track.Mute(false)
	equal(t, "asked", from.keyframes, []uint8{0, 1})
	for spatial := range uint8(3) {
		track.Push(packet(2, func(p *relay.Packet) {
			onLayer(spatial, 0)(p)
			p.Keyframe, p.FrameStart = spatial == 1, true
		}))
		track.Push(packet(3, onLayer(spatial, 0)))
	}
	equal(t, "passed", to.seqs, []uint16{2, 3})
	equal(t, "asked for", from.keyframes, []uint8{0, 1})
}

// A mute that no packet fell into costs nothing.
func TestMutedBetweenPackets(t *testing.T) {
	track := newTrack(t)
	to := new(sink)
	track.Attach(to, relay.AllLayers)
	track.Push(packet(1, nil))
	track.Mute(true)
	track.Mute(false)
	track.Push(packet(2, nil))
	equal(t, "passed", to.seqs, []uint16{1, 2})
}

// A publisher that goes on sending for as long as its numbers need to come round, or half
// of it, has all of the next picture passed: how many were left out is told in as many
// bits as the numbers have, so that what is told is the gap that they show.
func TestMutedForAWrap(t *testing.T) {
	for _, withheld := range []int{1 << 15, 40_000, 65_500, 1<<16 - 1, 1 << 16, 1<<16 + 1, 100_000, 200_000} {
		now, track, to := int64(1e9), (*Track)(nil), new(sink)
		track = newTrack(t, WithClock(func() int64 { return now }))
		track.Attach(to, relay.AllLayers)
		seq := uint16(1000)
		var last uint16
		push := func(n int, key bool) {
			for range n {
				now += ms
				track.Push(packet(seq, func(p *relay.Packet) { p.Arrived, p.Keyframe, p.FrameStart = now, key, true }))
				seq++
			}
		}
		push(1, true)
		push(99, false)
		track.Mute(true)
		push(withheld, false)
		track.Mute(false)
		to.onPush = func(p *relay.Packet) {
			if told, shown := p.Omitted, p.Seq-last-1; told != shown {
				t.Errorf("%d withheld: %d told to be left out before %d, want %d", withheld, told, p.Seq, shown)
			}
			last = p.Seq
		}
		last = 1099
		push(1, true)
		push(99, false)
		equal(t, "passed", len(to.seqs), 200)
		if lost := track.Stats().Encodings[0].Lost; lost != 0 {
			t.Errorf("%d withheld: %d lost", withheld, lost)
		}
		if p := track.Lookup(0, seq-100); p == nil {
			t.Errorf("%d withheld: the keyframe is not kept for repair", withheld)
		} else {
			p.Release()
		}
	}
}
