package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"maille/mesh/view"
	"maille/node/obs"
	"maille/node/room"
	"maille/placement/consensus"
	adminpb "maille/proto/admin"
	meshpb "maille/proto/mesh"
	"maille/relay/link"
)

// admin answers operators on the loopback port, and other nodes' questions for their
// operators on the cluster port.
type admin struct {
	adminpb.UnimplementedAdminServer
	n *Node
}

// Admin is the operators' service, for programs that embed a node.
func (n *Node) Admin() adminpb.AdminServer { return &admin{n: n} }

// askTimeout bounds what one node waits for another when it gathers an answer.
const askTimeout = 2 * time.Second

func (a *admin) Status(context.Context, *adminpb.StatusRequest) (*adminpb.StatusResponse, error) {
	n := a.n
	v, st := n.gossip.Snapshot(), n.raft.State()
	leader := n.raft.Leader()
	out := &adminpb.StatusResponse{Self: n.self.Name, Leader: leader, Quorum: n.raft.Quorum(), AtMs: n.now().UnixMilli()}
	roles := make(map[string]string)
	for _, s := range n.raft.Servers() {
		roles[s.Name] = "nonvoter"
		if s.Voter {
			roles[s.Name] = "voter"
		}
	}
	rtts := make(map[string]float64)
	totals := n.meters.totals()
	for _, peer := range n.peers(v) {
		l := &adminpb.LinkStatus{Node: n.self.Name, Peer: peer}
		if s := n.links.Session(peer); s != nil {
			fillLink(l, s.Stats(), totals)
		}
		rtts[peer] = l.RttMs
		out.Links = append(out.Links, l)
	}
	for _, m := range v.Nodes {
		role := roles[m.Name]
		switch {
		case m.Name == leader:
			role = "leader"
		case role == "":
			role = "none"
		}
		out.Nodes = append(out.Nodes, nodeStatus(m, role, rtts[m.Name], n.now()))
	}
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		if _, seen := v.Node(name); !seen {
			out.Nodes = append(out.Nodes, &adminpb.NodeStatus{Name: name, Raft: roles[name], State: "unknown", Stale: true})
		}
	}
	for r := range st.Rooms() {
		out.Rooms = append(out.Rooms, n.roomStatus(r))
	}
	for _, here := range n.rooms.all() {
		if record := here.Record(); record != nil && st.Room(record.Name) == nil {
			r := n.roomStatus(record)
			r.Unrecorded = true
			out.Rooms = append(out.Rooms, r)
		}
	}
	out.LinksRefused, out.LinksUnsent = n.links.Refused(), n.links.Unsent()
	return out, nil
}

// peers names every other node of the cluster, and with them those that have a link and
// that gossip does not know: a certificate is all that a link takes.
func (n *Node) peers(v view.Snapshot) []string {
	var out []string
	for _, m := range v.Nodes {
		if m.Name != n.self.Name && m.State != view.Left {
			out = append(out, m.Name)
		}
	}
	for _, s := range n.links.Sessions() {
		if !slices.Contains(out, s.Peer()) {
			out = append(out, s.Peer())
		}
	}
	return out
}

// proven reports whether a node that gossip knows has shown a certificate of its name:
// whoever has gossip's key can bring names, and Raft's servers are those that answered the
// leader with theirs. Where none are known yet all count.
func (n *Node) proven(name string) bool {
	servers := n.raft.Servers()
	return len(servers) == 0 || name == n.self.Name ||
		slices.ContainsFunc(servers, func(s consensus.Server) bool { return s.Name == name })
}

func nodeStatus(m view.Node, role string, rtt float64, now time.Time) *adminpb.NodeStatus {
	return &adminpb.NodeStatus{
		Name: m.Name, Region: m.Region, Version: m.Version, State: m.State.String(), Raft: role, Signal: m.Signal,
		Rooms: uint32(m.Load.Rooms), Participants: uint32(m.Load.Participants), Tracks: uint32(m.Load.Tracks),
		BitsIn: m.Load.BitsIn, BitsOut: m.Load.BitsOut, Cpu: m.Load.CPU,
		UptimeMs: now.Sub(m.Started).Milliseconds(), RttMs: rtt,
	}
}

// fillLink describes a session. What streams count and take with them when they end
// comes from the totals, which are up to two seconds behind.
func fillLink(l *adminpb.LinkStatus, st link.Stats, totals map[obs.Key]obs.Counts) {
	const bits = 8
	l.Up = true
	l.RttMs, l.QueueMs = ms(st.RTT), ms(st.Queue)
	l.Loss, l.Lanes, l.EstimateBps = st.Loss, uint32(st.Lanes), st.Cap*bits
	l.PacketsOut, l.BytesOut = st.Sent.Packets, st.Sent.Bytes
	l.PacketsIn, l.BytesIn = st.Received.Packets, st.Received.Bytes
	l.DemandBps = st.Demand * bits
	l.RepairsAsked, l.RepairsAnswered, l.RepairsLate = st.Asked, st.Answered, st.RepairsLate
	l.Drops, l.Refused, l.Excess = st.Drops, st.Refusals, st.Excess
	l.Lost = totals[obs.Key{Where: obs.LinkIn, Peer: l.Peer}].Lost
	for _, t := range st.Streams {
		if t.Outgoing {
			l.StreamsOut++
		} else {
			l.StreamsIn++
		}
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (n *Node) roomStatus(r *meshpb.Room) *adminpb.RoomStatus {
	heard := uint32(room.Heard(r.Settings))
	out := &adminpb.RoomStatus{Name: r.Name, Sid: r.Sid, Epoch: r.Epoch, CreatedMs: r.CreatedMs, Loudest: &heard}
	for _, region := range slices.Sorted(maps.Keys(r.Serving)) {
		out.Serving = append(out.Serving, &adminpb.Serving{Region: region, Nodes: r.Serving[region].Nodes})
	}
	if here := n.rooms.find(r.Name); here != nil {
		out.Participants = uint32(here.People())
	}
	return out
}

func (a *admin) RoomShow(ctx context.Context, req *adminpb.RoomShowRequest) (*adminpb.RoomShowResponse, error) {
	n := a.n
	record := n.raft.State().Room(req.Room)
	here := n.rooms.find(req.Room)
	unrecorded := record == nil
	if unrecorded && here != nil {
		record = here.Record()
	}
	if record == nil {
		return nil, status.Errorf(codes.NotFound, "no room named %q", req.Room)
	}
	out := &adminpb.RoomShowResponse{Room: n.roomStatus(record)}
	out.Room.Unrecorded = unrecorded
	if here != nil {
		out.Nodes = append(out.Nodes, n.showRoom(here))
	}
	if req.LocalOnly {
		return out, nil
	}
	var wg sync.WaitGroup
	var mu sync.Mutex // guards out
	for _, list := range record.Serving {
		for _, peer := range list.Nodes {
			if peer == n.self.Name {
				continue
			}
			wg.Go(func() {
				shown, err := n.askRoom(ctx, peer, req.Room)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					out.Unreachable = append(out.Unreachable, peer)
					return
				}
				out.Nodes = append(out.Nodes, shown...)
			})
		}
	}
	wg.Wait()
	slices.SortFunc(out.Nodes, func(a, b *adminpb.NodeRoom) int {
		if a.Node < b.Node {
			return -1
		}
		return 1
	})
	return out, nil
}

// askRoom asks another serving node for its part.
func (n *Node) askRoom(ctx context.Context, peer, name string) ([]*adminpb.NodeRoom, error) {
	m, ok := n.gossip.Snapshot().Node(peer)
	if !ok {
		return nil, fmt.Errorf("node: %s is not in the cluster's view", peer)
	}
	cc, err := n.pool.Conn(peer, m.Cluster)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	res, err := adminpb.NewAdminClient(cc).RoomShow(ctx, &adminpb.RoomShowRequest{Room: name, LocalOnly: true})
	if err != nil {
		return nil, err
	}
	return res.Nodes, nil
}

// showRoom adds the links' view to the room's own.
func (n *Node) showRoom(r *room.Room) *adminpb.NodeRoom {
	out := r.Show()
	tracks := make(map[string]*adminpb.TrackStatus)
	for _, t := range out.Tracks {
		tracks[t.Sid] = t
	}
	for _, s := range n.links.Sessions() {
		for _, st := range s.Stats().Streams {
			t := tracks[st.Track]
			if t == nil {
				continue
			}
			direction := "in"
			if st.Outgoing {
				direction = "out"
			}
			t.Crossings = append(t.Crossings, &adminpb.CrossingStatus{
				Peer: s.Peer(), Direction: direction, Layers: room.Layers(st.Kind, st.Layers),
				Packets: st.Packets, Bytes: st.Bytes, Lost: st.Lost, Repaired: st.Repaired, Shed: st.Shed, Transport: "quic",
			})
		}
	}
	return out
}
