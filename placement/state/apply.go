package state

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	meshpb "maille/proto/mesh"
)

// Apply returns the state after cmd and the outcome for whoever proposed it. A refused
// command returns s itself. Both returned values are immutable. Apply reads no clock
// and draws no random number.
func Apply(s *State, cmd *meshpb.Command) (*State, *meshpb.Result) {
	switch b := cmd.GetBody().(type) {
	case *meshpb.Command_OpenRoom:
		return openRoom(s, cmd.GetNowMs(), b.OpenRoom)
	case *meshpb.Command_ServeRoom:
		return serveRoom(s, b.ServeRoom)
	case *meshpb.Command_UnserveRoom:
		return unserveRoom(s, b.UnserveRoom)
	case *meshpb.Command_UpdateRoom:
		return updateRoom(s, b.UpdateRoom)
	case *meshpb.Command_CloseRoom:
		return closeRoom(s, b.CloseRoom)
	case *meshpb.Command_SetNode:
		return setNode(s, cmd.GetNowMs(), b.SetNode)
	case *meshpb.Command_ForgetNode:
		return forgetNode(s, b.ForgetNode)
	default:
		// A newer node's command: every replica of this version ignores it alike.
		return refuse(s, meshpb.Error_INVALID, "unknown command")
	}
}

func refuse(s *State, kind meshpb.Error_Kind, format string, args ...any) (*State, *meshpb.Result) {
	return s, &meshpb.Result{Error: &meshpb.Error{Kind: kind, Message: fmt.Sprintf(format, args...)}}
}

// openRoom is idempotent: two nodes that open one name at once get one room, and both
// are recorded as serving it.
func openRoom(s *State, nowMs int64, c *meshpb.OpenRoom) (*State, *meshpb.Result) {
	if r := s.Room(c.GetName()); r != nil {
		return serve(s, r, c.GetRegion(), c.GetNode())
	}
	switch {
	case !validName(c.GetName()) || !validName(c.GetSid()):
		return refuse(s, meshpb.Error_INVALID, "room name and sid must be 1 to %d bytes", MaxName)
	case len(s.rooms) >= MaxRooms:
		return refuse(s, meshpb.Error_FULL, "%d rooms exist", MaxRooms)
	case s.bytes+proto.Size(c.GetSettings()) > MaxBytes:
		return refuse(s, meshpb.Error_FULL, "rooms hold %d bytes", s.bytes)
	}
	if msg := checkSettings(c.GetSettings()); msg != "" {
		return refuse(s, meshpb.Error_INVALID, "room %q: %s", c.GetName(), msg)
	}
	r := &meshpb.Room{
		Name:      c.GetName(),
		Sid:       c.GetSid(),
		Epoch:     s.epoch + 1,
		CreatedMs: nowMs,
		Settings:  proto.CloneOf(c.GetSettings()),
	}
	if r.Settings == nil {
		r.Settings = &meshpb.RoomSettings{}
	}
	next := s
	if c.GetNode() != "" {
		var res *meshpb.Result
		if next, res = serve(s, r, c.GetRegion(), c.GetNode()); res.GetError() != nil {
			return s, res
		}
		r = res.GetRoom()
	} else {
		next = s.withRoom(r)
	}
	opened := *next
	opened.epoch = r.GetEpoch()
	return &opened, &meshpb.Result{Room: r, Created: true}
}

func serveRoom(s *State, c *meshpb.ServeRoom) (*State, *meshpb.Result) {
	r, bad := s.current(c.GetName(), c.GetEpoch())
	if bad != nil {
		return s, bad
	}
	return serve(s, r, c.GetRegion(), c.GetNode())
}

// serve adds node to r. A node serves a room in one region only: the region it is in.
func serve(s *State, r *meshpb.Room, region, node string) (*State, *meshpb.Result) {
	switch {
	case !validName(node) || !validName(region):
		return refuse(s, meshpb.Error_INVALID, "room %q: node and region must be 1 to %d bytes", r.GetName(), MaxName)
	case !Allowed(r.GetSettings(), region):
		return refuse(s, meshpb.Error_REGION_NOT_ALLOWED, "room %q may not be served in region %q", r.GetName(), region)
	}
	if n := s.Node(node); n != nil && n.GetState() == meshpb.NodeState_NODE_STATE_LEFT {
		return refuse(s, meshpb.Error_NO_NODE, "node %q has left", node)
	}
	if at, ok := Serving(r, node); ok && at == region {
		return s, &meshpb.Result{Room: r}
	}
	if len(ServingNodes(r)) >= MaxServing {
		return refuse(s, meshpb.Error_FULL, "room %q is served by %d nodes", r.GetName(), MaxServing)
	}
	r = without(r, node)
	if r.Serving == nil {
		r.Serving = map[string]*meshpb.NodeList{}
	}
	l := r.Serving[region]
	if l == nil {
		l = &meshpb.NodeList{}
		r.Serving[region] = l
	}
	i, _ := slices.BinarySearch(l.Nodes, node)
	l.Nodes = slices.Insert(l.Nodes, i, node)
	return s.withRoom(r), &meshpb.Result{Room: r}
}

func unserveRoom(s *State, c *meshpb.UnserveRoom) (*State, *meshpb.Result) {
	r, bad := s.current(c.GetName(), c.GetEpoch())
	if bad != nil {
		return s, bad
	}
	if _, ok := Serving(r, c.GetNode()); !ok {
		return s, &meshpb.Result{Room: r}
	}
	r = without(r, c.GetNode())
	return s.withRoom(r), &meshpb.Result{Room: r}
}

func updateRoom(s *State, c *meshpb.UpdateRoom) (*State, *meshpb.Result) {
	r, bad := s.current(c.GetName(), c.GetEpoch())
	if bad != nil {
		return s, bad
	}
	if msg := checkSettings(c.GetSettings()); msg != "" {
		return refuse(s, meshpb.Error_INVALID, "room %q: %s", c.GetName(), msg)
	}
	for region := range r.GetServing() {
		if !Allowed(c.GetSettings(), region) {
			return refuse(s, meshpb.Error_REGION_NOT_ALLOWED, "room %q is served in region %q", c.GetName(), region)
		}
	}
	if s.bytes+proto.Size(c.GetSettings()) > MaxBytes {
		return refuse(s, meshpb.Error_FULL, "rooms hold %d bytes", s.bytes)
	}
	r = proto.CloneOf(r)
	r.Settings = proto.CloneOf(c.GetSettings())
	if r.Settings == nil {
		r.Settings = &meshpb.RoomSettings{}
	}
	return s.withRoom(r), &meshpb.Result{Room: r}
}

func closeRoom(s *State, c *meshpb.CloseRoom) (*State, *meshpb.Result) {
	r, bad := s.current(c.GetName(), c.GetEpoch())
	if bad != nil {
		return s, bad
	}
	return s.withoutRoom(r.GetName()), &meshpb.Result{Room: r}
}

// setNode records what a node said of itself. A node that left serves nothing.
func setNode(s *State, nowMs int64, c *meshpb.SetNode) (*State, *meshpb.Result) {
	old := s.Node(c.GetNode())
	switch {
	case !validName(c.GetNode()) || !validName(c.GetRegion()) || !validName(c.GetIncarnation()):
		return refuse(s, meshpb.Error_INVALID, "node name, region and incarnation must be 1 to %d bytes", MaxName)
	case c.GetState() < meshpb.NodeState_NODE_STATE_SERVING || c.GetState() > meshpb.NodeState_NODE_STATE_LEFT:
		return refuse(s, meshpb.Error_INVALID, "node state %d", c.GetState())
	case old == nil && len(s.nodes) >= MaxNodes:
		return refuse(s, meshpb.Error_FULL, "%d nodes recorded", MaxNodes)
	case old != nil && old.GetState() == c.GetState() && old.GetIncarnation() == c.GetIncarnation() && old.GetRegion() == c.GetRegion():
		return s, &meshpb.Result{}
	case c.GetMirrored() && old != nil && old.GetIncarnation() == c.GetIncarnation() && old.GetState() > c.GetState():
		return s, &meshpb.Result{}
	}
	next := s.withNode(&meshpb.NodeRecord{
		Name:        c.GetNode(),
		Incarnation: c.GetIncarnation(),
		State:       c.GetState(),
		Region:      c.GetRegion(),
		ChangedMs:   nowMs,
	})
	if c.GetState() == meshpb.NodeState_NODE_STATE_LEFT {
		next.rooms = slices.Clone(next.rooms)
		for i, r := range next.rooms {
			if _, ok := Serving(r, c.GetNode()); ok {
				next.rooms[i] = without(r, c.GetNode())
				next.bytes += proto.Size(next.rooms[i]) - proto.Size(r)
			}
		}
	}
	return next, &meshpb.Result{}
}

func forgetNode(s *State, c *meshpb.ForgetNode) (*State, *meshpb.Result) {
	switch n := s.Node(c.GetNode()); {
	case n == nil:
		return refuse(s, meshpb.Error_NOT_FOUND, "node %q is not recorded", c.GetNode())
	case n.GetState() != meshpb.NodeState_NODE_STATE_LEFT:
		return refuse(s, meshpb.Error_INVALID, "node %q has not left", c.GetNode())
	}
	return s.withoutNode(c.GetNode()), &meshpb.Result{}
}

// current returns the named room if epoch is its own; nothing acts under another one.
func (s *State) current(name string, epoch uint64) (*meshpb.Room, *meshpb.Result) {
	r := s.Room(name)
	if r == nil {
		_, res := refuse(s, meshpb.Error_NOT_FOUND, "room %q does not exist", name)
		return nil, res
	}
	if r.GetEpoch() != epoch {
		_, res := refuse(s, meshpb.Error_STALE_EPOCH, "room %q is at epoch %d, not %d", name, r.GetEpoch(), epoch)
		res.Room = r
		return nil, res
	}
	return r, nil
}

// without returns a copy of r that node does not serve.
func without(r *meshpb.Room, node string) *meshpb.Room {
	r = proto.CloneOf(r)
	for region, l := range r.GetServing() {
		if i, ok := slices.BinarySearch(l.GetNodes(), node); ok {
			l.Nodes = slices.Delete(l.Nodes, i, i+1)
			if len(l.Nodes) == 0 {
				delete(r.Serving, region)
			}
		}
	}
	return r
}

func validName(s string) bool { return s != "" && len(s) <= MaxName && utf8.ValidString(s) }

func checkSettings(c *meshpb.RoomSettings) string {
	switch {
	case len(c.GetMetadata()) > MaxMetadata || !utf8.ValidString(c.GetMetadata()):
		return fmt.Sprintf("metadata over %d bytes or not UTF-8", MaxMetadata)
	case len(c.GetAllowedRegions()) > MaxRegions:
		return fmt.Sprintf("more than %d allowed regions", MaxRegions)
	}
	for _, r := range c.GetAllowedRegions() {
		if !validName(r) {
			return "empty or oversized allowed region"
		}
	}
	return ""
}
