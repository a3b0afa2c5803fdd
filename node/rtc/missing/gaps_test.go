package missing

import (
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGaps(t *testing.T) {
	var g Gaps
	if g.Seen(65534, 0) {
		t.Error("a first packet opens a gap")
	}
	if !g.Seen(2, 0) {
		t.Fatal("no gap over the wrap")
	}
	if due, _ := g.Due(gapWait-1, nil); len(due) != 0 {
		t.Errorf("asked at once for %v", due)
	}
	g.Seen(0, 0) // was only late
	if due, more := g.Due(gapWait, nil); !slices.Equal(due, []uint16{65535, 1}) || !more {
		t.Errorf("due %v", due)
	}
	g.Seen(65535, 0)
	now, n := int64(gapWait), 1
	for {
		now += gapAgain
		due, more := g.Due(now, nil)
		n += len(due)
		if !more {
			break
		}
	}
	if n != gapTries {
		t.Errorf("asked %d times", n)
	}
}

// Whatever comes, the list is bounded and asks only for what did not come.
func TestGapsAsksOnlyForMissing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g Gaps
		came := make(map[uint16]bool)
		seq, now := rapid.Uint16().Draw(t, "first"), int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			seq += uint16(rapid.IntRange(-20, 60).Draw(t, "step"))
			now += int64(rapid.IntRange(0, 50).Draw(t, "ms")) * 1e6
			g.Seen(seq, now)
			came[seq] = true
			due, _ := g.Due(now, nil)
			for _, m := range due {
				if came[m] {
					t.Fatalf("asks for %d, which came", m)
				}
			}
			if len(g.list) > maxGaps {
				t.Fatalf("%d gaps", len(g.list))
			}
		}
	})
}
