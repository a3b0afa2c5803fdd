package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	meshpb "maille/proto/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(name, region, node string, allowed ...string) *meshpb.Command {
	return &meshpb.Command{NowMs: 1, Body: &meshpb.Command_OpenRoom{OpenRoom: &meshpb.OpenRoom{
		Name: name, Sid: "RM_" + name, Region: region, Node: node,
		Settings: &meshpb.RoomSettings{AllowedRegions: allowed},
	}}}
}

func serveCmd(name string, epoch uint64, region, node string) *meshpb.Command {
	return &meshpb.Command{Body: &meshpb.Command_ServeRoom{ServeRoom: &meshpb.ServeRoom{Name: name, Epoch: epoch, Region: region, Node: node}}}
}

func unserveCmd(name string, epoch uint64, node string) *meshpb.Command {
	return &meshpb.Command{Body: &meshpb.Command_UnserveRoom{UnserveRoom: &meshpb.UnserveRoom{Name: name, Epoch: epoch, Node: node}}}
}

func closeCmd(name string, epoch uint64) *meshpb.Command {
	return &meshpb.Command{Body: &meshpb.Command_CloseRoom{CloseRoom: &meshpb.CloseRoom{Name: name, Epoch: epoch}}}
}

func update(name string, epoch uint64, allowed ...string) *meshpb.Command {
	return &meshpb.Command{Body: &meshpb.Command_UpdateRoom{UpdateRoom: &meshpb.UpdateRoom{
		Name: name, Epoch: epoch, Settings: &meshpb.RoomSettings{AllowedRegions: allowed, MaxParticipants: 7},
	}}}
}

func node(name string, st meshpb.NodeState) *meshpb.Command {
	return &meshpb.Command{Body: &meshpb.Command_SetNode{SetNode: &meshpb.SetNode{Node: name, Incarnation: "i", Region: "r", State: st}}}
}

func forget(name string) *meshpb.Command {
	return &meshpb.Command{Body: &meshpb.Command_ForgetNode{ForgetNode: &meshpb.ForgetNode{Node: name}}}
}

// TestScript walks one state through the rules, a command a line.
func TestScript(t *testing.T) {
	const (
		ok      = meshpb.Error_NONE
		stale   = meshpb.Error_STALE_EPOCH
		absent  = meshpb.Error_NOT_FOUND
		invalid = meshpb.Error_INVALID
		region  = meshpb.Error_REGION_NOT_ALLOWED
		noNode  = meshpb.Error_NO_NODE
	)
	left := meshpb.NodeState_NODE_STATE_LEFT
	steps := []struct {
		what    string
		cmd     *meshpb.Command
		kind    meshpb.Error_Kind
		created bool
		serving string // of room "a" afterwards
	}{
		{"open", open("a", "paris", "p1"), ok, true, "1: p1"},
		{"open again is the same room", open("a", "paris", "p1"), ok, false, "1: p1"},
		{"open elsewhere adds a node", open("a", "lyon", "l1"), ok, false, "1: l1 p1"},
		{"serve", serveCmd("a", 1, "paris", "p2"), ok, false, "1: l1 p1 p2"},
		{"serve under another epoch", serveCmd("a", 2, "paris", "p3"), stale, false, "1: l1 p1 p2"},
		{"epoch 0 is provisional, never current", serveCmd("a", 0, "paris", "p3"), stale, false, "1: l1 p1 p2"},
		{"a node is in one region", serveCmd("a", 1, "lyon", "p2"), ok, false, "1: l1 p1 p2"},
		{"unserve", unserveCmd("a", 1, "p2"), ok, false, "1: l1 p1"},
		{"unserve who does not", unserveCmd("a", 1, "p2"), ok, false, "1: l1 p1"},
		{"region outside the new list", update("a", 1, "paris"), region, false, "1: l1 p1"},
		{"narrow", update("a", 1, "paris", "lyon"), ok, false, "1: l1 p1"},
		{"not allowed", serveCmd("a", 1, "marseille", "m1"), region, false, "1: l1 p1"},
		{"close the wrong one", closeCmd("a", 7), stale, false, "1: l1 p1"},
		{"close", closeCmd("a", 1), ok, false, "-"},
		{"close twice", closeCmd("a", 1), absent, false, "-"},
		{"reopened under a new epoch", open("a", "paris", "p1"), ok, true, "2: p1"},
		{"the old epoch is dead", serveCmd("a", 1, "paris", "p2"), stale, false, "2: p1"},
		{"left nodes serve nothing", node("p1", left), ok, false, "2:"},
		{"nor again", serveCmd("a", 2, "paris", "p1"), noNode, false, "2:"},
		{"until they say so", node("p1", 0), ok, false, "2:"},
		{"then they do", serveCmd("a", 2, "paris", "p1"), ok, false, "2: p1"},
		{"only the left are forgotten", forget("p1"), invalid, false, "2: p1"},
		{"empty name", open("", "paris", "p1"), invalid, false, "2: p1"},
		{"not UTF-8", open("\xff", "paris", "p1"), invalid, false, "2: p1"},
		{"oversized", open(string(make([]byte, MaxName+1)), "paris", "p1"), invalid, false, "2: p1"},
		{"no body", &meshpb.Command{}, invalid, false, "2: p1"},
		{"refused opening spends no epoch", open("b", "lyon", "l1", "paris"), region, false, "2: p1"},
		{"so the next has the next", open("b", "paris", "p1"), ok, true, "2: p1"},
	}
	s := New()
	for _, st := range steps {
		next, res := Apply(s, st.cmd)
		if got := res.GetError().GetKind(); got != st.kind {
			t.Errorf("%s: %v, want %v", st.what, res.GetError(), st.kind)
		}
		if st.kind != ok && next != s {
			t.Errorf("%s: refused, but the state changed", st.what)
		}
		if res.GetCreated() != st.created {
			t.Errorf("%s: created %v", st.what, res.GetCreated())
		}
		got := "-"
		if r := next.Room("a"); r != nil {
			got = fmt.Sprintf("%d:", r.GetEpoch())
			for _, n := range ServingNodes(r) {
				got += " " + n
			}
		}
		if got != st.serving {
			t.Errorf("%s: %q, want %q", st.what, got, st.serving)
		}
		s = next
	}
	if got := s.Room("b").GetEpoch(); got != 3 {
		t.Errorf("b is at epoch %d, want 3", got)
	}
}

// drawn is one random command over few names, so that commands meet.
func drawn(t *rapid.T) *meshpb.Command {
	room := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "room")
	name := rapid.SampledFrom([]string{"p1", "p2", "l1", "m1"}).Draw(t, "node")
	region := rapid.SampledFrom([]string{"paris", "lyon", ""}).Draw(t, "region")
	epoch := rapid.Uint64Range(0, 12).Draw(t, "epoch")
	allowed := rapid.SampledFrom([][]string{nil, {"paris"}, {"lyon", "paris"}}).Draw(t, "allowed")
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0, 1:
		return open(room, region, name, allowed...)
	case 2:
		return serveCmd(room, epoch, region, name)
	case 3:
		return unserveCmd(room, epoch, name)
	case 4:
		return closeCmd(room, epoch)
	case 5:
		return update(room, epoch, allowed...)
	default:
		if rapid.Bool().Draw(t, "forget") {
			return forget(name)
		}
		return node(name, meshpb.NodeState(rapid.IntRange(-1, 3).Draw(t, "state")))
	}
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cmds := rapid.SliceOfN(rapid.Custom(drawn), 0, 60).Draw(t, "cmds")
		s := New()
		instances := map[uint64]string{} // epoch to sid and name
		for i, cmd := range cmds {
			before := s.Encode()
			sent := proto.CloneOf(cmd)
			next, res := Apply(s, cmd)
			if !bytes.Equal(before, s.Encode()) {
				t.Fatalf("command %d changed the state it was applied to", i)
			}
			if !proto.Equal(sent, cmd) {
				t.Fatalf("command %d was changed", i)
			}
			if next.Epoch() < s.Epoch() {
				t.Fatalf("epoch fell from %d to %d", s.Epoch(), next.Epoch())
			}
			if res.GetCreated() {
				e := res.GetRoom().GetEpoch()
				if was, taken := instances[e]; taken || e == 0 {
					t.Fatalf("epoch %d given twice: %s and %s", e, was, res.GetRoom().GetName())
				}
				instances[e] = res.GetRoom().GetName()
			}
			check(t, next, instances)
			s = next
		}
		again := New()
		for _, cmd := range cmds {
			again, _ = Apply(again, cmd)
		}
		if !bytes.Equal(s.Encode(), again.Encode()) {
			t.Fatal("replay ended elsewhere")
		}
		cut := rapid.IntRange(0, len(cmds)).Draw(t, "cut")
		tail := New()
		for _, cmd := range cmds[:cut] {
			tail, _ = Apply(tail, cmd)
		}
		tail, err := Decode(tail.Encode())
		if err != nil {
			t.Fatal(err)
		}
		for _, cmd := range cmds[cut:] {
			tail, _ = Apply(tail, cmd)
		}
		if !bytes.Equal(s.Encode(), tail.Encode()) || s.bytes != tail.bytes {
			t.Fatal("snapshot and tail ended elsewhere than the whole log")
		}
	})
}

// check holds what every reachable state must hold.
func check(t *rapid.T, s *State, instances map[uint64]string) {
	size := 0
	for r := range s.Rooms() {
		size += proto.Size(r)
		if r.GetEpoch() == 0 || r.GetEpoch() > s.Epoch() || instances[r.GetEpoch()] != r.GetName() {
			t.Fatalf("room %s at epoch %d of %d", r.GetName(), r.GetEpoch(), s.Epoch())
		}
		all := ServingNodes(r)
		if len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Fatalf("room %s: a node serves twice: %v", r.GetName(), all)
		}
		for region, l := range r.GetServing() {
			if !Allowed(r.GetSettings(), region) || len(l.GetNodes()) == 0 || region == "" {
				t.Fatalf("room %s served in %q by %v", r.GetName(), region, l.GetNodes())
			}
		}
		for _, n := range all {
			if s.Node(n).GetState() == meshpb.NodeState_NODE_STATE_LEFT {
				t.Fatalf("room %s served by %s, which left", r.GetName(), n)
			}
		}
	}
	if size != s.bytes {
		t.Fatalf("bytes are %d, counted %d", size, s.bytes)
	}
}

func TestDecodeIdentity(t *testing.T) {
	s := New()
	for i := range 50 {
		s, _ = Apply(s, open(fmt.Sprintf("room-%d", i), "paris", fmt.Sprintf("n%d", i%3)))
		s, _ = Apply(s, node(fmt.Sprintf("n%d", i%3), meshpb.NodeState(i%2)))
	}
	b := s.Encode()
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Collect(s.Rooms()), slices.Collect(got.Rooms()), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(slices.Collect(s.Nodes()), slices.Collect(got.Nodes()), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if got.Epoch() != s.Epoch() {
		t.Errorf("epoch %d, want %d", got.Epoch(), s.Epoch())
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		bad := slices.Clone(b)
		bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		if _, err := Decode(bad); err == nil {
			t.Fatal("a flipped bit went unnoticed")
		}
		if _, err := Decode(b[:rng.IntN(len(b))]); err == nil {
			t.Fatal("a truncation went unnoticed")
		}
	}
}

func FuzzDecode(f *testing.F) {
	s, _ := Apply(New(), open("a", "paris", "p1"))
	f.Add(s.Encode())
	f.Add(New().Encode())
	f.Add([]byte("mls1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			return
		}
		if again, err := Decode(s.Encode()); err != nil || again.Epoch() != s.Epoch() {
			t.Fatalf("re-encoded state does not decode: %v", err)
		}
	})
}

func FuzzApply(f *testing.F) {
	for _, c := range []*meshpb.Command{open("a", "paris", "p1"), serveCmd("a", 1, "x", "y"), node("n", 1), update("a", 1, "paris")} {
		b, _ := proto.Marshal(c)
		f.Add(b)
	}
	base, _ := Apply(New(), open("a", "paris", "p1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var cmd meshpb.Command
		if proto.Unmarshal(b, &cmd) != nil {
			return
		}
		next, res := Apply(base, &cmd)
		if res == nil || next == nil {
			t.Fatal("no outcome")
		}
		if _, err := Decode(next.Encode()); err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkOpen shows what copy-on-write costs with 10,000 rooms.
func BenchmarkOpen(b *testing.B) {
	s := New()
	for i := range 10_000 {
		s, _ = Apply(s, open(fmt.Sprintf("room-%05d", i), "paris", "p1"))
	}
	b.ReportAllocs()
	for b.Loop() {
		Apply(s, open("room-x", "paris", "p1"))
	}
}

// A drain that an operator recorded is not undone by what gossip said before it.
func TestMirrorNeverUndoesADrain(t *testing.T) {
	set := func(incarnation string, st meshpb.NodeState, mirrored bool) *meshpb.Command {
		return &meshpb.Command{Body: &meshpb.Command_SetNode{SetNode: &meshpb.SetNode{
			Node: "a", Incarnation: incarnation, Region: "r", State: st, Mirrored: mirrored,
		}}}
	}
	const serving, draining = meshpb.NodeState_NODE_STATE_SERVING, meshpb.NodeState_NODE_STATE_DRAINING
	s := New()
	for _, step := range []struct {
		name string
		cmd  *meshpb.Command
		want meshpb.NodeState
	}{
		{"drained", set("i", draining, false), draining},
		{"mirrored late", set("i", serving, true), draining},
		{"its own word", set("i", serving, false), serving},
		{"drained again", set("i", draining, false), draining},
		{"a new life", set("j", serving, true), serving},
	} {
		s, _ = Apply(s, step.cmd)
		if got := s.Node("a").GetState(); got != step.want {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
}
