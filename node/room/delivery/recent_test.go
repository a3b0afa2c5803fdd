package delivery

import (
	"testing"
	"time"

	linkpb "maille/proto/link"
)

// What is replayed is bounded, recent, and what the client did not have.
func TestRecent(t *testing.T) {
	r := NewRecent(10 * time.Second)
	began := time.Unix(1e9, 0)
	add := func(sid string, seq uint32, at time.Duration, size int) {
		r.Add(&linkpb.Data{SenderSid: sid, Sequence: seq, Packet: make([]byte, size)}, began.Add(at))
	}
	add("PA_a", 0, 0, 1) // unnumbered: cannot be told apart
	add("PA_a", 1, 0, 1)
	add("PA_a", 2, time.Second, 1)
	add("PA_b", 8, 2*time.Second, 1)
	got := func(since time.Duration, had map[string]uint32) (out []uint32) {
		for _, d := range r.After(began.Add(since), had) {
			out = append(out, d.Sequence)
		}
		return out
	}
	for i, tt := range []struct {
		since time.Duration
		had   map[string]uint32
		want  int
	}{
		{0, nil, 3},
		{time.Second, nil, 2}, // joined after the first
		{0, map[string]uint32{"PA_a": 1}, 2},
		{0, map[string]uint32{"PA_a": 2, "PA_b": 8}, 0},
	} {
		if n := len(got(tt.since, tt.had)); n != tt.want {
			t.Errorf("case %d: %d packets, want %d", i, n, tt.want)
		}
	}
	old := &linkpb.Data{SenderSid: "PA_a", Sequence: 1}
	if r.Add(old, began) {
		t.Error("a broadcast that everyone had is new")
	}
	if old.Destinations = []string{"bob"}; !r.Add(old, began) {
		t.Error("a packet for one, of which this node saw others, is old")
	}
	if r.Last("PA_a") != 2 {
		t.Errorf("the last of PA_a is %d", r.Last("PA_a"))
	}
	for i := range uint32(100) {
		add("PA_a", 3+i, 3*time.Second, 60_000)
	}
	if r.bytes > replayBytes || len(r.packets) == 0 {
		t.Errorf("%d bytes in %d packets", r.bytes, len(r.packets))
	}
	r.Expire(began.Add(time.Minute))
	if r.bytes != 0 || len(r.packets) != 0 {
		t.Errorf("%d bytes in %d packets after a minute", r.bytes, len(r.packets))
	}
}
