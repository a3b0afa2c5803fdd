package placement

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"maille/mesh/view"
	"maille/placement/consensus"
	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var t0 = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// said is one node's report: room, epoch, participants, seconds empty, visited.
type said struct {
	node    string
	age     time.Duration
	epoch   uint64
	people  uint32
	empty   time.Duration
	visited bool
}

func pageOf(now time.Time, reports ...said) page {
	b := newBooks()
	for _, r := range reports {
		b.report(&meshpb.ReportRequest{Node: r.node, Rooms: []*meshpb.RoomReport{{
			Room: "a", Epoch: r.epoch, Participants: r.people, EmptyForMs: r.empty.Milliseconds(), Visited: r.visited,
		}}}, now.Add(-r.age))
	}
	return b.open(now)
}

// describe writes commands as words, one a line.
func describe(cmds []*meshpb.Command) string {
	var out []string
	for _, c := range cmds {
		switch b := c.GetBody().(type) {
		case *meshpb.Command_CloseRoom:
			out = append(out, fmt.Sprintf("close %s@%d", b.CloseRoom.GetName(), b.CloseRoom.GetEpoch()))
		case *meshpb.Command_UnserveRoom:
			out = append(out, fmt.Sprintf("unserve %s@%d %s", b.UnserveRoom.GetName(), b.UnserveRoom.GetEpoch(), b.UnserveRoom.GetNode()))
		case *meshpb.Command_SetNode:
			out = append(out, fmt.Sprintf("set %s@%s %v", b.SetNode.GetNode(), b.SetNode.GetIncarnation(), b.SetNode.GetState()))
		case *meshpb.Command_ForgetNode:
			out = append(out, "forget "+b.ForgetNode.GetNode())
		default:
			out = append(out, fmt.Sprintf("%T", b))
		}
	}
	return strings.Join(out, "\n")
}

// room a, epoch 1, served by p1 and l1, departure timeout 20 s, empty timeout 300 s.
func twoNodeRoom() *state.State {
	s := state.New()
	for _, n := range []string{"p1", "l1"} {
		s, _ = state.Apply(s, &meshpb.Command{Body: &meshpb.Command_OpenRoom{OpenRoom: &meshpb.OpenRoom{
			Name: "a", Sid: "RM_a", Region: n[:1], Node: n,
		}}})
	}
	return s
}

func TestRoomSteps(t *testing.T) {
	const min = time.Minute
	cases := []struct {
		name    string
		reports []said
		edit    func(*page)
		want    string
	}{
		{name: "nobody said anything"},
		{name: "one is silent", reports: []said{{node: "p1", epoch: 1, empty: 10 * min, visited: true}}},
		{
			name: "both empty long enough", want: "close a@1",
			reports: []said{{"p1", 0, 1, 0, 10 * min, true}, {"l1", 0, 1, 0, 21 * time.Second, false}},
		},
		{
			name:    "the last one left just now",
			reports: []said{{"p1", 0, 1, 0, 10 * min, true}, {"l1", 0, 1, 0, 19 * time.Second, false}},
		},
		{
			name: "the age of a report counts", want: "close a@1",
			reports: []said{{"p1", 0, 1, 0, 10 * min, true}, {"l1", 2 * time.Second, 1, 0, 19 * time.Second, false}},
		},
		{
			name:    "nobody ever came: the longer timeout",
			reports: []said{{"p1", 0, 1, 0, 4 * min, false}, {"l1", 0, 1, 0, 4 * min, false}},
		},
		{
			name: "nobody ever came, and it is over", want: "close a@1",
			reports: []said{{"p1", 0, 1, 0, 5 * min, false}, {"l1", 0, 1, 0, 5 * min, false}},
		},
		{
			name:    "somebody is there",
			reports: []said{{"p1", 0, 1, 0, 10 * time.Second, true}, {"l1", 0, 1, 1, 0, true}},
		},
		{
			name: "an idle node lets go while others meet", want: "unserve a@1 p1",
			reports: []said{{"p1", 0, 1, 0, 2 * min, true}, {"l1", 0, 1, 1, 0, true}},
		},
		{
			name:    "another instance's emptiness says nothing",
			reports: []said{{"p1", 0, 1, 0, 10 * min, true}, {"l1", 0, 7, 0, 10 * min, true}},
		},
		{
			name:    "old news says nothing",
			reports: []said{{"p1", 0, 1, 0, 10 * min, true}, {"l1", min, 1, 0, 10 * min, true}},
		},
		{
			name:    "somebody is on the way",
			reports: []said{{"p1", 0, 1, 0, 10 * min, true}, {"l1", 0, 1, 0, 10 * min, true}},
			edit:    func(p *page) { p.joins["a"] = p.now.Add(-joinGrace) },
		},
		{
			name: "a dead node is let go", want: "unserve a@1 l1",
			edit: func(p *page) { p.seen["l1"] = sighting{lost: p.now.Add(-holdDown)} },
		},
		{
			name: "a flapping node is not",
			edit: func(p *page) { p.seen["l1"] = sighting{lost: p.now.Add(-holdDown / 2)} },
		},
		{
			name:    "a node out of sight cannot say it is empty",
			reports: []said{{"p1", 0, 1, 0, 10 * min, true}, {"l1", 0, 1, 0, 10 * min, true}},
			edit:    func(p *page) { p.seen["l1"] = sighting{lost: p.now.Add(-time.Second)} },
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p := pageOf(t0, tc.reports...)
			if tc.edit != nil {
				tc.edit(&p)
			}
			if diff := cmp.Diff(tc.want, describe(roomSteps(twoNodeRoom(), p))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOrphan: a room all of whose nodes are gone waits for its people, then closes.
func TestOrphan(t *testing.T) {
	st := twoNodeRoom()
	for _, n := range []string{"p1", "l1"} {
		st, _ = state.Apply(st, &meshpb.Command{Body: &meshpb.Command_UnserveRoom{UnserveRoom: &meshpb.UnserveRoom{Name: "a", Epoch: 1, Node: n}}})
	}
	b := newBooks()
	b.update(view.Snapshot{}, st, nil, t0)
	for age, want := range map[time.Duration]string{0: "", joinGrace - 1: "", joinGrace: "close a@1"} {
		b.update(view.Snapshot{}, st, nil, t0.Add(age))
		if got := describe(roomSteps(st, b.open(t0.Add(age)))); got != want {
			t.Errorf("after %v: %q, want %q", age, got, want)
		}
	}
}

// TestOver: whatever is reported, a room with people, or with a node that has not said,
// stays open.
func TestOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var reports []said
		safe := true
		for _, n := range []string{"p1", "l1"} {
			if !rapid.Bool().Draw(t, "reports") {
				safe = false
				continue
			}
			r := said{
				node:    n,
				age:     time.Duration(rapid.IntRange(0, 20).Draw(t, "age")) * time.Second,
				epoch:   rapid.Uint64Range(0, 2).Draw(t, "epoch"),
				people:  rapid.Uint32Range(0, 1).Draw(t, "people"),
				empty:   time.Duration(rapid.IntRange(0, 1000).Draw(t, "empty")) * time.Second,
				visited: rapid.Bool().Draw(t, "visited"),
			}
			safe = safe && r.age <= reportLife && r.epoch == 1 && r.people == 0 && r.empty+r.age >= defaultDepartureTimeout
			reports = append(reports, r)
		}
		if over(twoNodeRoom().Room("a"), pageOf(t0, reports...)) && !safe {
			t.Fatalf("closed on %+v", reports)
		}
	})
}

func TestNodeSteps(t *testing.T) {
	st := state.New()
	for name, s := range map[string]int{"known": 0, "drained": 1, "reborn": 0, "left": 2, "gone": 0} {
		st, _ = state.Apply(st, &meshpb.Command{Body: &meshpb.Command_SetNode{SetNode: &meshpb.SetNode{
			Node: name, Incarnation: "i1", Region: "r", State: meshpb.NodeState(s),
		}}})
	}
	v := view.Snapshot{Nodes: []view.Node{
		{Name: "drained", Incarnation: "i1", Region: "r"}, // an operator's order stays
		{Name: "known", Incarnation: "i1", Region: "r", State: view.Draining},
		{Name: "new", Incarnation: "i1", Region: "r"},
		{Name: "reborn", Incarnation: "i2", Region: "r"},
		{Name: "starting", Region: "r"}, // has not told its store yet
	}}
	p := pageOf(t0)
	p.seen["left"] = sighting{lost: t0.Add(-holdDown)}
	p.seen["gone"] = sighting{lost: t0.Add(-removeAfter)}
	want := "set known@i1 NODE_STATE_DRAINING\nset new@i1 NODE_STATE_SERVING\nset reborn@i2 NODE_STATE_SERVING\n" +
		"set gone@i1 NODE_STATE_LEFT\nforget left"
	if diff := cmp.Diff(want, describe(nodeSteps(v, st, p))); diff != "" {
		t.Error(diff)
	}
}

// TestMembers reads servers as "name[/incarnation][*]", * for voters; the view as
// "name:region[/incarnation][!]", ! for not willing to vote. All have been in sight and
// reported for long, but those gone.
func TestMembers(t *testing.T) {
	cases := []struct {
		name, servers, view string
		gone                map[string]time.Duration
		young, behind       string
		want                string
	}{
		{name: "complete", servers: "a* b* c*", view: "a:p b:l c:m"},
		{name: "new node", servers: "a* b* c*", view: "a:p b:l c:m d:p", want: "add d"},
		{name: "four: the fourth does not vote", servers: "a* b* c* d", view: "a:p b:l c:m d:p"},
		{name: "five vote", servers: "a* b* c* d e", view: "a:p b:l c:m d:p e:l", want: "promote d"},
		{name: "six: five vote", servers: "a* b* c* d* e* f", view: "a:p b:l c:m d:p e:l f:m"},
		{name: "not before it has settled", servers: "a* b* c* d e", view: "a:p b:l c:m d:p e:l", young: "d", want: "promote e"},
		{name: "nor before it has the log", servers: "a* b* c* d e", view: "a:p b:l c:m d:p e:l", behind: "d", want: "promote e"},
		{name: "unwilling nodes do not count", servers: "a* b* c* d e", view: "a:p b:l c:m d:p! e:l"},
		{
			name: "regions before names", servers: "a* b* c* d e f", view: "a:p b:p c:p d:l e:l f:m",
			want: "promote d",
		},
		{name: "first step of a new cluster", servers: "a*", view: "a:p b:l c:m", want: "add b"},
		{name: "two nodes: one votes", servers: "a* b", view: "a:p b:l"},
		{name: "three: more vote", servers: "a* b c", view: "a:p b:l c:m", want: "promote b"},
		{name: "a new store is a new server: the old goes first", servers: "a* b/i1* c*", view: "a:p b:l/i2 c:m d:p", want: "remove b"},
		{name: "then the new is added", servers: "a* c*", view: "a:p b:l/i2 c:m", want: "add b"},
		{name: "left", servers: "a* b* c*", view: "a:p b:l- c:m", want: "remove b"},
		{name: "a short absence changes nothing", servers: "a* b* c* d", view: "a:p b:l d:p", gone: map[string]time.Duration{"c": 10 * time.Second}},
		{name: "a spare takes over", servers: "a* b* c* d", view: "a:p b:l d:p", gone: map[string]time.Duration{"c": time.Minute}, want: "promote d"},
		{name: "and the absent loses its vote", servers: "a* b* c* d*", view: "a:p b:l d:p", gone: map[string]time.Duration{"c": time.Minute}, want: "demote c"},
		{name: "no spare: it keeps its vote", servers: "a* b* c*", view: "a:p b:l", gone: map[string]time.Duration{"c": time.Hour}},
		{name: "long gone", servers: "a* b* c*", view: "a:p b:l", gone: map[string]time.Duration{"c": removeAfter}, want: "remove c"},
		{name: "unless the rest is no majority", servers: "a* b* c*", view: "a:p", gone: map[string]time.Duration{"b": removeAfter, "c": removeAfter}},
		{name: "a leader does not demote itself", servers: "a* b* c* d* e* f*", view: "a:p! b:l c:m d:p e:l f:m"},
		{name: "nobody demotes before the promotions", servers: "a* b* c* d e f", view: "a:p b:p c:p! d:l e:m f:m", young: "d e f"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			m := members{self: "a", applied: 1000}
			b := newBooks()
			for f := range strings.FieldsSeq(tc.view) {
				name, rest, _ := strings.Cut(f, ":")
				n := view.Node{Name: name, Voter: !strings.Contains(rest, "!"), Incarnation: "i1"}
				if strings.Contains(rest, "-") {
					n.State = view.Left
				}
				n.Region = rest[:1]
				if _, inc, ok := strings.Cut(rest, "/"); ok {
					n.Incarnation = inc
				}
				m.view.Nodes = append(m.view.Nodes, n)
				since, applied := t0.Add(-time.Hour), uint64(1000)
				if strings.Contains(tc.young, name) {
					since = t0.Add(-time.Second)
				}
				if strings.Contains(tc.behind, name) {
					applied = 10
				}
				b.seen[name] = sighting{incarnation: n.Incarnation, since: since}
				b.reports[name] = report{at: t0, incarnation: n.Incarnation, applied: applied}
			}
			for name, d := range tc.gone {
				b.seen[name] = sighting{lost: t0.Add(-d)}
			}
			for f := range strings.FieldsSeq(tc.servers) {
				name, inc, ok := strings.Cut(strings.TrimSuffix(f, "*"), "/")
				if !ok {
					inc = "i1"
				}
				m.servers = append(m.servers, consensus.Server{Name: name, Incarnation: inc, Voter: strings.HasSuffix(f, "*")})
			}
			m.page = b.open(t0)
			got := ""
			if s, ok := m.next(); ok {
				got = s.what + " " + s.server.Name
			}
			if got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// TestSpread: as many voters as asked, no region with two more than another that had
// more to give.
func TestSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var from []voter
		have := map[string]int{}
		for i := range rapid.IntRange(0, 12).Draw(t, "n") {
			v := voter{name: fmt.Sprintf("n%02d", i), region: rapid.SampledFrom([]string{"p", "l", "m"}).Draw(t, "region"), votes: rapid.Bool().Draw(t, "votes")}
			from = append(from, v)
			have[v.region]++
		}
		count := odd(len(from))
		region := map[string]string{}
		for _, v := range from {
			region[v.name] = v.region
		}
		got := spread(slices.Clone(from), count)
		if len(got) != count || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Fatalf("%d of %d: %v", len(got), count, got)
		}
		took := map[string]int{}
		for _, n := range got {
			took[region[n]]++
		}
		for a := range have {
			for b := range have {
				if took[a] > took[b]+1 && took[b] < have[b] {
					t.Fatalf("%v of %v", took, have)
				}
			}
		}
	})
}

func TestBetterLeader(t *testing.T) {
	v := view.Snapshot{RTT: map[[2]string]time.Duration{
		view.Pair("a", "b"): 80 * time.Millisecond,
		view.Pair("a", "c"): 80 * time.Millisecond,
		view.Pair("b", "c"): 10 * time.Millisecond,
	}}
	m := members{self: "a", view: v}
	b := newBooks()
	for _, n := range []string{"a", "b", "c"} {
		m.view.Nodes = append(m.view.Nodes, view.Node{Name: n, Incarnation: "i"})
		m.servers = append(m.servers, consensus.Server{Name: n, Incarnation: "i", Voter: n != "b"})
		b.seen[n] = sighting{incarnation: "i", since: t0.Add(-time.Hour)}
		b.reports[n] = report{at: t0, incarnation: "i"}
	}
	m.page = b.open(t0)
	if s, ok := m.betterLeader(); ok {
		t.Errorf("%s: its median is no lower", s.Name)
	}
	v.RTT[view.Pair("a", "c")] = 20 * time.Millisecond // c is in the middle now
	if s, ok := m.betterLeader(); !ok || s.Name != "c" {
		t.Errorf("%v %v, want c", s, ok)
	}
	m.self = "c"
	if s, ok := m.betterLeader(); ok {
		t.Errorf("%s is better than the middle", s.Name)
	}
}

func TestFounders(t *testing.T) {
	v := view.Snapshot{Nodes: []view.Node{
		{Name: "a", Region: "p", Incarnation: "i", Voter: true},
		{Name: "b", Region: "p", Incarnation: "i", Voter: true},
		{Name: "c", Region: "p", Incarnation: "i"},
		{Name: "d", Region: "l", Incarnation: "i", Voter: true},
		{Name: "e", Region: "m", Incarnation: "i", Voter: true},
	}}
	if got := founders(v, 5); got != nil {
		t.Errorf("four willing nodes founded a cluster of five: %v", got)
	}
	want := []consensus.Server{
		{Name: "a", Incarnation: "i", Voter: true},
		{Name: "b", Incarnation: "i"},
		{Name: "d", Incarnation: "i", Voter: true},
		{Name: "e", Incarnation: "i", Voter: true},
	}
	if diff := cmp.Diff(want, founders(v, 4)); diff != "" {
		t.Error(diff)
	}
}
