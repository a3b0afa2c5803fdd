package node

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/node/config"
	"maille/proto/livekit"
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
