package placement

import (
	"maps"
	"sync"
	"time"

	"maille/mesh/view"
	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

// books is what the leader remembers beside the replicated state. It is lost with the
// lead: a new leader waits for news before it acts, so it errs towards keeping.
type books struct {
	mu      sync.Mutex
	reports map[string]report    // under mu, by node
	joins   map[string]time.Time // under mu, by room: last join answered
	seen    map[string]sighting  // under mu, by node
	orphans map[uint64]time.Time // under mu, by room epoch: since when nobody serves it
}

// report is the last word of a node about its rooms.
type report struct {
	at          time.Time
	incarnation string
	applied     uint64
	rooms       map[string]*meshpb.RoomReport
}

// sighting is how long a node has been there, or been gone.
type sighting struct {
	incarnation string
	since       time.Time // first seen in this incarnation without a gap
	lost        time.Time // first missed; zero while it is there
}

func newBooks() books {
	return books{
		reports: map[string]report{},
		joins:   map[string]time.Time{},
		seen:    map[string]sighting{},
		orphans: map[uint64]time.Time{},
	}
}

// reset forgets everything, at the start of a term as leader.
func (b *books) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.reports)
	clear(b.joins)
	clear(b.seen)
	clear(b.orphans)
}

func (b *books) report(r *meshpb.ReportRequest, now time.Time) {
	rooms := make(map[string]*meshpb.RoomReport, len(r.GetRooms()))
	for _, room := range r.GetRooms() {
		rooms[room.GetRoom()] = room
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports[r.GetNode()] = report{at: now, incarnation: r.GetIncarnation(), applied: r.GetApplied(), rooms: rooms}
}

func (b *books) joined(room string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.joins[room] = now
}

// forgetAfter is when a node out of sight is dropped from the books.
const forgetAfter = 48 * time.Hour

// update brings the books up to date. known are nodes that count as missing when the
// view lacks them.
func (b *books) update(v view.Snapshot, st *state.State, known []string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sight(v, known, now)
	orphans := map[uint64]time.Time{}
	for room := range st.Rooms() {
		if len(room.GetServing()) == 0 {
			orphans[room.GetEpoch()] = now
			if since, ok := b.orphans[room.GetEpoch()]; ok {
				orphans[room.GetEpoch()] = since
			}
		}
	}
	b.orphans = orphans
	for room, at := range b.joins {
		if now.Sub(at) > joinGrace {
			delete(b.joins, room)
		}
	}
}

// sight must be called with mu held.
func (b *books) sight(v view.Snapshot, known []string, now time.Time) {
	for _, n := range v.Nodes {
		old, ok := b.seen[n.Name]
		if !ok || !old.lost.IsZero() || old.incarnation != n.Incarnation {
			b.seen[n.Name] = sighting{incarnation: n.Incarnation, since: now}
		}
	}
	for _, name := range known {
		if _, ok := b.seen[name]; !ok {
			b.seen[name] = sighting{lost: now}
		}
	}
	for name, s := range b.seen {
		if _, ok := v.Node(name); ok {
			continue
		}
		if s.lost.IsZero() {
			s.lost = now
			b.seen[name] = s
		}
		if now.Sub(s.lost) > forgetAfter {
			delete(b.seen, name)
			delete(b.reports, name)
		}
	}
}

// page is a copy of the books that decisions are made from.
type page struct {
	now     time.Time
	reports map[string]report
	joins   map[string]time.Time
	seen    map[string]sighting
	orphans map[uint64]time.Time
}

func (b *books) open(now time.Time) page {
	b.mu.Lock()
	defer b.mu.Unlock()
	return page{now: now, reports: maps.Clone(b.reports), joins: maps.Clone(b.joins), seen: maps.Clone(b.seen), orphans: maps.Clone(b.orphans)}
}

// gone returns for how long a node has been out of sight, 0 if it is in sight.
func (p page) gone(node string) time.Duration {
	if s, ok := p.seen[node]; ok && !s.lost.IsZero() {
		return p.now.Sub(s.lost)
	}
	return 0
}

// there returns for how long a node has been in sight in one incarnation.
func (p page) there(node string) time.Duration {
	if s, ok := p.seen[node]; ok && s.lost.IsZero() {
		return p.now.Sub(s.since)
	}
	return 0
}
