package placement

import (
	"time"

	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

const (
	// reportEvery is how often nodes report; a report older than reportLife counts as
	// no report.
	reportEvery = 2 * time.Second
	reportLife  = 4 * reportEvery
	// joinGrace keeps a room open after a join was answered: the participant is on the
	// way and no node has reported it yet.
	joinGrace = 30 * time.Second
	// holdDown is how long a node must be out of sight before its rooms let go of it,
	// so that flapping gossip moves nothing.
	holdDown = 10 * time.Second
	// idleAfter is how long a node serves a room for nobody while others have people.
	idleAfter = time.Minute
	// maxSteps bounds the commands of one turn; the rest follow in the next.
	maxSteps = 64

	// LiveKit's defaults for rooms that do not say.
	defaultEmptyTimeout     = 5 * time.Minute
	defaultDepartureTimeout = 20 * time.Second
)

// roomSteps returns what the leader should commit about rooms: unserving nodes that are
// gone or idle, closing rooms that are over. It is pure.
func roomSteps(st *state.State, p page) []*meshpb.Command {
	var out []*meshpb.Command
	for room := range st.Rooms() {
		if len(out) >= maxSteps {
			return out
		}
		if over(room, p) {
			out = append(out, &meshpb.Command{Body: &meshpb.Command_CloseRoom{CloseRoom: &meshpb.CloseRoom{
				Name: room.GetName(), Epoch: room.GetEpoch(),
			}}})
			continue
		}
		for _, node := range state.ServingNodes(room) {
			if p.gone(node) >= holdDown || idle(room, node, p) {
				out = append(out, &meshpb.Command{Body: &meshpb.Command_UnserveRoom{UnserveRoom: &meshpb.UnserveRoom{
					Name: room.GetName(), Epoch: room.GetEpoch(), Node: node,
				}}})
			}
		}
	}
	return out
}

// over reports whether every node serving room has said, under its current epoch and
// recently, that it has been empty for the room's timeout. One node's word never closes
// a room that others serve, and silence closes nothing.
func over(room *meshpb.Room, p page) bool {
	if fresh(p.joins[room.GetName()], p.now, joinGrace) {
		return false
	}
	nodes := state.ServingNodes(room)
	if len(nodes) == 0 {
		// All its nodes are gone; people on the way back find the room for a while.
		since, ok := p.orphans[room.GetEpoch()]
		return ok && p.now.Sub(since) >= max(departureTimeout(room), joinGrace)
	}
	empty := time.Duration(1<<63 - 1)
	visited := false
	for _, node := range nodes {
		d, v, ok := p.emptyFor(room, node)
		if !ok {
			return false
		}
		empty = min(empty, d)
		visited = visited || v
	}
	if visited {
		return empty >= departureTimeout(room)
	}
	return empty >= emptyTimeout(room)
}

// emptyFor returns for how long node has had nobody in room; ok is false if somebody
// is there, or if node has not said.
func (p page) emptyFor(room *meshpb.Room, node string) (d time.Duration, visited, ok bool) {
	rep, found := p.reports[node]
	if !found || !fresh(rep.at, p.now, reportLife) || p.gone(node) > 0 {
		return 0, false, false
	}
	r := rep.rooms[room.GetName()]
	if r == nil || r.GetEpoch() != room.GetEpoch() || r.GetParticipants() > 0 {
		return 0, false, false
	}
	return time.Duration(r.GetEmptyForMs())*time.Millisecond + p.now.Sub(rep.at), r.GetVisited(), true
}

func idle(room *meshpb.Room, node string, p page) bool {
	d, _, ok := p.emptyFor(room, node)
	return ok && d >= idleAfter && !fresh(p.joins[room.GetName()], p.now, joinGrace) && inhabited(room, p)
}

// inhabited reports whether some node has people in room.
func inhabited(room *meshpb.Room, p page) bool {
	for _, node := range state.ServingNodes(room) {
		rep := p.reports[node]
		r := rep.rooms[room.GetName()]
		if fresh(rep.at, p.now, reportLife) && r.GetEpoch() == room.GetEpoch() && r.GetParticipants() > 0 {
			return true
		}
	}
	return false
}

func fresh(at, now time.Time, life time.Duration) bool { return !at.IsZero() && now.Sub(at) <= life }

func emptyTimeout(r *meshpb.Room) time.Duration {
	if s := r.GetSettings().GetEmptyTimeoutS(); s > 0 {
		return time.Duration(s) * time.Second
	}
	return defaultEmptyTimeout
}

func departureTimeout(r *meshpb.Room) time.Duration {
	if s := r.GetSettings().GetDepartureTimeoutS(); s > 0 {
		return time.Duration(s) * time.Second
	}
	return defaultDepartureTimeout
}
