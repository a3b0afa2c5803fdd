package node

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"maille/node/room"
	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
)

// stuck is a node on which a room can be kept from going on.
type stuck struct {
	room.Env
	gate chan struct{}
	on   atomic.Bool
}

func (s *stuck) Now() time.Time { return time.Now() }
func (s *stuck) Self() string {
	if s.on.Load() {
		<-s.gate
	}
	return "paris"
}

// A room that is behind with its work keeps nobody from finding the others.
func TestRoomsAreFoundWhileOneIsBehind(t *testing.T) {
	env := &stuck{gate: make(chan struct{})}
	rs := newRooms(env, slog.New(slog.DiscardHandler))
	record := func(name string) *meshpb.Room {
		return &meshpb.Room{Name: name, Sid: "RM_" + name, Epoch: 1, Serving: map[string]*meshpb.NodeList{"paris": {Nodes: []string{"paris"}}}}
	}
	busy, err := rs.get(record("busy"))
	if err != nil {
		t.Fatal(err)
	}
	env.on.Store(true)
	filled := make(chan struct{})
	go func() {
		defer close(filled)
		for range 2000 { // more than may wait for a room
			busy.Place(record("busy"))
		}
	}()
	placed := make(chan struct{})
	go func() {
		defer close(placed)
		for range 2000 {
			rs.placed(record)
		}
	}()
	found := make(chan struct{})
	go func() {
		defer close(found)
		for range 2000 {
			<-time.After(time.Microsecond)
			rs.find("other")
		}
	}()
	select {
	case <-found:
	case <-time.After(time.Minute):
		t.Error("the busy room keeps others from being found")
	}
	env.on.Store(false)
	close(env.gate)
	<-filled
	<-placed
	<-found
	rs.close(livekit.DisconnectReason_SERVER_SHUTDOWN, livekit.LeaveRequest_RECONNECT)
}
