package room

import (
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"maille/node/guard"
	linkpb "maille/proto/link"
	meshpb "maille/proto/mesh"
	"maille/relay"
)

// town is a node that gossip tells of others, and what it sends to them.
type town struct {
	alone
	mu      sync.Mutex        // guards the fields below
	regions map[string]string // of the nodes that gossip knows
	sent    []string          // kinds of messages to whom, in order
}

func (v *town) Linked(string) bool { return true }

func (v *town) RegionOf(node string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.regions[node]
}

func (v *town) know(node, region string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.regions[node] = region
}

func (v *town) Send(node, _ string, msg []byte) error {
	m := new(linkpb.RoomMessage)
	if err := proto.Unmarshal(msg, m); err != nil {
		return err
	}
	kind := "other"
	switch m.Body.(type) {
	case *linkpb.RoomMessage_Snapshot:
		kind = "snapshot"
	case *linkpb.RoomMessage_Want:
		kind = "want"
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sent = append(v.sent, kind+" to "+node)
	return nil
}

func (v *town) told() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.sent)
}

// A node that placement does not list takes part if gossip knows it, where the room may be;
// one that gossip comes to know later is asked then, and one that was a peer stays known.
func TestNodesThatMayNotServeARoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := &town{alone: alone{refused: new(guard.Counts)}, regions: map[string]string{"far": "ohio", "near": "lyon"}}
		r := New(env, &meshpb.Room{
			Name: "standup", Sid: "RM_1", Epoch: 1, Settings: &meshpb.RoomSettings{AllowedRegions: []string{"paris", "lyon"}},
		}, slog.New(slog.DiscardHandler))
		defer r.stop()
		want := &linkpb.RoomMessage{RoomSid: "RM_1", Epoch: 1, Body: &linkpb.RoomMessage_Want{Want: &linkpb.SnapshotRequest{}}}
		hear := func(node string) {
			b, err := proto.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			r.Receive(node, b)
			_ = r.call(func() {}) // what was received is done
		}
		serves := func(node string) bool {
			_, err := r.Serve(node, relay.TrackID("TR_1"))
			return err != ErrNotServing
		}
		for _, node := range []string{"far", "eve", "near"} {
			hear(node)
		}
		if serves("far") || serves("eve") || !serves("near") {
			t.Errorf("serves far: %v, eve: %v, near: %v; want only near", serves("far"), serves("eve"), serves("near"))
		}
		if got := env.told(); !slices.Equal(got, []string{"snapshot to near"}) {
			t.Errorf("told %v", got)
		}
		if n := env.refused.Of(guard.Node); n != 2 {
			t.Errorf("%d refused, want 2", n)
		}
		env.know("eve", "lyon")
		<-time.After(2 * time.Second)
		if !serves("eve") || serves("far") {
			t.Errorf("serves eve: %v, far: %v once gossip knows eve", serves("eve"), serves("far"))
		}
		if got := env.told(); !slices.Contains(got, "want to eve") {
			t.Errorf("told %v, nothing asked of eve", got)
		}
		env.know("eve", "")
		r.NodeGone("eve")
		_ = r.call(func() {})
		if serves("eve") {
			t.Error("serves eve, who is gone")
		}
		hear("eve")
		if !serves("eve") {
			t.Error("does not serve eve, who is back while gossip is not")
		}
	})
}
