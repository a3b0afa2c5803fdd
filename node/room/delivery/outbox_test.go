package delivery

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	linkpb "maille/proto/link"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
		out := NewOutbox(1, &dropped)
		var in Inbox
		var way []*linkpb.Parcel // what is on the present way
		pushed, last := 0, -1
		var missed uint64
		send := func() {
			for p := out.Next(); p != nil; p = out.Next() {
				way = append(way, proto.Clone(p).(*linkpb.Parcel))
			}
		}
		receive := func(p *linkpb.Parcel) {
			if !in.Take(p, len(p.Data.Packet)) {
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
					out.Push(numbered(pushed, rapid.SampledFrom([]int{0, 1000, 60000}).Draw(t, "size")), now)
					pushed++
				}
				send()
			case 2:
				for n := rapid.IntRange(0, len(way)).Draw(t, "arrive"); n > 0; n-- {
					receive(way[0])
					way = way[1:]
				}
			case 3:
				if a := in.Ack(); a != nil && rapid.Bool().Draw(t, "the ack comes") {
					out.Ack(a)
					send()
				}
			case 4: // another way; some of what is on the old one may still come, late
				late := way
				way = nil
				out.Rewind()
				send()
				if rapid.Bool().Draw(t, "late") {
					for _, p := range late {
						receive(p)
					}
				}
			case 5:
				now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second}).Draw(t, "passes"))
				out.Expire(now)
				send()
			}
			if out.bytes > parcelBytes || len(out.waits) > parcelsHeld || out.sent > parcelsInFlight {
				t.Fatalf("%d bytes, %d parcels, %d away", out.bytes, len(out.waits), out.sent)
			}
		}
		out.Rewind()
		way = nil
		for len(out.waits) > 0 {
			send()
			for _, p := range way {
				receive(p)
			}
			way = nil
			a := in.Ack()
			if a == nil {
				t.Fatalf("%d parcels wait, nothing comes", len(out.waits))
			}
			out.Ack(a)
		}
		missed += uint64(pushed - 1 - last)
		if missed > dropped.Load() {
			t.Fatalf("%d missed of %d, %d given up", missed, pushed, dropped.Load())
		}
	})
}

func TestParcelsOfAnEarlierRunAreOld(t *testing.T) {
	var in Inbox
	take := func(run, number, oldest uint64) bool {
		return in.Take(&linkpb.Parcel{Run: run, Number: number, Oldest: oldest, Data: numbered(0, 0)}, 1)
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
