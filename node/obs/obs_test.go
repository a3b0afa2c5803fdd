package obs

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"maille/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mesh is everything that can be reported, by a node with so many peers.
func mesh(peers int) Sources {
	var ls []Link
	totals := make(map[Key]Counts)
	drops := make(map[string]uint64)
	for d := range relay.NumDrops {
		drops[d.String()] = uint64(d) + 1
	}
	for i := range peers {
		peer := fmt.Sprintf("n%d", i)
		ls = append(ls, Link{Peer: peer, Up: i > 0, RTT: 40 * time.Millisecond, Estimate: 1e6, Demand: 1e6, Lanes: 4, PacketsIn: 7, RepairsLate: 8, RefusedTracks: 9})
		for _, where := range []string{LinkSession, LinkIn, LinkOut} {
			totals[Key{Where: where, Peer: peer}] = Counts{Packets: 1, Lost: 2, Repaired: 3, Drops: drops}
		}
	}
	for _, where := range []string{Publication, Fanout, Subscription} {
		for _, kind := range []relay.Kind{relay.Audio, relay.Video} {
			totals[Key{Where: where, Kind: kind.String()}] = Counts{Packets: 10, Bytes: 100, Drops: drops}
		}
	}
	return Sources{
		Rooms: func() Rooms {
			r := Rooms{Rooms: 1000, Participants: 10000, Published: Kinds{Audio: 1, Video: 2}, Subscribed: Kinds{Audio: 3, Video: 4}}
			for _, estimate := range []float64{300, 0, 100, 200} {
				r.Paths.Add(estimate, estimate == 100)
			}
			return r
		},
		Guards: func() map[string]uint64 { return map[string]uint64{"packet": 6} },
		Links:  func() []Link { return ls }, Refused: func() map[string]uint64 { return map[string]uint64{"name": 4} },
		Unsent: func() map[string]uint64 { return map[string]uint64{"unreachable": 6} }, Totals: func() map[Key]Counts { return totals },
		Raft: func() Raft {
			return Raft{Leader: true, Quorum: true, Voter: true, Changes: 3, Applied: 99, Leaderless: 2 * time.Second}
		},
		Gossip: func() Gossip {
			return Gossip{Members: map[string]int{"serving": peers, "draining": 1, "left": 1}, Refused: map[string]uint64{"malformed": 5}}
		},
		Sessions: func() int { return 12 },
	}
}

func start(t *testing.T, src Sources) *Metrics {
	t.Helper()
	m, err := New(Config{Node: "paris-1", Region: "paris", Version: "v1", Sources: src})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	b, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", w.Code, err, b)
	}
	return string(b)
}

func TestScrape(t *testing.T) {
	m := start(t, mesh(2))
	m.Join(Joined, 30*time.Millisecond)
	m.Join(RefusedWith(http.StatusServiceUnavailable), 0)
	text := scrape(t, m)
	for _, want := range []string{
		`target_info{node="paris-1",region="paris",service_name="maille",service_version="v1"} 1`,
		`maille_rooms_active 1000`,
		`maille_tracks_active{kind="video",origin="client"} 2`,
		`maille_client_estimates 3`,
		`maille_client_short 1`,
		`maille_client_estimate_bytes_per_second{of="least"} 100`,
		`maille_client_estimate_bytes_per_second{of="mean"} 200`,
		`maille_link_up{peer="n0"} 0`,
		`maille_link_rtt_seconds{peer="n1"} 0.04`,
		`maille_link_estimate_bytes_per_second{peer="n1"} 1e+06`,
		`maille_link_packets_total{direction="in",peer="n1"} 7`,
		`maille_link_repairs_filled_total{peer="n1"} 3`,
		`maille_client_bytes_total{direction="out",kind="audio"} 100`,
		`maille_packets_dropped_total{reason="shed",where="link"} 18`,
		`maille_link_packets_dropped_total{peer="n0",reason="shed"} 9`,
		`maille_link_demand_bytes_per_second{peer="n1"} 1e+06`,
		`maille_link_repairs_late_total{peer="n1"} 8`,
		`maille_link_tracks_refused_total{peer="n1"} 9`,
		`maille_raft_leaderless_seconds 2`,
		`maille_link_refused_total{reason="name"} 4`,
		`maille_link_unsent_total{reason="unreachable"} 6`,
		`maille_gossip_members{state="draining"} 1`,
		`maille_signal_joins_total{outcome="joined"} 1`,
		`maille_signal_joins_total{outcome="unavailable"} 1`,
		`maille_signal_joins_total{outcome="failed"} 0`,
		`maille_signal_join_duration_seconds_bucket{le="0.05"} 1`,
		`maille_signal_join_duration_seconds_count 1`,
		"\ngo_goroutines ",
	} {
		if !strings.Contains(text, want+"\n") && !strings.Contains(text, want) {
			t.Errorf("no line %s", want)
		}
	}
	for _, not := range []string{`maille_link_rtt_seconds{peer="n0"}`, "otel_scope"} {
		if strings.Contains(text, not) {
			t.Errorf("%s is reported", not)
		}
	}
}

// The series follow the size of the mesh, and no label can name a person or a room.
func TestCardinality(t *testing.T) {
	allowed := map[string]int{ // how many values each label may have
		"region": 1, "node": 1, "service_name": 1, "service_version": 1,
		"peer": 255, "kind": 2, "direction": 2, "of": 2, "origin": 2, "where": 6, "reason": int(relay.NumDrops) + 4 + 8,
		"outcome": len(outcomes) + 2, "state": 3,
	}
	series := func(peers int) int {
		m := start(t, mesh(peers))
		families, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		values := make(map[string]map[string]bool)
		for _, f := range families {
			if !strings.HasPrefix(f.GetName(), namespace) && f.GetName() != "target_info" {
				continue
			}
			for _, metric := range f.Metric {
				n++
				for _, l := range metric.Label {
					if l.GetValue() == "" {
						t.Errorf("%s has an empty label %s", f.GetName(), l.GetName())
					}
					if values[l.GetName()] == nil {
						values[l.GetName()] = make(map[string]bool)
					}
					values[l.GetName()][l.GetValue()] = true
				}
			}
		}
		for name, seen := range values {
			if limit, ok := allowed[name]; !ok || len(seen) > limit {
				t.Errorf("label %s has %d values, %d allowed", name, len(seen), limit)
			}
		}
		return n
	}
	two, all := series(2), series(255)
	if per := (all - two) / 253; per > 45 {
		t.Errorf("%d series for each peer", per)
	}
	if base := two - 2*45; base > 160 {
		t.Errorf("%d series without any peer", base)
	}
}

// Names are what Prometheus' own linter takes: base units, _total on counters alone,
// help on everything.
func TestNames(t *testing.T) {
	m := start(t, mesh(2))
	m.Join(Joined, time.Second)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, namespace) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// Two nodes in one process, as in dev, do not share counters.
func TestTwoNodes(t *testing.T) {
	a, b := start(t, mesh(1)), start(t, mesh(1))
	a.Join(Joined, time.Second)
	if !strings.Contains(scrape(t, b), `maille_signal_joins_total{outcome="joined"} 0`) {
		t.Error("a join at one node is counted by the other")
	}
}

func TestMissingSources(t *testing.T) {
	if text := scrape(t, start(t, Sources{})); strings.Contains(text, "maille_rooms") || !strings.Contains(text, "maille_signal_joins_total") {
		t.Errorf("without sources:\n%s", text)
	}
}

func TestRefusedWith(t *testing.T) {
	got := make(map[int]Outcome)
	for _, status := range []int{400, 401, 404, 429, 500, 502, 503} {
		got[status] = RefusedWith(status)
	}
	want := map[int]Outcome{400: Refused, 401: Refused, 404: Refused, 429: Unavailable, 500: Failed, 502: Failed, 503: Unavailable}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, o := range slices.Collect(maps.Values(got)) {
		if !slices.Contains(outcomes, o) {
			t.Errorf("%s is not announced with a zero", o)
		}
	}
}
