package speakers

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	linkpb "maille/proto/link"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Clients hear of changes, from whichever node; what a node that fell silent said ends.
func TestClientsAreToldChanges(t *testing.T) {
	s := NewUnion(2 * time.Second)
	began := time.Unix(1, 0)
	for i, step := range []struct {
		after  time.Duration
		node   string // says it, "" for nobody
		levels []*linkpb.Levels_Level
		want   string
	}{
		{0, "paris", []*linkpb.Levels_Level{level("PA_a", 0.3), level("PA_b", 0.5)}, "PA_b=0.5 PA_a=0.3 "},
		{1, "lyon", []*linkpb.Levels_Level{level("PA_c", 0.4), {ParticipantSid: "PA_d"}}, "PA_c=0.4 "},
		{1, "paris", []*linkpb.Levels_Level{level("PA_a", 0.3), level("PA_b", 0.6)}, "PA_b=0.6 "},
		{2, "paris", []*linkpb.Levels_Level{level("PA_b", 0.6)}, "PA_a=0 "},
		{3, "", nil, "PA_c=0 "}, // lyon is not heard of
		{3, "paris", nil, "PA_b=0 "},
		{3, "", nil, ""},
	} {
		at := began.Add(step.after * time.Second)
		if step.node != "" {
			s.Heard(step.node, &linkpb.Levels{Levels: step.levels}, at)
		}
		got := ""
		for _, info := range s.Changes(at) {
			got += fmt.Sprintf("%s=%g ", info.Sid, info.Level)
		}
		if got != step.want {
			t.Errorf("step %d: told %q, want %q", i, got, step.want)
		}
	}
}

func level(sid string, l float32) *linkpb.Levels_Level {
	return &linkpb.Levels_Level{ParticipantSid: sid, Level: l, Active: true}
}

// Loudness that differs by less than people hear still has one order on every node.
func TestSpeakersHaveOneOrder(t *testing.T) {
	at := time.Unix(1, 0)
	order := func() (out []string) {
		s := NewUnion(time.Second)
		for node := range 3 {
			l := new(linkpb.Levels)
			for i := range 12 {
				l.Levels = append(l.Levels, &linkpb.Levels_Level{
					ParticipantSid: fmt.Sprint("PA_", node, "_", i), Level: 0.5 + float32(i%4)*0.0004, Active: true,
				})
			}
			s.Heard(fmt.Sprint("node-", node), l, at)
		}
		for _, info := range s.Changes(at) {
			out = append(out, info.Sid)
		}
		return out
	}
	first := order()
	for range 20 {
		if diff := cmp.Diff(first, order()); diff != "" {
			t.Fatalf("another order:\n%s", diff)
		}
	}
}
