package room

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	linkpb "maille/proto/link"
)

// Loudness that differs by less than people hear still has one order on every node.
func TestSpeakersHaveOneOrder(t *testing.T) {
	at := time.Unix(1, 0)
	order := func() (out []string) {
		s := newSpeakers()
		for node := range 3 {
			l := new(linkpb.Levels)
			for i := range 12 {
				l.Levels = append(l.Levels, &linkpb.Levels_Level{
					ParticipantSid: fmt.Sprint("PA_", node, "_", i), Level: 0.5 + float32(i%4)*0.0004, Active: true,
				})
			}
			s.heard(fmt.Sprint("node-", node), l, at)
		}
		for _, info := range s.changes(at) {
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
