package gossip

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"maille/mesh/view"
	meshpb "maille/proto/mesh"
)

func sample() view.Node {
	return view.Node{
		Name: "paris-1", Incarnation: "8f3a", Region: "paris", Version: "1.4.2", State: view.Draining, Voter: true,
		Link: "paris-1.example:7883", Cluster: "[2001:db8::1]:7884", Signal: "https://paris-1.example",
		Started: time.UnixMilli(1790000000123),
	}
}

// Whatever is accepted for sending is read back the same, and fits.
func TestFactsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[!-~]{0,63}`)
		n := sample()
		n.Incarnation, n.Region, n.Version = word.Draw(t, "i"), word.Draw(t, "r"), word.Draw(t, "v")
		n.Signal = rapid.StringMatching(`[!-~]{0,200}`).Draw(t, "s")
		n.State = view.State(rapid.IntRange(0, 2).Draw(t, "state"))
		n.Voter = rapid.Bool().Draw(t, "voter")
		n.Started = time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "started"))
		b, err := encodeFacts(n)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 512 {
			t.Fatalf("%d bytes", len(b))
		}
		got, err := decodeFacts(n.Name, b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(n, got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestFactsRefused(t *testing.T) {
	for what, f := range map[string]func(*view.Node){
		"no name":           func(n *view.Node) { n.Name = "" },
		"a long name":       func(n *view.Node) { n.Name = strings.Repeat("a", 64) },
		"a control byte":    func(n *view.Node) { n.Region = "a\x1b[2J" },
		"a space":           func(n *view.Node) { n.Version = "1 2" },
		"not ASCII":         func(n *view.Node) { n.Incarnation = "é" },
		"link without port": func(n *view.Node) { n.Link = "10.0.0.1" },
		"a wild port":       func(n *view.Node) { n.Cluster = "10.0.0.1:99999" },
		"over 512 bytes": func(n *view.Node) {
			n.Link, n.Cluster, n.Signal = strings.Repeat("l", 190)+":1", strings.Repeat("c", 190)+":1", strings.Repeat("s", 200)
		},
	} {
		n := sample()
		f(&n)
		if b, err := encodeFacts(n); err == nil {
			t.Errorf("%s: sent in %d bytes", what, len(b))
		}
	}
	// The same, sent by someone who does not check.
	for what, f := range map[string]*meshpb.NodeFacts{
		"a control byte": {Region: "a\nb"},
		"a wild port":    {Link: "h:70000"},
		"a long URL":     {Signal: strings.Repeat("s", 201)},
	} {
		b, err := proto.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := decodeFacts("x", b); err == nil {
			t.Errorf("%s: taken as %+v", what, n)
		}
	}
	if _, err := decodeFacts("x", make([]byte, maxFacts+1)); err == nil {
		t.Error("513 bytes were read")
	}
}

// Nodes named in a row have records of different lengths (see maxPad).
func TestFactsDifferInLength(t *testing.T) {
	seen := map[int]string{}
	for i := range 10 {
		n := sample()
		n.Name = "paris-" + string(rune('0'+i))
		b, err := encodeFacts(n)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[len(b)]; ok {
			t.Errorf("%s and %s both take %d bytes", other, n.Name, len(b))
		}
		seen[len(b)] = n.Name
	}
}

// Every load is passed on the same number of times, however few fit at once.
func TestLoadQueue(t *testing.T) {
	var q loadQueue
	sent := map[string]int{}
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		q.put(n, []byte(n+"old"))
	}
	q.put("a", []byte("anew"))
	for range 100 {
		for _, m := range q.take(2, 14, 5) { // two at a time
			sent[string(m)]++
		}
	}
	want := map[string]int{"anew": 3, "bold": 3, "cold": 3, "dold": 3, "eold": 3}
	if d := cmp.Diff(want, sent); d != "" {
		t.Error(d)
	}
}

// A state that only a later release knows must not attract anyone.
func TestUnknownStateDrains(t *testing.T) {
	b, err := proto.Marshal(&meshpb.NodeFacts{State: 17})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := decodeFacts("x", b); err != nil || n.State != view.Draining {
		t.Errorf("state %v, %v", n.State, err)
	}
}

func TestLoadIsClamped(t *testing.T) {
	got := loadOf(&meshpb.NodeLoad{Cpu: float32(math.NaN()), Rooms: 1 << 31, Participants: 7, BitsIn: math.MaxUint64, BitsOut: 5})
	want := view.Load{CPU: 1, Rooms: maxCount, Participants: 7, BitsIn: maxBits, BitsOut: 5}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	n := sample()
	n.Load = view.Load{CPU: -3, Rooms: -1, Tracks: math.MaxInt, BitsIn: math.Inf(1)}
	want = view.Load{Tracks: maxCount, BitsIn: maxBits}
	if d := cmp.Diff(want, loadOf(tell(n, 1))); d != "" {
		t.Error(d)
	}
}

// Only a newer word of the same process replaces a load, and only of a known node.
func TestLoadOrder(t *testing.T) {
	tb := newTable(view.Node{Name: "self"})
	n := sample()
	tb.put(n, "10.0.0.1:7946")
	say := func(node string, started time.Time, version uint64, rooms uint32) bool {
		return tb.load(&meshpb.NodeLoad{Node: node, StartedMs: started.UnixMilli(), Version: version, Rooms: rooms})
	}
	for i, step := range []struct {
		node    string
		started time.Time
		version uint64
		news    bool
	}{
		{n.Name, n.Started, 2, true},
		{n.Name, n.Started, 2, false},
		{n.Name, n.Started, 1, false},
		{n.Name, n.Started.Add(-time.Hour), 9, false},
		{"stranger", n.Started, 9, false},
		{"self", n.Started, 9, false},
		{n.Name, n.Started, 3, true},
	} {
		if got := say(step.node, step.started, step.version, uint32(i+1)); got != step.news {
			t.Errorf("step %d: news %v, want %v", i, got, step.news)
		}
	}
	if got, _ := tb.snapshot(newVivaldi()).Node(n.Name); got.Load.Rooms != 7 {
		t.Errorf("load %+v", got.Load)
	}
}

// The table believes in a bounded number of names.
func TestTableIsBounded(t *testing.T) {
	tb := newTable(view.Node{Name: "self"})
	in := 0
	for i := range 2 * MaxNodes {
		n := sample()
		n.Name = "n" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + strings.Repeat("y", i/50)
		if tb.room(n.Name) {
			tb.put(n, "10.0.0.1:7946")
			in++
		}
	}
	if got := len(tb.snapshot(newVivaldi()).Nodes); got != MaxNodes {
		t.Errorf("%d nodes after %d were let in, want %d", got, in, MaxNodes)
	}
}

func TestSnapshotIsCached(t *testing.T) {
	tb, v := newTable(view.Node{Name: "self"}), newVivaldi()
	a := tb.snapshot(v)
	if b := tb.snapshot(v); &a.Nodes[0] != &b.Nodes[0] {
		t.Error("built twice without a change")
	}
	tb.put(sample(), "10.0.0.1:7946")
	if b := tb.snapshot(v); len(b.Nodes) != 2 || len(a.Nodes) != 1 {
		t.Errorf("%d nodes now, %d in the old one", len(b.Nodes), len(a.Nodes))
	}
}

func TestCoordinateRefused(t *testing.T) {
	v := newVivaldi()
	vec := make([]float32, v.dims)
	bad := append([]float32(nil), vec...)
	bad[3] = float32(math.Inf(1))
	for what, c := range map[string]*meshpb.Coordinate{
		"too few dimensions": {Vec: vec[1:]},
		"infinite":           {Vec: bad},
		"not a number":       {Vec: vec, Adjustment: float32(math.NaN())},
		"minutes away":       {Vec: vec, Height: 60},
		"negative error":     {Vec: vec, Error: -1},
	} {
		if err := v.measured("n", time.Millisecond, marshal(c)); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	if err := v.measured("n", time.Millisecond, marshal(&meshpb.Coordinate{Vec: vec, Error: 1})); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func FuzzFacts(f *testing.F) {
	good, err := encodeFacts(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{})
	f.Add([]byte{0x38, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := decodeFacts("x", b)
		if err != nil {
			return
		}
		again, err := encodeFacts(n)
		if err != nil {
			if valid(n) != nil {
				t.Fatalf("accepted, but not fit to be shown: %v", err)
			}
			return // more than we would say ourselves
		}
		if back, err := decodeFacts("x", again); err != nil || !cmp.Equal(n, back) {
			t.Fatalf("%v: %s", err, cmp.Diff(n, back))
		}
	})
}

// What any member can send besides facts: loads, full syncs, coordinates.
func FuzzMessages(f *testing.F) {
	v := newVivaldi()
	load := tell(sample(), 1)
	f.Add(marshal(load))
	f.Add(marshal(&meshpb.GossipState{Loads: []*meshpb.NodeLoad{load}}))
	f.Add(v.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		tb := newTable(view.Node{Name: "self"})
		tb.put(sample(), "10.0.0.1:7946")
		if l, err := decodeLoad(b); err == nil {
			tb.load(l)
		}
		if loads, err := decodeState(b); err == nil {
			for _, l := range loads {
				tb.load(l)
			}
		}
		_ = v.measured("paris-1", time.Millisecond, b)
		s := tb.snapshot(v)
		for _, n := range s.Nodes {
			if l := n.Load; l.CPU < 0 || l.CPU > 1 || l.Rooms > maxCount || l.BitsOut > maxBits {
				t.Fatalf("load %+v", l)
			}
		}
		for pair, d := range s.RTT {
			if d < 0 || d > time.Hour {
				t.Fatalf("%v: %v", pair, d)
			}
		}
	})
}
