package quality

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Strain
		want livekit.ConnectionQuality
	}{
		{"nothing sent yet", Strain{}, livekit.ConnectionQuality_EXCELLENT},
		{"no loss", Strain{packets: 1000}, livekit.ConnectionQuality_EXCELLENT},
		{"a little loss", Strain{packets: 970, lost: 30}, livekit.ConnectionQuality_GOOD},
		{"speech suffers", Strain{packets: 900, lost: 100}, livekit.ConnectionQuality_POOR},
		{"a long way", Strain{packets: 1000, RTT: 400 * time.Millisecond}, livekit.ConnectionQuality_GOOD},
		{"too long", Strain{packets: 1000, RTT: time.Second}, livekit.ConnectionQuality_POOR},
		{"video held back", Strain{packets: 1000, Held: true}, livekit.ConnectionQuality_GOOD},
		{"nothing passes", Strain{packets: 1000, Cut: true}, livekit.ConnectionQuality_LOST},
	} {
		got, score := c.s.Verdict()
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if score < 1 || score > 5 {
			t.Errorf("%s: score %v, want 1 to 5", c.name, score)
		}
	}
}

func TestStrainIsOfTheWorstDirection(t *testing.T) {
	var s Strain
	s.With(100, 10)
	s.With(5000, 1)
	s.With(1, judgeLeast/2) // too few to tell
	if s.packets != 100 || s.lost != 10 {
		t.Fatalf("judged by %d packets and %d lost, want those of the worst direction", s.packets, s.lost)
	}
}

func TestCountedSince(t *testing.T) {
	var c Counted
	for i, step := range []struct{ packets, lost, wantPackets, wantLost uint64 }{
		{10, 1, 10, 1},
		{30, 1, 20, 0},
		{5, 0, 5, 0}, // began anew
	} {
		if p, l := c.Since(step.packets, step.lost); p != step.wantPackets || l != step.wantLost {
			t.Errorf("step %d: %d and %d lost, want %d and %d", i, p, l, step.wantPackets, step.wantLost)
		}
	}
}

// Clients are told of what changed only, whichever node says it again.
func TestVerdictsTellChanges(t *testing.T) {
	q := NewVerdicts()
	say := func(node string, quality livekit.ConnectionQuality) (all, fresh int) {
		a, f := q.Said(node, &linkpb.Qualities{Qualities: []*linkpb.Qualities_Quality{{ParticipantSid: "PA_" + node, Quality: int32(quality)}}})
		return len(a), len(f)
	}
	for i, step := range []struct {
		node       string
		quality    livekit.ConnectionQuality
		all, fresh int
	}{
		{"paris", livekit.ConnectionQuality_EXCELLENT, 1, 1},
		{"lyon", livekit.ConnectionQuality_EXCELLENT, 2, 1},
		{"paris", livekit.ConnectionQuality_EXCELLENT, 2, 0},
		{"paris", livekit.ConnectionQuality_POOR, 2, 1},
	} {
		if all, fresh := say(step.node, step.quality); all != step.all || fresh != step.fresh {
			t.Errorf("step %d: %d in all and %d new, want %d and %d", i, all, fresh, step.all, step.fresh)
		}
	}
	q.Forget("lyon")
	if all, fresh := say("paris", livekit.ConnectionQuality_POOR); all != 1 || fresh != 0 {
		t.Errorf("without lyon: %d in all and %d new, want 1 and 0", all, fresh)
	}
}
