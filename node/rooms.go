package node

import (
	"log/slog"
	"maps"
	"slices"
	"sync"

	"maille/node/room"
	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
)

// rooms are the rooms that this node serves, by name.
type rooms struct {
	env room.Env
	log *slog.Logger

	mu sync.Mutex
	// +guarded by mu.
	open map[string]*served
	shut bool

	ending sync.WaitGroup // rooms that close while the node goes on
}

// served is a room here, and whether the replicated state has been seen to list it:
// only then does its absence there mean that it was closed.
type served struct {
	room   *room.Room
	listed bool
}

func newRooms(env room.Env, log *slog.Logger) *rooms {
	return &rooms{env: env, log: log, open: make(map[string]*served)}
}

// get returns the room of a placement record, starting it here if need be. An older
// instance of the name gives way to a newer epoch.
func (rs *rooms) get(record *meshpb.Room) (*room.Room, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.shut {
		return nil, room.ErrClosed
	}
	s := rs.open[record.Name]
	if s != nil && s.room.Epoch() >= record.Epoch {
		return s.room, nil
	}
	if s != nil {
		rs.ending.Go(func() { s.room.Close(livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT) })
	}
	s = &served{room: room.New(rs.env, record, rs.log)}
	rs.open[record.Name] = s
	rs.log.Info("room opened here", "room", record.Name, "epoch", record.Epoch, "sid", record.Sid)
	return s.room, nil
}

// find returns a room that is open here, or nil.
func (rs *rooms) find(name string) *room.Room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if s := rs.open[name]; s != nil {
		return s.room
	}
	return nil
}

func (rs *rooms) all() []*room.Room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var out []*room.Room
	for _, name := range slices.Sorted(maps.Keys(rs.open)) {
		out = append(out, rs.open[name].room)
	}
	return out
}

// placed follows the replicated state: records change, closed rooms end. A room that has
// much to do takes its record when it comes to it, which must not keep the others waiting.
func (rs *rooms) placed(lookup func(name string) *meshpb.Room) {
	for r, record := range rs.follow(lookup) {
		r.Place(record)
	}
}

// follow returns the rooms here with their present records, and ends those without.
func (rs *rooms) follow(lookup func(name string) *meshpb.Room) map[*room.Room]*meshpb.Room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	out := make(map[*room.Room]*meshpb.Room)
	for name, s := range rs.open {
		record := lookup(name)
		switch {
		case record != nil && record.Epoch == s.room.Epoch():
			s.listed = true
			out[s.room] = record
		case s.listed || (record != nil && record.Epoch > s.room.Epoch()):
			delete(rs.open, name)
			rs.log.Info("room closed", "room", name, "epoch", s.room.Epoch())
			rs.ending.Go(func() { s.room.Close(livekit.DisconnectReason_ROOM_CLOSED, livekit.LeaveRequest_DISCONNECT) })
		}
	}
	return out
}

// report is what the leader is told of each room here.
func (rs *rooms) report() []*meshpb.RoomReport {
	var out []*meshpb.RoomReport
	for _, r := range rs.all() {
		n, emptyFor, visited := r.Empty()
		rep := &meshpb.RoomReport{
			Room: r.Name(), Epoch: r.Epoch(), Participants: uint32(n), EmptyForMs: emptyFor.Milliseconds(), Visited: visited,
		}
		out = append(out, rep)
	}
	return out
}

// close ends every room: clients are told to reconnect, which takes them to another
// node through the same name.
func (rs *rooms) close(reason livekit.DisconnectReason, action livekit.LeaveRequest_Action) {
	rs.mu.Lock()
	rs.shut = true
	open := rs.open
	rs.open = make(map[string]*served)
	rs.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range open {
		wg.Go(func() { s.room.Close(reason, action) })
	}
	wg.Wait()
	rs.ending.Wait()
}
