package ring

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"maille/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const second = 1e9

// put offers a packet the way a track does: the ring retains, the caller releases.
func put(r *Ring, seq uint16, change func(*relay.Packet)) Verdict {
	p := relay.NewPacket()
	defer p.Release()
	p.Seq = seq
	if change != nil {
		change(p)
	}
	return r.Put(p)
}

func at(ns int64) func(*relay.Packet)    { return func(p *relay.Packet) { p.Arrived = ns } }
func ssrc(s uint32) func(*relay.Packet)  { return func(p *relay.Packet) { p.SSRC = s } }
func after(n uint16) func(*relay.Packet) { return func(p *relay.Packet) { p.Omitted = n } }

func has(r *Ring, seq uint16) bool {
	p := r.Get(seq)
	if p == nil {
		return false
	}
	defer p.Release()
	return p.Seq == seq
}

func TestVerdicts(t *testing.T) {
	const base = 65530 // so that every case wraps
	for _, tt := range []struct {
		name string
		in   []int // relative to base
		want []Verdict
		lost uint64
	}{
		{"in order", []int{0, 1, 2, 3, 4, 5, 6, 7}, []Verdict{0, 0, 0, 0, 0, 0, 0, 0}, 0},
		{"reordered", []int{0, 2, 1, 4, 3}, []Verdict{Fresh, Fresh, Filled, Fresh, Filled}, 0},
		{"before the first", []int{5, 4, 6, 0}, []Verdict{Fresh, Filled, Fresh, Filled}, 3},
		{"duplicates", []int{0, 0, 1, 0, 1}, []Verdict{Fresh, Duplicate, Fresh, Duplicate, Duplicate}, 0},
		{"lost", []int{0, 3, 10}, []Verdict{Fresh, Fresh, Fresh}, 8},
		{"repaired", []int{0, 3, 10, 2, 1}, []Verdict{Fresh, Fresh, Fresh, Filled, Filled}, 6},
		{"too late", []int{0, 16, 0, 1}, []Verdict{Fresh, Fresh, Late, Filled}, 14},
		{"leap within bounds", []int{0, 3000, 2999}, []Verdict{Fresh, Fresh, Filled}, 2998},
		{"leap alone", []int{0, 3001, 1}, []Verdict{Fresh, Late, Fresh}, 0},
		{"leap confirmed", []int{0, 9000, 9001, 9002}, []Verdict{Fresh, Late, Fresh, Fresh}, 0},
		{"back confirmed", []int{0, -9000, -8999, -9001}, []Verdict{Fresh, Late, Fresh, Filled}, 1},
		{"leaps to and fro", []int{0, 32767, 1, 32767, 2, -32768, 3}, []Verdict{Fresh, Late, Fresh, Late, Fresh, Late, Fresh}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := New(16, second)
			var got []Verdict
			for _, in := range tt.in {
				got = append(got, put(r, uint16(base+in), nil))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Fatal(diff)
			}
			if r.Lost() != tt.lost {
				t.Fatalf("lost %d, want %d", r.Lost(), tt.lost)
			}
		})
	}
}

// A leap as far as what was left out is no leap, however far it is.
func TestLeapOverWhatWasLeftOut(t *testing.T) {
	r := New(16, second)
	put(r, 65000, nil)
	for _, ahead := range []uint16{17, 3001, 20000, 32767} {
		newest, _ := r.Newest()
		if got := put(r, newest+ahead, after(ahead-1)); got != Fresh {
			t.Errorf("%d ahead: %d", ahead, got)
		}
		if r.Lost() != 0 {
			t.Errorf("%d ahead: %d lost", ahead, r.Lost())
		}
	}
}

// A ring behaves like a set of the numbers within its reach, whatever loss, reorder
// and repetition do.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := 1 << rapid.IntRange(1, 6).Draw(t, "log size")
		r := New(size, second)
		seen := map[int64]bool{}
		first, newest, suspect := int64(0), int64(0), int64(0)
		next := rapid.Int64Range(1<<16, 1<<17).Draw(t, "start")
		for i, step := range rapid.SliceOfN(rapid.Int64Range(-int64(size)-3, 6), 1, 300).Draw(t, "steps") {
			ext := next + step
			verdict := put(r, uint16(ext), nil)
			var want Verdict
			switch {
			case i == 0:
				first, newest = ext, ext
			case ext > newest:
				newest = ext
			case ext <= newest-int64(size):
				want = Late
			case seen[ext]:
				want = Duplicate
			default:
				want = Filled
			}
			if want == Late && ext == suspect+1 {
				if verdict != Fresh {
					t.Fatalf("step %d: %d after %d: two in a row did not begin anew", i, ext, suspect)
				}
				return
			}
			if verdict != want {
				t.Fatalf("step %d: %d after %d: %v, want %v", i, ext, newest, verdict, want)
			}
			if want == Late {
				suspect = ext
				continue
			}
			suspect = 0
			seen[ext] = true
			first = min(first, ext)
			next = newest
			for back := range int64(size) {
				if got := has(r, uint16(newest-back)); got != seen[newest-back] {
					t.Fatalf("holds %d: %v", newest-back, got)
				}
			}
			if lost := uint64(newest-first+1) - uint64(len(seen)); r.Lost() != lost {
				t.Fatalf("lost %d, want %d", r.Lost(), lost)
			}
		}
	})
}

func TestAge(t *testing.T) {
	r := New(64, second)
	put(r, 1, at(0))
	put(r, 2, at(second/2))
	put(r, 4, at(second+1))
	if has(r, 1) || !has(r, 2) || !has(r, 4) {
		t.Fatal("only the oldest is past its age")
	}
	if put(r, 1, at(second+1)) != Duplicate {
		t.Fatal("let go, and forgotten that it came")
	}
	if put(r, 3, at(second+1)) != Filled {
		t.Fatal("the gap is still open")
	}
	put(r, 5, at(10*second))
	if has(r, 2) || has(r, 3) || has(r, 4) || !has(r, 5) {
		t.Fatal("only the newest is young")
	}
}

func TestAnotherSourceBeginsAnew(t *testing.T) {
	r := New(16, second)
	put(r, 10, ssrc(1))
	put(r, 12, ssrc(1))
	if put(r, 11, ssrc(2)) != Fresh {
		t.Fatal("another SSRC has its own numbers")
	}
	if has(r, 10) || has(r, 12) || !has(r, 11) {
		t.Fatal("the old packets are gone")
	}
	if r.Lost() != 1 {
		t.Fatalf("lost %d, want the one before", r.Lost())
	}
}

func TestOmitted(t *testing.T) {
	r := New(16, second)
	put(r, 65534, nil)
	put(r, 2, after(2)) // 65535 is lost, 0 and 1 were left out
	if r.Lost() != 1 || !r.Omitted(0) || !r.Omitted(1) || r.Omitted(65535) || r.Omitted(2) {
		t.Fatalf("lost %d", r.Lost())
	}
	if r.Lacks(0) || r.Lacks(1) || !r.Lacks(65535) {
		t.Fatal("only what was lost is lacking")
	}
	if put(r, 1, nil) != Filled || !has(r, 1) || r.Lost() != 1 || r.Omitted(1) {
		t.Fatal("one left out may come after all")
	}
	if put(r, 20, after(65535)) != Fresh || r.Lost() != 1+2 {
		t.Fatalf("lost %d: no more is filed than the ring reaches", r.Lost())
	}
}

func TestLacks(t *testing.T) {
	r := New(16, second)
	if r.Lacks(5) {
		t.Fatal("an empty ring lacks nothing")
	}
	put(r, 100, nil)
	put(r, 110, nil)
	for seq, want := range map[uint16]bool{100: false, 105: true, 110: false, 111: false, 95: true, 94: false, 40000: false} {
		if r.Lacks(seq) != want {
			t.Errorf("lacks %d: %v", seq, !want)
		}
	}
}

// In the steady state packets go back to the pool: a reference kept by mistake would
// show as an allocation per packet.
func TestNothingLeaks(t *testing.T) {
	r := New(16, second)
	var seq uint16
	step := func() {
		seq += 1 + seq%3
		put(r, seq, at(int64(seq)*second/64))
		put(r, seq-1, nil)
	}
	for range 64 {
		step()
	}
	if got := testing.AllocsPerRun(1000, step); got > 0.5 {
		t.Fatalf("%v allocations", got)
	}
}

func FuzzRing(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 3, 9, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := New(8, second)
		for ; len(b) >= 4; b = b[4:] {
			put(r, uint16(b[0])<<8|uint16(b[1]), func(p *relay.Packet) {
				p.SSRC, p.Omitted, p.Arrived = uint32(b[2]>>7), uint16(b[2]&0x7f)*uint16(b[3]), int64(b[3])*second/16
			})
			newest, _ := r.Newest()
			if !has(r, newest) || r.Lost() > 1<<40 {
				t.Fatalf("newest %d, lost %d", newest, r.Lost())
			}
		}
		r.Clear()
		for i := range r.slots {
			if r.slots[i].p != nil {
				t.Fatal("a packet stayed")
			}
		}
	})
}
