package view

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func snapshot(regions map[string]string) Snapshot {
	s := Snapshot{Self: "a"}
	for name, region := range regions {
		s.Nodes = append(s.Nodes, Node{Name: name, Region: region})
	}
	slices.SortFunc(s.Nodes, func(a, b Node) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return s
}

func TestSnapshot(t *testing.T) {
	s := snapshot(map[string]string{"a": "paris", "b": "lyon", "c": "paris", "d": "nice"})
	for _, name := range []string{"a", "b", "c", "d"} {
		if n, ok := s.Node(name); !ok || n.Name != name {
			t.Errorf("Node(%q) = %q, %v", name, n.Name, ok)
		}
	}
	for _, name := range []string{"", "aa", "e"} {
		if n, ok := s.Node(name); ok {
			t.Errorf("Node(%q) = %q", name, n.Name)
		}
	}
	var names []string
	for _, n := range s.InRegion("paris") {
		names = append(names, n.Name)
	}
	if d := cmp.Diff([]string{"a", "c"}, names); d != "" {
		t.Error(d)
	}
	if got := s.InRegion("brest"); len(got) != 0 {
		t.Errorf("nodes in a region without any: %v", got)
	}
	if d := cmp.Diff([]string{"lyon", "nice", "paris"}, s.Regions()); d != "" {
		t.Error(d)
	}
	if got := (Snapshot{}).Regions(); len(got) != 0 {
		t.Errorf("regions of nothing: %v", got)
	}
}

func TestRegionsSortedAndDistinct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOf(rapid.StringMatching(`[a-z]{1,4}`), rapid.SampledFrom([]string{"", "x", "y", "z"})).Draw(t, "nodes")
		s := snapshot(m)
		got, n := s.Regions(), 0
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Fatalf("regions %q", got)
		}
		for _, r := range got {
			n += len(s.InRegion(r))
		}
		if n != len(s.Nodes) {
			t.Fatalf("%d of %d nodes are in a region", n, len(s.Nodes))
		}
	})
}

func TestPairHasNoOrder(t *testing.T) {
	if Pair("a", "b") != Pair("b", "a") || Pair("a", "b") == Pair("a", "c") {
		t.Error("pairs differ by order, or do not differ")
	}
	rtt := map[[2]string]time.Duration{Pair("b", "a"): time.Millisecond}
	if rtt[Pair("a", "b")] != time.Millisecond {
		t.Error("not found under the other order")
	}
}

func TestStateNames(t *testing.T) {
	for s, want := range map[State]string{Serving: "serving", Draining: "draining", Left: "left", 9: "unknown"} {
		if s.String() != want {
			t.Errorf("%d is %q", s, s)
		}
	}
}
