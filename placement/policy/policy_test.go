package policy

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"maille/mesh/view"
	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestExplain runs the scripts of testdata. A script's views are lines of
//
//	<node> <region> [draining|left] [cpu=0.5] [people=10]
//	rtt <node or region> <node or region> <duration>
//
// and its joins are answered with the plan and the table operators read.
func TestExplain(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var v view.Snapshot
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "view":
				v = parseView(t, d)
				return fmt.Sprintf("%d nodes in %s\n", len(v.Nodes), strings.Join(v.Regions(), " "))
			case "join":
				return join(t, d, v)
			}
			d.Fatalf(t, "unknown command")
			return ""
		})
	})
}

func parseView(t *testing.T, d *datadriven.TestData) view.Snapshot {
	v := view.Snapshot{RTT: map[[2]string]time.Duration{}}
	for line := range strings.Lines(d.Input) {
		f := strings.Fields(line)
		if f[0] == "rtt" {
			rtt, err := time.ParseDuration(f[3])
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			for _, a := range v.Nodes {
				for _, b := range v.Nodes {
					if (a.Name == f[1] || a.Region == f[1]) && (b.Name == f[2] || b.Region == f[2]) {
						v.RTT[view.Pair(a.Name, b.Name)] = rtt
					}
				}
			}
			continue
		}
		n := view.Node{Name: f[0], Region: f[1]}
		for _, o := range f[2:] {
			key, val, _ := strings.Cut(o, "=")
			switch key {
			case "draining":
				n.State = view.Draining
			case "left":
				n.State = view.Left
			case "cpu":
				n.Load.CPU, _ = strconv.ParseFloat(val, 64)
			case "people":
				n.Load.Participants, _ = strconv.Atoi(val)
			}
		}
		v.Nodes = append(v.Nodes, n) // scripts name nodes in order
	}
	return v
}

func join(t *testing.T, d *datadriven.TestData, v view.Snapshot) string {
	req := Request{Room: "r", Recent: map[string]int{}}
	var room *meshpb.Room
	settings := &meshpb.RoomSettings{}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "region":
			req.Region = a.Vals[0]
		case "entry":
			req.Entry = a.Vals[0]
		case "avoid":
			req.Avoid = a.Vals
		case "recent":
			for _, val := range a.Vals {
				req.Recent[val]++
			}
		case "allowed":
			settings.AllowedRegions = a.Vals
		case "serving":
			room = &meshpb.Room{Name: "r", Serving: map[string]*meshpb.NodeList{}}
			for _, val := range a.Vals {
				n, _ := v.Node(val)
				room.Serving[n.Region] = &meshpb.NodeList{Nodes: append(room.Serving[n.Region].GetNodes(), val)}
			}
		default:
			d.Fatalf(t, "unknown argument %s", a.Key)
		}
	}
	if room != nil {
		room.Settings = settings
	} else {
		req.Settings = settings
	}
	var out strings.Builder
	if plan, err := Join(v, room, req); err != nil {
		fmt.Fprintln(&out, err)
	} else {
		fmt.Fprintf(&out, "%s in %s, new %v\n", plan.Node, plan.Region, plan.New)
	}
	if err := Print(&out, Explain(v, room, req)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestAbsolute holds the rules that no score may bend, on views nobody thought of.
func TestAbsolute(t *testing.T) {
	regions := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		v := view.Snapshot{RTT: map[[2]string]time.Duration{}}
		room := &meshpb.Room{Name: "r", Serving: map[string]*meshpb.NodeList{}, Settings: &meshpb.RoomSettings{
			AllowedRegions: rapid.SliceOfDistinct(rapid.SampledFrom(regions), rapid.ID[string]).Draw(t, "allowed"),
		}}
		for i := range rapid.IntRange(0, 6).Draw(t, "nodes") {
			n := view.Node{
				Name:   fmt.Sprintf("n%d", i),
				Region: rapid.SampledFrom(regions).Draw(t, "region"),
				State:  view.State(rapid.IntRange(0, 2).Draw(t, "state")),
				Load:   view.Load{CPU: rapid.Float64().Draw(t, "cpu"), Participants: rapid.Int().Draw(t, "people")},
			}
			v.Nodes = append(v.Nodes, n)
			if rapid.Bool().Draw(t, "serves") {
				room.Serving[n.Region] = &meshpb.NodeList{Nodes: append(room.Serving[n.Region].GetNodes(), n.Name)}
			}
		}
		for _, a := range v.Nodes {
			for _, b := range v.Nodes {
				if rapid.Bool().Draw(t, "measured") {
					v.RTT[view.Pair(a.Name, b.Name)] = time.Duration(rapid.Int64().Draw(t, "rtt"))
				}
			}
		}
		req := Request{Room: "r", Region: rapid.SampledFrom([]string{"a", "b", "c", "d", ""}).Draw(t, "from"), Entry: "n0"}
		plan, err := Join(v, room, req)
		possible := false
		for _, n := range v.Nodes {
			possible = possible || n.State == view.Serving && state.Allowed(room.Settings, n.Region)
		}
		if possible != (err == nil) {
			t.Fatalf("possible %v, but %v", possible, err)
		}
		if err != nil {
			return
		}
		n, _ := v.Node(plan.Node)
		if n.State != view.Serving || !state.Allowed(room.Settings, n.Region) || plan.Region != n.Region {
			t.Fatalf("%+v chosen", n)
		}
		if _, serves := state.Serving(room, n.Name); serves == plan.New {
			t.Fatalf("serves %v, new %v", serves, plan.New)
		}
		if again, _ := Join(v, room, req); again != plan {
			t.Fatalf("same question, %v then %v", plan, again)
		}
	})
}

// TestTiesSpread: idle equal nodes share rooms, and a room keeps its node.
func TestTiesSpread(t *testing.T) {
	v := view.Snapshot{}
	for i := range 4 {
		v.Nodes = append(v.Nodes, view.Node{Name: fmt.Sprintf("n%d", i), Region: "a"})
	}
	got := map[string]int{}
	for i := range 400 {
		plan, err := Join(v, nil, Request{Room: fmt.Sprintf("room-%d", i), Region: "a"})
		if err != nil {
			t.Fatal(err)
		}
		got[plan.Node]++
	}
	for n, c := range got {
		if c < 60 || c > 140 {
			t.Errorf("%s got %d of 400 rooms, want about 100", n, c)
		}
	}
}

func BenchmarkJoin(b *testing.B) {
	v := view.Snapshot{RTT: map[[2]string]time.Duration{}}
	for i := range 30 {
		v.Nodes = append(v.Nodes, view.Node{Name: fmt.Sprintf("n%02d", i), Region: fmt.Sprintf("r%d", i%5)})
	}
	room := &meshpb.Room{Name: "r", Serving: map[string]*meshpb.NodeList{"r0": {Nodes: []string{"n00"}}, "r1": {Nodes: []string{"n01"}}}}
	b.ReportAllocs()
	for b.Loop() {
		Join(v, room, Request{Room: "r", Region: "r2"})
	}
}
