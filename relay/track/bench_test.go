package track

import (
	"fmt"
	"testing"

	"maille/relay"
)

type nothing struct{}

func (nothing) Push(*relay.Packet) {}
func (nothing) Clock(relay.Clock)  {}
func (nothing) Close()             {}

// pusher returns a function that pushes the next packet of a track with n sinks, in
// the steady state of ring and pool.
func pusher(t testing.TB, n int) func() {
	track := newTrack(t)
	track.SetSource(quiet{})
	for range n {
		track.Attach(nothing{}, relay.AllLayers)
	}
	var seq uint16
	push := func() {
		seq++
		p := relay.NewPacket()
		p.Seq, p.Timestamp, p.Arrived = seq, uint32(seq/4)*3000, int64(seq)*ms
		p.Keyframe, p.FrameStart = seq%512 == 0, seq%4 == 0
		p.Payload = p.Buffer()[12:1112]
		track.Push(p)
	}
	for range 2 * videoRing {
		push()
	}
	return push
}

// The hot path allocates nothing, however many sinks there are.
func TestPushAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	for _, n := range []int{0, 1, 10, 150} {
		push := pusher(t, n)
		if got := testing.AllocsPerRun(2000, push); got > 0 {
			t.Errorf("%d sinks: %v allocations", n, got)
		}
	}
}

func BenchmarkPush(b *testing.B) {
	for _, n := range []int{1, 10, 150} {
		b.Run(fmt.Sprintf("sinks=%d", n), func(b *testing.B) {
			push := pusher(b, n)
			b.ReportAllocs()
			for b.Loop() {
				push()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/sink")
		})
	}
}
