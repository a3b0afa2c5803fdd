package route

import (
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func never(string) bool { return false }

func TestUpstream(t *testing.T) {
	serving := map[string][]string{"paris": {"p1", "p2", "p3"}, "lyon": {"l1", "l2"}, "brest": {"b1"}}
	for _, tc := range []struct {
		name, self, region, origin string
		down                       []string // nodes without a session to self
		refused                    []string
		want                       string
	}{
		{name: "own region goes straight", self: "p2", region: "paris", origin: "p1", want: "p1"},
		{name: "the gateway takes it in", self: "l1", region: "lyon", origin: "p1", want: "p1"},
		{name: "others ask the gateway", self: "l2", region: "lyon", origin: "p1", want: "l1"},
		{name: "gateway down: straight", self: "l2", region: "lyon", origin: "p1", down: []string{"l1"}, want: "p1"},
		{name: "gateway refuses: straight", self: "l2", region: "lyon", origin: "p1", refused: []string{"l1"}, want: "p1"},
		{name: "cut: through the origin's region", self: "l1", region: "lyon", origin: "p1", down: []string{"p1"}, want: "p2"},
		{name: "cut from the whole region", self: "l1", region: "lyon", origin: "p1", down: []string{"p1", "p2", "p3"}, want: "b1"},
		{name: "cut within the region: through its third node", self: "p2", region: "paris", origin: "p1", down: []string{"p1"}, want: "p3"},
		{name: "cut within the region: from all of it", self: "p2", region: "paris", origin: "p1", down: []string{"p1", "p3"}, want: "b1"},
		{name: "alone", self: "l1", region: "lyon", origin: "p1", down: []string{"p1", "p2", "p3", "b1", "l2"}, want: ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &Ways{
				Self: tc.self, Region: tc.region, Origin: tc.origin, Serving: serving,
				Linked: func(n string) bool { return !slices.Contains(tc.down, n) },
				Avoid:  func(n string) bool { return slices.Contains(tc.refused, n) },
			}
			if got := w.Upstream(); got != tc.want {
				t.Fatalf("takes it from %q, want %q", got, tc.want)
			}
		})
	}
}

// Whatever links come and go, however wrong the nodes' views are, and while a publisher moves
// and some nodes do not know it yet, following the upstreams never leads in a circle.
func TestUpstreamsNeverLoop(t *testing.T) {
	regions := map[string]string{"p1": "paris", "p2": "paris", "l1": "lyon", "l2": "lyon", "b1": "brest", "b2": "brest"}
	all := []string{"b1", "b2", "l1", "l2", "p1", "p2"}
	near := func(a, b string) bool { return regions[a] == regions[b] }
	rapid.Check(t, func(t *rapid.T) {
		via := make(map[string]string)    // as established
		origin := make(map[string]string) // as each node believes
		for _, n := range all {
			origin[n] = "p1"
		}
		moved := rapid.SampledFrom(all).Draw(t, "moves to")
		serves := func(node, to string) bool {
			return origin[node] == node || via[node] != "" && MayServe(origin[node], via[node], near(node, to), near(node, via[node]))
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			self := rapid.SampledFrom(all).Draw(t, "node")
			if rapid.IntRange(0, 9).Draw(t, "learns") == 0 {
				origin[moved], origin[self] = moved, moved // where it moved to knows first
			}
			serving := make(map[string][]string)
			for _, n := range rapid.Permutation(all).Draw(t, "order") {
				serving[regions[n]] = append(serving[regions[n]], n)
			}
			up := make(map[string]bool)
			for _, n := range all {
				up[n] = rapid.Bool().Draw(t, "linked")
			}
			w := &Ways{
				Self: self, Region: regions[self], Origin: origin[self], Serving: serving,
				Linked: func(n string) bool { return up[n] }, Avoid: never,
			}
			next := ""
			if origin[self] != self {
				next = w.Upstream()
			}
			if next != "" && !serves(next, self) {
				next = "" // refused
			}
			via[self] = next
			for _, node := range []string{self, moved} { // revoke
				for _, n := range all {
					if via[n] == node && !serves(node, n) {
						via[n] = ""
					}
				}
			}
			if origin[moved] == moved {
				via[moved] = ""
			}
			for _, start := range all {
				path := start
				for at, hops := start, 0; via[at] != ""; at, hops = via[at], hops+1 {
					path += " <- " + via[at]
					if hops > len(all) {
						t.Fatalf("a loop: %s", path)
					}
				}
			}
		}
	})
}
