package room

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	linkpb "maille/proto/link"
)

func numbered(n int, size int) *linkpb.Data {
	b := make([]byte, 4+size)
	binary.BigEndian.PutUint32(b, uint32(n))
	return &linkpb.Data{Packet: b, Reliable: true}
}

// Over any sequence of ways, each of which may end and lose what is on it, packets
// arrive in order, each once, and all that was not given up.
func TestParcelsArriveInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1e9, 0)
		var dropped atomic.Uint64
		out := newOutbox(1, &dropped)
		var in inorder
		var way []*linkpb.Parcel // what is on the present way
		pushed, last := 0, -1
		var missed uint64
		send := func() {
			for p := out.next(); p != nil; p = out.next() {
				way = append(way, proto.Clone(p).(*linkpb.Parcel))
			}
		}
		receive := func(p *linkpb.Parcel) {
			if !in.take(p, len(p.Data.Packet)) {
				return
			}
			n := int(binary.BigEndian.Uint32(p.Data.Packet))
			if n <= last {
				t.Fatalf("%d after %d", n, last)
			}
			missed += uint64(n - last - 1)
			last = n
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				for range rapid.IntRange(1, 40).Draw(t, "packets") {
					out.push(numbered(pushed, rapid.SampledFrom([]int{0, 1000, 60000}).Draw(t, "size")), now)
					pushed++
				}
				send()
			case 2:
				for n := rapid.IntRange(0, len(way)).Draw(t, "arrive"); n > 0; n-- {
					receive(way[0])
					way = way[1:]
				}
			case 3:
				if a := in.ack(); a != nil && rapid.Bool().Draw(t, "the ack comes") {
					out.ack(a)
					send()
				}
			case 4: // another way; some of what is on the old one may still come, late
				late := way
				way = nil
				out.rewind()
				send()
				if rapid.Bool().Draw(t, "late") {
					for _, p := range late {
						receive(p)
					}
				}
			case 5:
				now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second}).Draw(t, "passes"))
				out.expire(now)
				send()
			}
			if out.bytes > parcelBytes || len(out.waits) > parcelsHeld || out.sent > parcelsInFlight {
				t.Fatalf("%d bytes, %d parcels, %d away", out.bytes, len(out.waits), out.sent)
			}
		}
		out.rewind()
		way = nil
		for len(out.waits) > 0 {
			send()
			for _, p := range way {
				receive(p)
			}
			way = nil
			a := in.ack()
			if a == nil {
				t.Fatalf("%d parcels wait, nothing comes", len(out.waits))
			}
			out.ack(a)
		}
		missed += uint64(pushed - 1 - last)
		if missed > dropped.Load() {
			t.Fatalf("%d missed of %d, %d given up", missed, pushed, dropped.Load())
		}
	})
}

func TestParcelsOfAnEarlierRunAreOld(t *testing.T) {
	var in inorder
	take := func(run, number, oldest uint64) bool {
		return in.take(&linkpb.Parcel{Run: run, Number: number, Oldest: oldest, Data: numbered(0, 0)}, 1)
	}
	for i, tt := range []struct {
		run, number, oldest uint64
		want                bool
	}{
		{5, 3, 3, true},  // this node came later than the first two
		{5, 3, 3, false}, // again
		{5, 5, 3, false}, // the fourth is to come
		{5, 4, 3, true},
		{5, 9, 9, true}, // given up in between
		{4, 10, 1, false},
		{6, 1, 1, true}, // the other node's room began anew
		{5, 10, 9, false},
	} {
		if got := take(tt.run, tt.number, tt.oldest); got != tt.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

// What is replayed is bounded, recent, and what the client did not have.
func TestRecent(t *testing.T) {
	var r recent
	began := time.Unix(1e9, 0)
	add := func(sid string, seq uint32, at time.Duration, size int) {
		r.add(&linkpb.Data{SenderSid: sid, Sequence: seq, Packet: make([]byte, size)}, began.Add(at))
	}
	add("PA_a", 0, 0, 1) // unnumbered: cannot be told apart
	add("PA_a", 1, 0, 1)
	add("PA_a", 2, time.Second, 1)
	add("PA_b", 8, 2*time.Second, 1)
	got := func(since time.Duration, had map[string]uint32) (out []uint32) {
		for _, d := range r.after(began.Add(since), had) {
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
	if r.add(old, began) {
		t.Error("a broadcast that everyone had is new")
	}
	if old.Destinations = []string{"bob"}; !r.add(old, began) {
		t.Error("a packet for one, of which this node saw others, is old")
	}
	if r.last["PA_a"] != 2 {
		t.Errorf("the last of PA_a is %d", r.last["PA_a"])
	}
	for i := range uint32(100) {
		add("PA_a", 3+i, 3*time.Second, 60_000)
	}
	if r.bytes > replayBytes || len(r.packets) == 0 {
		t.Errorf("%d bytes in %d packets", r.bytes, len(r.packets))
	}
	r.expire(began.Add(time.Minute))
	if r.bytes != 0 || len(r.packets) != 0 {
		t.Errorf("%d bytes in %d packets after a minute", r.bytes, len(r.packets))
	}
}
