package roster

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func wireMember(t interface{ Fatal(...any) }, identity, sid string, version uint64, joined int64) *linkpb.Member {
	info, err := proto.Marshal(&livekit.ParticipantInfo{Identity: identity, Sid: sid, Version: uint32(version)})
	if err != nil {
		t.Fatal(err)
	}
	return &linkpb.Member{Info: info, Version: version, JoinedNs: joined}
}

// said is one message of one node.
type said struct {
	node  string
	delta bool
	facts *linkpb.Roster
}

func (s said) apply(t interface{ Fatal(...any) }, r *Roster) {
	reduce := r.Snapshot
	if s.delta {
		reduce = r.Delta
	}
	if _, err := reduce(s.node, s.facts); err != nil {
		t.Fatal(err)
	}
}

func describe(r *Roster) string {
	out := ""
	for _, m := range r.Members() {
		out += fmt.Sprintf("%s=%s@%s/%d ", m.Info.Identity, m.Info.Sid, m.Node, m.Version)
	}
	return out
}

// Any interleaving of the nodes' messages gives the same roster, as long as each
// node's own messages keep their order.
func TestRosterIsTheSameInEveryOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		queues := make(map[string][]said)
		nodes := []string{"a", "b", "c"}
		clock := int64(0)
		for _, node := range nodes {
			facts := &linkpb.Roster{Version: 1}
			queues[node] = append(queues[node], said{node: node, facts: facts})
			for v := range uint64(rapid.IntRange(0, 6).Draw(t, "messages")) {
				clock++
				id := rapid.SampledFrom([]string{"ann", "bob", "eve"}).Draw(t, "identity")
				delta := &linkpb.Roster{Version: v + 2}
				if rapid.Bool().Draw(t, "leaves") {
					delta.Gone = []string{id}
				} else {
					joined := rapid.Int64Range(1, 3).Draw(t, "joined")
					delta.Members = []*linkpb.Member{wireMember(t, id, fmt.Sprintf("PA_%s%d", node, clock), v+2, joined)}
				}
				queues[node] = append(queues[node], said{node: node, delta: true, facts: delta})
			}
		}
		want := New()
		for _, node := range nodes {
			for _, s := range queues[node] {
				s.apply(t, want)
			}
		}
		got := New()
		heads := make(map[string]int)
		for {
			var ready []string
			for _, node := range nodes {
				if heads[node] < len(queues[node]) {
					ready = append(ready, node)
				}
			}
			if len(ready) == 0 {
				break
			}
			node := rapid.SampledFrom(ready).Draw(t, "next")
			s := queues[node][heads[node]]
			heads[node]++
			s.apply(t, got)
			if rapid.Bool().Draw(t, "repeated") {
				s.apply(t, got) // a repeat changes nothing
			}
		}
		if describe(got) != describe(want) {
			t.Fatalf("orders differ:\n%s\n%s", describe(got), describe(want))
		}
	})
}

func TestLaterJoinWinsTheIdentity(t *testing.T) {
	r := New()
	first := &linkpb.Roster{Version: 1, Members: []*linkpb.Member{wireMember(t, "ann", "PA_1", 1, 100)}}
	second := &linkpb.Roster{Version: 1, Members: []*linkpb.Member{wireMember(t, "ann", "PA_2", 1, 200)}}
	if _, err := r.Snapshot("paris", first); err != nil {
		t.Fatal(err)
	}
	changes, err := r.Snapshot("lyon", second)
	if err != nil {
		t.Fatal(err)
	}
	if len(changes) != 1 || changes[0].New.Info.Sid != "PA_2" {
		t.Fatalf("changes = %+v, want the later join", changes)
	}
	// The earlier node lets go; nobody sees a gap.
	if changes, err = r.Snapshot("paris", &linkpb.Roster{Version: 2}); err != nil || len(changes) != 0 {
		t.Fatalf("changes = %+v, %v; want none", changes, err)
	}
}

func TestRosterNoticesALostDelta(t *testing.T) {
	sender, receiver := New(), New()
	empty := &linkpb.Roster{Version: 1}
	for _, r := range []*Roster{sender, receiver} {
		if _, err := r.Snapshot("paris", empty); err != nil {
			t.Fatal(err)
		}
	}
	delta := &linkpb.Roster{Version: 2, Members: []*linkpb.Member{wireMember(t, "ann", "PA_1", 1, 1)}}
	if _, err := sender.Delta("paris", delta); err != nil {
		t.Fatal(err)
	}
	d := sender.Digest("paris")
	if receiver.Matches("paris", d) {
		t.Fatal("the digest matches although a delta was lost")
	}
	if _, err := receiver.Delta("paris", delta); err != nil {
		t.Fatal(err)
	}
	if !receiver.Matches("paris", d) {
		t.Fatal("the digest differs although nothing was lost")
	}
}

func TestRosterRefusesNonsense(t *testing.T) {
	r := New()
	for name, facts := range map[string]*linkpb.Roster{
		"no identity": {Version: 1, Members: []*linkpb.Member{wireMember(t, "", "PA_1", 1, 1)}},
		"no sid":      {Version: 1, Members: []*linkpb.Member{wireMember(t, "ann", "", 1, 1)}},
		"not proto":   {Version: 1, Members: []*linkpb.Member{{Info: []byte{0xff}}}},
	} {
		if _, err := r.Snapshot("paris", facts); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A permission names its viewers by identity, or by sid where older clients do.
func TestPermits(t *testing.T) {
	bob := &livekit.ParticipantInfo{Identity: "bob", Sid: "PA_bob"}
	for name, tt := range map[string]struct {
		permission            *livekit.SubscriptionPermission
		restricted, permitted bool
	}{
		"never said":          {nil, false, true},
		"everyone":            {&livekit.SubscriptionPermission{AllParticipants: true}, false, true},
		"nobody":              {&livekit.SubscriptionPermission{}, true, false},
		"him":                 {only(&livekit.TrackPermission{ParticipantIdentity: "bob", AllTracks: true}), true, true},
		"him by sid":          {only(&livekit.TrackPermission{ParticipantSid: "PA_bob", TrackSids: []string{"TR_1"}}), true, true},
		"another track":       {only(&livekit.TrackPermission{ParticipantIdentity: "bob", TrackSids: []string{"TR_2"}}), true, false},
		"another":             {only(&livekit.TrackPermission{ParticipantIdentity: "eve", AllTracks: true}), true, false},
		"another by sid":      {only(&livekit.TrackPermission{ParticipantSid: "PA_eve", AllTracks: true}), true, false},
		"another of that sid": {only(&livekit.TrackPermission{ParticipantIdentity: "eve", ParticipantSid: "PA_bob", AllTracks: true}), true, false},
	} {
		m := &Member{Permission: tt.permission}
		if m.Restricted() != tt.restricted || m.Permits(bob, "TR_1") != tt.permitted {
			t.Errorf("%s: restricted %v, permitted %v", name, m.Restricted(), m.Permits(bob, "TR_1"))
		}
	}
}

func only(list ...*livekit.TrackPermission) *livekit.SubscriptionPermission {
	return &livekit.SubscriptionPermission{TrackPermissions: list}
}

// That nobody may subscribe is known to the other nodes too.
func TestNobodyIsToldToOthers(t *testing.T) {
	m := &Member{Node: "paris", Info: &livekit.ParticipantInfo{Identity: "ann", Sid: "PA_ann"}, Permission: &livekit.SubscriptionPermission{}}
	told, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode("paris", told)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Restricted() || got.Permits(&livekit.ParticipantInfo{Identity: "bob", Sid: "PA_bob"}, "TR_1") {
		t.Errorf("told %v", got.Permission)
	}
}
