package placement

import (
	"context"
	"time"

	"maille/mesh/view"
	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

// reportLoop tells the leader what this node sees, and Raft what it does not know yet.
func (s *Service) reportLoop(ctx context.Context) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	empty := map[uint64]time.Time{} // by epoch: since when a room given to us is empty
	agreed := false
	for {
		changes := s.log.Changes()
		s.log.SetRTT(longest(s.cfg.View(), s.log.Servers()))
		if now := s.log.Leader(); now != "" && s.log.Initialised() {
			s.report(ctx, now, empty)
			agreed = s.word(ctx, agreed)
		}
		select {
		case <-tick.C:
		case <-changes:
		case <-ctx.Done():
			return
		}
	}
}

// report sends the whole of what this node sees of its rooms. A room the state gives to
// this node, but that nobody brought here yet, is reported empty.
func (s *Service) report(ctx context.Context, leader string, empty map[uint64]time.Time) {
	st, now := s.log.State(), s.now()
	var rooms []*meshpb.RoomReport
	if s.cfg.Rooms != nil {
		rooms = s.cfg.Rooms()
	}
	told := map[string]bool{}
	for _, r := range rooms {
		told[r.GetRoom()] = true
		s.recordServing(ctx, st, r)
	}
	given := map[uint64]bool{}
	for room := range st.Rooms() {
		if _, ok := state.Serving(room, s.cfg.Self); !ok || told[room.GetName()] {
			continue
		}
		given[room.GetEpoch()] = true
		since, ok := empty[room.GetEpoch()]
		if !ok {
			since = now
			empty[room.GetEpoch()] = now
		}
		rooms = append(rooms, &meshpb.RoomReport{
			Room: room.GetName(), Epoch: room.GetEpoch(), EmptyForMs: now.Sub(since).Milliseconds(),
		})
	}
	for epoch := range empty {
		if !given[epoch] {
			delete(empty, epoch)
		}
	}
	req := &meshpb.ReportRequest{
		Node: s.cfg.Self, Incarnation: s.log.Incarnation(), Applied: s.log.Applied(), Rooms: rooms,
	}
	if leader == s.cfg.Self {
		s.books.report(req, now)
		return
	}
	err := s.within(ctx, func(ctx context.Context) error {
		_, err := s.cfg.Forward.Report(ctx, leader, req)
		return err
	})
	if err != nil {
		s.logger.Debug("report", "leader", leader, "err", err)
	}
	s.flushPending(ctx)
}

// recordServing commits that this node serves a room, if people are here under the
// room's current epoch and Raft does not know.
func (s *Service) recordServing(ctx context.Context, st *state.State, r *meshpb.RoomReport) {
	room := st.Room(r.GetRoom())
	if r.GetParticipants() == 0 || room == nil || room.GetEpoch() != r.GetEpoch() {
		return
	}
	if _, ok := state.Serving(room, s.cfg.Self); ok {
		return
	}
	self, ok := s.cfg.View().Node(s.cfg.Self)
	if !ok {
		return
	}
	s.record(ctx, room.GetName(), unrecorded{epoch: room.GetEpoch(), region: self.Region, node: s.cfg.Self})
}

// flushPending records joins that were answered without a quorum.
func (s *Service) flushPending(ctx context.Context) {
	s.mu.Lock()
	pending := s.pending
	s.pending = map[string]unrecorded{}
	s.mu.Unlock()
	for room, u := range pending {
		s.record(ctx, room, u)
	}
}

func (s *Service) record(ctx context.Context, room string, u unrecorded) {
	err := s.within(ctx, func(ctx context.Context) error {
		_, err := s.Submit(ctx, &meshpb.Command{Body: &meshpb.Command_ServeRoom{ServeRoom: &meshpb.ServeRoom{
			Name: room, Epoch: u.epoch, Region: u.region, Node: u.node,
		}}})
		return err
	})
	if passing(err) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.pending) < maxPending {
			s.pending[room] = u
		}
	}
}

// word keeps this node and its record in step. A node that starts, or was given up for
// gone, says that it serves; once the record agrees, a record that turns to draining is
// an operator's order. It returns whether the record has agreed.
func (s *Service) word(ctx context.Context, agreed bool) bool {
	self, ok := s.cfg.View().Node(s.cfg.Self)
	rec := s.log.State().Node(s.cfg.Self)
	if !ok || self.State != view.Serving || rec.GetIncarnation() != s.log.Incarnation() {
		return agreed
	}
	switch rec.GetState() {
	case meshpb.NodeState_NODE_STATE_SERVING:
		return true
	case meshpb.NodeState_NODE_STATE_DRAINING:
		if agreed {
			if s.cfg.OnDrain != nil {
				s.cfg.OnDrain()
			}
			return true
		}
	}
	if err := s.within(ctx, func(ctx context.Context) error { return s.SetState(ctx, view.Serving) }); err != nil {
		s.logger.Warn("node state", "err", err)
	}
	return agreed
}
