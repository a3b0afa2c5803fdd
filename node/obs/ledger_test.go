package obs

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var (
	clientIn = Key{Where: Publication, Kind: "video"}
	lyon     = Key{Where: LinkIn, Peer: "lyon"}
	all      = func(string) bool { return true }
)

func flow(of any, k Key, packets, lost uint64) Flow {
	return Flow{Of: of, Key: k, Counts: Counts{Packets: packets, Lost: lost, Drops: map[string]uint64{"late": packets}}}
}

func TestLedger(t *testing.T) {
	var l Ledger
	check := func(what string, k Key, packets, lost uint64) {
		t.Helper()
		want := Counts{Packets: packets, Lost: lost, Drops: map[string]uint64{"late": packets}}
		if diff := cmp.Diff(want, l.Totals()[k]); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	l.Settle([]Flow{flow(1, clientIn, 10, 1), flow(2, clientIn, 5, 0)}, all)
	check("two flows", clientIn, 15, 1)
	l.Settle([]Flow{flow(1, clientIn, 12, 1)}, all)
	check("one ended", clientIn, 17, 1)
	l.Settle([]Flow{flow(1, clientIn, 20, 0)}, all)
	check("a lost packet came after all", clientIn, 25, 1)
	l.Settle([]Flow{flow(1, clientIn, 30, 1)}, all)
	check("and another was lost, as often as before", clientIn, 35, 1)
	l.Settle([]Flow{flow(1, clientIn, 4, 2)}, all)
	check("it began anew", clientIn, 39, 3)
	l.Settle(nil, all)
	check("all ended", clientIn, 39, 3)
	if len(l.last) != 0 {
		t.Errorf("%d flows kept that are gone", len(l.last))
	}
}

// Names of nodes that left do not pile up.
func TestLedgerForgetsPeers(t *testing.T) {
	var l Ledger
	l.Settle([]Flow{flow(1, lyon, 10, 0), flow(1, clientIn, 1, 0)}, all)
	l.Settle(nil, func(peer string) bool { return peer != "lyon" })
	if _, kept := l.Totals()[lyon]; kept || len(l.Totals()) != 1 {
		t.Errorf("totals %v", l.Totals())
	}
}

// Totals never go back, and are what was counted, whatever comes and goes.
func TestLedgerProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Ledger
		live := make(map[int]uint64)
		var want, before uint64
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(*rapid.T) { next++; live[next] = 0 },
			"count": func(t *rapid.T) {
				for _, id := range slices.Sorted(maps.Keys(live)) {
					live[id] += rapid.Uint64Range(0, 100).Draw(t, "n")
				}
			},
			"end": func(*rapid.T) {
				if len(live) > 0 {
					delete(live, slices.Min(slices.Collect(maps.Keys(live))))
				}
			},
			"settle": func(t *rapid.T) {
				var flows []Flow
				for id, n := range live {
					flows = append(flows, Flow{Of: id, Key: clientIn, Counts: Counts{Packets: n}})
				}
				last := make(map[int]uint64)
				for at, s := range l.last {
					last[at.of.(int)] = s.counts.Packets
				}
				for id, n := range live {
					want += n - last[id]
				}
				l.Settle(flows, all)
			},
			"": func(t *rapid.T) {
				got := l.Totals()[clientIn].Packets
				if got < before || got != want {
					t.Fatalf("total %d after %d, want %d", got, before, want)
				}
				before = got
			},
		})
	})
}
