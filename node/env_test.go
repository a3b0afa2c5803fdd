package node

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/node/config"
	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestICEServersAreTheOperators(t *testing.T) {
	n := &Node{cfg: config.Config{ICEServers: config.ICEServers{
		{URLs: []string{"stun:a"}},
		{URLs: []string{"turn:b", "turns:b"}, Username: "u", Credential: "c"},
	}}}
	want := []*livekit.ICEServer{
		{Urls: []string{"stun:a"}},
		{Urls: []string{"turn:b", "turns:b"}, Username: "u", Credential: "c"},
	}
	if diff := cmp.Diff(want, (&env{n}).ICEServers(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestRoomSettings(t *testing.T) {
	of := config.Room{EmptyTimeoutS: 1, DepartureTimeoutS: 2, MaxParticipants: 3, Loudest: 4, MinPlayoutDelayMS: 100, MaxPlayoutDelayMS: 200}
	for name, tt := range map[string]struct {
		token *livekit.RoomConfiguration
		want  *meshpb.RoomSettings
	}{
		"the operator's": {nil, &meshpb.RoomSettings{
			EmptyTimeoutS: 1, DepartureTimeoutS: 2, MaxParticipants: 3, Loudest: proto.Uint32(4), MinPlayoutDelayMs: 100, MaxPlayoutDelayMs: 200,
		}},
		"the token's": {
			&livekit.RoomConfiguration{EmptyTimeout: 10, DepartureTimeout: 20, MaxParticipants: 30, MinPlayoutDelay: 300, SyncStreams: true, Metadata: "m"},
			&meshpb.RoomSettings{EmptyTimeoutS: 10, DepartureTimeoutS: 20, MaxParticipants: 30, Loudest: proto.Uint32(4), MinPlayoutDelayMs: 300, SyncStreams: true, Metadata: "m"},
		},
	} {
		if diff := cmp.Diff(tt.want, roomSettings(of, tt.token), protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
