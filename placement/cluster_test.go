package placement

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"maille/bench/sim"
	"maille/mesh/view"
	"maille/placement/consensus"
	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

const (
	raftPort = ":7884"
	grpcPort = ":7885"
	// gossipLag is how long gossip takes to notice a node that vanished.
	gossipLag = 3 * time.Second
)

// mesh is whole placement nodes on a virtual network: raft and gRPC over 20 ms links,
// and a gossip the test plays.
type mesh struct {
	t   *testing.T
	net *sim.Network
	dir string

	mu    sync.Mutex
	nodes map[string]*node     // under mu: all ever started, by name
	gone  map[string]time.Time // under mu: when a node vanished, or gossip lost it
	rtt   map[[2]string]time.Duration
	// strangers are under mu: names that gossip brings and nobody answers to.
	strangers []view.Node
}

type node struct {
	name string
	host *sim.Host
	raft *consensus.Consensus
	svc  *Service
	stop func()

	mu    sync.Mutex
	self  view.Node                     // under mu
	rooms map[string]*meshpb.RoomReport // under mu
}

func newMesh(t *testing.T, dir string, names ...string) *mesh {
	m := &mesh{t: t, net: sim.New(1), dir: dir, nodes: map[string]*node{}, gone: map[string]time.Time{}}
	m.net.Default(sim.Path{Delay: 10 * time.Millisecond})
	for i, name := range names {
		m.start(name, m.net.Host(name, name[:1], fmt.Sprintf("10.0.0.%d", i+1)), 3)
	}
	return m
}

// view is what gossip tells on any node that is up.
func (m *mesh) view(self string) view.Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := view.Snapshot{Self: self, At: time.Now(), RTT: m.rtt}
	for _, name := range slices.Sorted(maps.Keys(m.nodes)) {
		if at, ok := m.gone[name]; ok && time.Since(at) >= gossipLag {
			continue
		}
		n := m.nodes[name]
		n.mu.Lock()
		v.Nodes = append(v.Nodes, n.self)
		n.mu.Unlock()
	}
	v.Nodes = append(v.Nodes, m.strangers...)
	slices.SortFunc(v.Nodes, func(a, b view.Node) int { return cmp.Compare(a.Name, b.Name) })
	return v
}

func (m *mesh) start(name string, host *sim.Host, expect int) *node {
	m.t.Helper()
	listen := func(port string) net.Listener {
		ln, err := host.Listen("tcp", host.IP().String()+port)
		if err != nil {
			m.t.Fatal(err)
		}
		return ln
	}
	dial := func(port string) func(context.Context, string) (net.Conn, error) {
		return func(ctx context.Context, node string) (net.Conn, error) {
			return host.DialContext(ctx, "tcp", m.node(node).host.IP().String()+port)
		}
	}
	n := &node{name: name, host: host, rooms: map[string]*meshpb.RoomReport{}}
	var log *slog.Logger
	if os.Getenv("PLACEMENT_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("on", name)
	}
	var err error
	n.raft, err = consensus.Open(consensus.Config{Name: name, Dir: m.storeDir(name), Listener: listen(raftPort), Dial: dial(raftPort), Log: log})
	if err != nil {
		m.t.Fatal(err)
	}
	n.self = view.Node{Name: name, Region: name[:1], Incarnation: n.raft.Incarnation(), Voter: true, Started: time.Now()}
	conns := &pool{conns: map[string]*grpc.ClientConn{}, dial: dial(grpcPort)}
	n.svc, err = New(Config{
		Self: name, Log: n.raft, View: func() view.Snapshot { return m.view(name) }, Forward: GRPC(conns.get),
		Rooms: n.report, BootstrapExpect: expect, Logger: log,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	server := grpc.NewServer()
	meshpb.RegisterPlacementServer(server, n.svc.Server())
	m.mu.Lock()
	m.nodes[name] = n
	delete(m.gone, name)
	m.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	ln := listen(grpcPort)
	tasks.Go(func() { server.Serve(ln) })
	tasks.Go(func() { n.svc.Run(ctx) })
	n.stop = func() {
		cancel()
		server.Stop()
		conns.close()
		tasks.Wait()
		if err := n.raft.Close(); err != nil {
			m.t.Error(err)
		}
	}
	return n
}

func (m *mesh) storeDir(name string) string {
	if m.dir == "" {
		return ""
	}
	return m.dir + "/" + name
}

func (m *mesh) node(name string) *node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes[name]
}

// kill is kill -9 of the host: it falls silent, and gossip notices later.
func (m *mesh) kill(name string) {
	m.net.Kill(name)
	m.mu.Lock()
	n := m.nodes[name]
	m.gone[name] = time.Now()
	m.mu.Unlock()
	n.stop()
}

func (m *mesh) up() []*node {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*node
	for _, name := range slices.Sorted(maps.Keys(m.nodes)) {
		if _, gone := m.gone[name]; !gone {
			out = append(out, m.nodes[name])
		}
	}
	return out
}

func (m *mesh) close() {
	for _, n := range m.up() {
		n.stop()
	}
	m.net.Close()
}

func (m *mesh) wait(what string, within time.Duration, cond func() bool) {
	m.t.Helper()
	for began := time.Now(); !cond(); <-time.After(20 * time.Millisecond) {
		if time.Since(began) > within {
			m.t.Fatalf("no %s within %v", what, within)
		}
	}
}

// leader waits until everybody follows one leader who leads as many voters as wanted.
func (m *mesh) leader(servers, voters int) *node {
	m.t.Helper()
	var l *node
	m.wait(fmt.Sprintf("leader of %d servers, %d voting", servers, voters), 2*time.Minute, func() bool {
		for _, n := range m.up() {
			if n.raft.IsLeader() {
				l = n
			}
		}
		if l == nil {
			return false
		}
		got, voting := l.raft.Servers(), 0
		for _, s := range got {
			if s.Voter {
				voting++
			}
		}
		for _, n := range m.up() {
			if n.raft.Leader() != l.name {
				return false
			}
		}
		return len(got) == servers && voting == voters
	})
	return l
}

func (m *mesh) join(from *node, room, region string) Assignment {
	m.t.Helper()
	a, err := from.svc.Join(m.t.Context(), Request{Room: room, Region: region})
	if err != nil {
		m.t.Fatalf("join %s from %s: %v", room, from.name, err)
	}
	return a
}

// joinAgain asks again while nobody leads.
func (m *mesh) joinAgain(from *node, room, region string) (a Assignment) {
	m.t.Helper()
	m.wait(room, time.Minute, func() bool {
		var err error
		a, err = from.svc.Join(m.t.Context(), Request{Room: room, Region: region})
		return err == nil
	})
	return a
}

func (n *node) report() []*meshpb.RoomReport {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []*meshpb.RoomReport
	for _, r := range n.rooms {
		out = append(out, r)
	}
	return out
}

// people puts people of a room on the node it was assigned to.
func (n *node) people(a Assignment, people uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rooms[a.Room] = &meshpb.RoomReport{Room: a.Room, Epoch: a.Epoch, Participants: people, Visited: true}
}

// pool is client connections over the virtual network.
type pool struct {
	mu    sync.Mutex
	conns map[string]*grpc.ClientConn // under mu
	dial  func(context.Context, string) (net.Conn, error)
}

func (p *pool) get(node string) (grpc.ClientConnInterface, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.conns[node]; ok {
		return c, nil
	}
	c, err := grpc.NewClient("passthrough:///"+node, grpc.WithContextDialer(p.dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		p.conns[node] = c
	}
	return c, err
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
}

// TestLeaderKilled: the leader vanishes without a word. A survivor places a new room
// within 5 s, in one call, and never on the dead node once gossip knows. Raft draws its
// timeouts, and votes may split again and again: once in a thousand times it takes longer.
func TestLeaderKilled(t *testing.T) {
	var took []time.Duration
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			m := newMesh(t, "", "l1", "m1", "p1")
			defer m.close()
			l := m.leader(3, 3)
			first := m.join(m.up()[0], "before", "l")
			m.kill(l.name)
			began := time.Now()
			survivors := m.up()
			a := m.joinAgain(survivors[0], "after", survivors[1].self.Region)
			took = append(took, time.Since(began))
			if a.Epoch <= first.Epoch || a.Node != survivors[1].name || !a.Created {
				t.Errorf("%+v", a)
			}
			<-time.After(gossipLag)
			if b := m.join(survivors[1], "later", l.self.Region); b.Node == l.name {
				t.Errorf("%s is dead", b.Node)
			}
			// The room it served lets go of it, and its people's region gets another node.
			if first.Node == l.name {
				m.wait("unserving", 30*time.Second, func() bool {
					_, ok := state.Serving(survivors[0].raft.State().Room("before"), l.name)
					return !ok
				})
			}
		})
	}
	slices.Sort(took)
	if t.Logf("%v", took); len(took) == 10 && took[6] > 5*time.Second {
		t.Error("more than three of 10 took over 5 s")
	}
}

// TestTwoCreate: two nodes open one room at once: one instance, both are told of it.
func TestTwoCreate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "", "l1", "m1", "p1")
		defer m.close()
		m.leader(3, 3)
		got := make(chan Assignment, 3)
		for _, n := range m.up() {
			go func() { got <- m.join(n, "a", n.self.Region) }()
		}
		created := 0
		for range 3 {
			a := <-got
			if a.Epoch != 1 {
				t.Errorf("%+v", a)
			}
			if a.Created {
				created++
			}
		}
		if created != 1 {
			t.Errorf("created %d times", created)
		}
	})
}

// TestRoomLife: a room stays while people are anywhere, closes when all nodes are empty,
// and comes back under a higher epoch.
func TestRoomLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "", "l1", "m1", "p1")
		defer m.close()
		m.leader(3, 3)
		l1, p1 := m.node("l1"), m.node("p1")
		a := m.join(l1, "a", "l")
		b := m.join(p1, "a", "p")
		l1.people(a, 2)
		p1.people(b, 0)
		<-time.After(10 * time.Minute)
		for _, n := range m.up() {
			if n.raft.State().Room("a").GetEpoch() != a.Epoch {
				t.Fatalf("%s: the room closed over two people's heads", n.name)
			}
		}
		for _, n := range []*node{l1, p1} {
			n.mu.Lock()
			delete(n.rooms, "a") // all gone: the services report it empty from now on
			n.mu.Unlock()
		}
		m.wait("closing", defaultEmptyTimeout+time.Minute, func() bool { return p1.raft.State().Room("a") == nil })
		if c := m.join(p1, "a", "l"); c.Epoch <= a.Epoch || !c.Created {
			t.Errorf("%+v after epoch %d", c, a.Epoch)
		}
	})
}

// TestGrow: two more nodes join, the five spread the votes, one leaves for good.
func TestGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "", "l1", "m1", "p1")
		defer m.close()
		m.leader(3, 3)
		for i, name := range []string{"a1", "p2"} { // a1 sorts before the founders
			m.start(name, m.net.Host(name, name[:1], fmt.Sprintf("10.0.1.%d", i+1)), 3)
		}
		m.leader(5, 5)
		if got := m.node("l1").raft.State().Node("p2"); got.GetRegion() != "p" {
			t.Errorf("p2 is recorded as %v", got)
		}
		p2 := m.node("p2")
		p2.mu.Lock()
		p2.self.State = view.Left
		p2.mu.Unlock()
		m.wait("leaving", time.Minute, func() bool {
			rec := m.node("l1").raft.State().Node("p2")
			return rec.GetState() == meshpb.NodeState_NODE_STATE_LEFT
		})
		m.kill("p2")
		m.leader(4, 3)
	})
}

// TestDamagedComesBack: a node whose store was damaged while it was down returns as a new
// server and votes again; it never founds a cluster of its own, though its name sorts
// first.
func TestDamagedComesBack(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, dir, "l1", "m1", "p1")
		defer m.close()
		m.leader(3, 3)
		m.join(m.node("p1"), "a", "p")
		old := m.node("l1")
		m.kill("l1")
		if err := os.Truncate(m.storeDir("l1")+"/raft.db", 0); err != nil {
			t.Fatal(err)
		}
		<-time.After(gossipLag)
		m.net.Revive("l1")
		back := m.start("l1", old.host, 3)
		if !back.raft.Damaged() || back.raft.Incarnation() == old.raft.Incarnation() {
			t.Fatal("it came back as if nothing had happened")
		}
		m.wait("its vote", time.Minute, func() bool {
			return slices.Contains(back.raft.Servers(), consensus.Server{Name: "l1", Incarnation: back.raft.Incarnation(), Voter: true})
		})
		m.leader(3, 3)
		if back.raft.State().Room("a") == nil {
			t.Error("it does not know the room")
		}
		for _, s := range back.raft.Servers() {
			if s.Incarnation == old.raft.Incarnation() {
				t.Error("its old identity still votes")
			}
		}
	})
}

// TestWholeClusterRestarts: all nodes stop and come back with what they agreed.
func TestWholeClusterRestarts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, dir, "l1", "m1", "p1")
		defer m.close()
		m.leader(3, 3)
		a := m.join(m.node("p1"), "a", "p")
		names := []string{"l1", "m1", "p1"}
		for _, name := range names {
			m.kill(name)
		}
		for _, name := range names {
			m.net.Revive(name)
			m.start(name, m.node(name).host, 3)
		}
		m.leader(3, 3)
		m.wait("the room", time.Minute, func() bool {
			b, ok := m.node("l1").svc.known(Request{Room: "a", Region: "p", Entry: "l1"})
			return ok && b.Epoch == a.Epoch
		})
		if b := m.join(m.node("m1"), "b", "m"); b.Epoch != a.Epoch+1 {
			t.Errorf("%+v after epoch %d", b, a.Epoch)
		}
	})
}

// TestMinority: cut off from the others, a node refuses new rooms and serves known ones;
// after the heal Raft is told.
func TestMinority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "", "l1", "m1", "p1")
		defer m.close()
		m.leader(3, 3)
		p1 := m.node("p1")
		m.join(p1, "a", "l")
		m.wait("knowledge", time.Second, func() bool { return p1.raft.State().Room("a") != nil })
		m.net.Isolate("p1")
		<-time.After(10 * time.Second)
		began := time.Now()
		if _, err := p1.svc.Join(t.Context(), Request{Room: "new"}); !errors.Is(err, ErrNoQuorum) {
			t.Errorf("new room: %v", err)
		}
		if d := time.Since(began); d > refuseAfter+2*retryPause {
			t.Errorf("refused after %v", d)
		}
		if a := m.join(p1, "a", "l"); a.Node != "l1" || a.Unrecorded {
			t.Errorf("%+v", a)
		}
		if a := m.join(p1, "a", "p"); a.Node != "p1" || !a.Unrecorded {
			t.Errorf("%+v", a)
		}
		m.net.Rejoin("p1")
		m.wait("the record", 30*time.Second, func() bool {
			_, ok := state.Serving(m.node("m1").raft.State().Room("a"), "p1")
			return ok
		})
	})
}

// TestGossipLosesNode: a node that only gossip lost keeps its rooms.
func TestGossipLosesNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "", "l1", "m1", "p1")
		defer m.close()
		l := m.leader(3, 3)
		var other *node
		for _, n := range m.up() {
			if n != l {
				other = n
			}
		}
		a := m.join(l, "a", other.self.Region)
		if a.Node != other.name {
			t.Fatalf("%+v", a)
		}
		lost := func(on bool) {
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.gone, other.name)
			if on {
				m.gone[other.name] = time.Now().Add(-gossipLag)
			}
		}
		lost(true)
		<-time.After(time.Minute)
		if _, ok := state.Serving(l.raft.State().Room("a"), other.name); !ok {
			t.Error("its room was taken away")
		}
		lost(false)
	})
}

// TestLeadMoves: the lead goes to the voter in the middle, and stays there.
func TestLeadMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "", "l1", "m1", "p1")
		defer m.close()
		far := m.leader(3, 3)
		rtt := map[[2]string]time.Duration{}
		var middle string
		for _, n := range m.up() {
			if n != far {
				rtt[view.Pair(far.name, n.name)] = 150 * time.Millisecond
				middle = n.name
			}
		}
		rtt[view.Pair(far.name, middle)] = 60 * time.Millisecond
		for _, n := range m.up() {
			if n != far && n.name != middle {
				rtt[view.Pair(middle, n.name)] = 60 * time.Millisecond
			}
		}
		m.mu.Lock()
		m.rtt = rtt
		m.mu.Unlock()
		<-time.After(moveAfter + time.Minute)
		l := m.leader(3, 3)
		if l.name != middle {
			t.Errorf("%s leads, want %s", l.name, middle)
		}
		if got := l.raft.Timings().Heartbeat; got != 1500*time.Millisecond {
			t.Errorf("heartbeat %v, want ten times the longest round trip", got)
		}
		<-time.After(2 * moveAfter)
		if now := m.leader(3, 3); now != l {
			t.Errorf("the lead moved on to %s", now.name)
		}
	})
}
