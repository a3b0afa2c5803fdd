package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"

	"maille/mesh"
	"maille/mesh/gossip"
	"maille/mesh/identity"
	"maille/mesh/rpc"
	"maille/mesh/view"
	"maille/node/auth"
	"maille/node/config"
	"maille/node/guard"
	"maille/node/obs"
	"maille/node/room"
	"maille/node/rtc"
	"maille/node/signal"
	"maille/placement"
	"maille/placement/consensus"
	"maille/placement/state"
	adminpb "maille/proto/admin"
	meshpb "maille/proto/mesh"
	"maille/relay/link"
)

// CompatVersion is the server version told to clients: LiveKit's SDKs switch features
// by it (signalling.md 7.4, trap 3), so it names the level of the protocol spoken.
const CompatVersion = "1.13.0"

// Options is everything a node is made of.
type Options struct {
	Config   config.Config
	Identity *identity.Identity
	// Net is where sockets come from; nil is the host's network.
	Net mesh.Net
	// HostIPs are the addresses told to clients for media; empty finds the host's own.
	HostIPs []net.IP
	Log     *slog.Logger
}

// Node is one process. Create it with New, serve with Run, end with Close.
type Node struct {
	cfg      config.Config
	opts     Options
	self     view.Node
	log      *slog.Logger
	net      mesh.Net
	verifier *auth.Verifier

	life   context.Context // ends when Close begins
	met    chan struct{}   // closed once gossip can be asked
	cancel context.CancelFunc
	wg     sync.WaitGroup
	closed sync.Once

	mux       *rpc.Mux
	pool      *rpc.Pool
	grpc      *grpc.Server
	raft      *consensus.Consensus
	gossip    *gossip.Gossip
	placement *placement.Service
	links     *link.Endpoint
	linkConn  net.PacketConn
	engine    *rtc.Engine
	rooms     *rooms
	signal    *signal.Handler
	web       *http.Server
	ops       *http.Server
	opsGRPC   *grpc.Server
	meters    *meters
	refused   guard.Counts
	revoked   auth.Revoked
	joins     guard.Pace
	webAddr   net.Listener
	opsAddr   net.Listener
	unwatch   func()

	mu sync.Mutex
	// +guarded by mu: names in the last gossip snapshot, for telling who is gone.
	known map[string]bool
}

// New opens every port of a node and joins it to the mesh. On error nothing is left
// open.
func New(o Options) (*Node, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Net == nil {
		o.Net = mesh.OS
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: o.Config, opts: o, net: o.Net,
		verifier: &auth.Verifier{Keys: o.Config.Keys}, known: make(map[string]bool),
		joins: guard.Pace{Rate: joinRate, Burst: joinBurst, Most: joinsHeld},
	}
	n.life, n.cancel = context.WithCancel(context.Background())
	n.met = make(chan struct{})
	n.log = slog.New(obs.Calm(o.Log.Handler(), func() bool { return n.life.Err() != nil })).With("node", o.Config.Name)
	n.self = view.Node{
		Name: o.Config.Name, Region: o.Config.Region, Version: Version(), State: view.Serving, Voter: true,
		Link: o.Config.AdvertiseAddr(o.Config.Ports.Link), Cluster: o.Config.AdvertiseAddr(o.Config.Ports.Cluster),
		Signal: o.Config.SignalURL(), Started: time.Now(),
	}
	if err := n.open(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// open builds the planes bottom up: cluster port, Raft, media, links, gossip, and
// last the doors that clients and operators come through.
func (n *Node) open() error {
	for _, step := range []func() error{n.openCluster, n.openMedia, n.openGossip, n.openMeters, n.openPlacement, n.openClients, n.openOps} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) openCluster() error {
	ln, err := n.net.Listen("tcp", n.cfg.BindAddr(n.cfg.Ports.Cluster))
	if err != nil {
		return err
	}
	n.mux = rpc.Listen(ln, n.opts.Identity, n.log)
	n.pool = &rpc.Pool{Net: n.net, Identity: n.opts.Identity}
	n.raft, err = consensus.Open(consensus.Config{
		Name: n.self.Name, Dir: n.cfg.DataDir, Listener: n.mux.Raft(), Log: n.log,
		Dial: func(ctx context.Context, peer string) (net.Conn, error) {
			addr, err := n.clusterAddr(peer)
			if err != nil {
				return nil, err
			}
			return n.pool.DialRaft(ctx, peer, addr)
		},
	})
	if err != nil {
		return err
	}
	n.self.Incarnation = n.raft.Incarnation()
	return nil
}

// clusterAddr finds a peer's cluster port by gossip.
func (n *Node) clusterAddr(peer string) (string, error) {
	select {
	case <-n.met: // Raft dials before it, once it remembers a cluster
	default:
		return "", errors.New("node: gossip has not started")
	}
	m, ok := n.gossip.Snapshot().Node(peer)
	if !ok {
		return "", fmt.Errorf("node: %s is not in the cluster's view", peer)
	}
	return m.Cluster, nil
}

func (n *Node) openMedia() error {
	at := func(port int) string {
		if n.cfg.Dev {
			// Browsers on this machine reach media by its own addresses too, not only by
			// loopback, which some of them leave out.
			return net.JoinHostPort("", strconv.Itoa(port))
		}
		return n.cfg.BindAddr(port)
	}
	udp, err := n.net.ListenPacket("udp", at(n.cfg.Ports.MediaUDP))
	if err != nil {
		return err
	}
	tcp, err := n.net.Listen("tcp", at(n.cfg.Ports.MediaTCP))
	if err != nil {
		return errors.Join(err, udp.Close())
	}
	n.engine, err = rtc.NewEngine(rtc.Config{
		UDP: udp, TCP: tcp, HostIPs: n.mediaIPs(), AllowLoopback: n.cfg.Dev || loopback(n.cfg.Bind), Log: n.log,
		Refused: &n.refused,
	})
	if err != nil {
		_, _ = udp.Close(), tcp.Close() // the engine may have closed them
		return err
	}
	n.rooms = newRooms(&env{n}, n.log)
	socket, err := n.net.ListenPacket("udp", n.cfg.BindAddr(n.cfg.Ports.Link))
	if err != nil {
		return err
	}
	n.links, err = link.Listen(link.Config{Self: n.self.Name, Conn: socket, TLS: n.opts.Identity, Handler: &links{n}, Log: n.log})
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	n.linkConn = socket
	return nil
}

// mediaIPs are the addresses told to clients: the advertised one, behind which a
// one-to-one NAT may stand, and the one bound to. In dev, and when the operator named
// neither, they are the machine's own.
func (n *Node) mediaIPs() []net.IP {
	if len(n.opts.HostIPs) > 0 || n.cfg.Dev {
		return n.opts.HostIPs
	}
	var out []net.IP
	for _, s := range []string{n.cfg.Advertise, n.cfg.Bind} {
		ip := net.ParseIP(s)
		if ip == nil || ip.IsUnspecified() || (len(out) > 0 && out[0].Equal(ip)) {
			continue
		}
		out = append(out, ip)
	}
	return out
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (n *Node) openGossip() error {
	var err error
	n.gossip, err = gossip.Start(gossip.Config{
		Self: n.self, Cluster: n.cfg.Cluster, Net: n.net, BindAddr: n.cfg.BindAddr(n.cfg.Ports.Gossip),
		Advertise: n.cfg.AdvertiseAddr(n.cfg.Ports.Gossip), Seeds: n.cfg.Seeds, Keys: n.cfg.GossipKeys,
		OnChange: n.members, Log: n.log,
	})
	if err == nil {
		close(n.met)
	}
	return err
}

func (n *Node) openPlacement() error {
	var err error
	n.placement, err = placement.New(placement.Config{
		Self: n.self.Name, Log: n.raft, View: n.gossip.Snapshot, Rooms: n.rooms.report,
		BootstrapExpect: n.cfg.BootstrapExpect, Logger: n.log,
		Forward: placement.GRPC(func(peer string) (grpc.ClientConnInterface, error) {
			addr, err := n.clusterAddr(peer)
			if err != nil {
				return nil, err
			}
			return n.pool.Conn(peer, addr)
		}),
		Peer: func(ctx context.Context) string {
			name, _ := rpc.PeerFrom(ctx)
			return name
		},
		NewSid: func() string { return room.NewSid(room.RoomPrefix) },
	})
	if err != nil {
		return err
	}
	n.grpc = rpc.NewServer(n.opts.Identity)
	meshpb.RegisterPlacementServer(n.grpc, n.placement.Server())
	meshpb.RegisterSignalServer(n.grpc, &signalServer{n: n})
	adminpb.RegisterAdminServer(n.grpc, &admin{n: n})
	n.wg.Go(func() { _ = n.grpc.Serve(n.mux.GRPC()) })
	n.unwatch = n.raft.Watch(func(s *state.State) { n.rooms.placed(s.Room) })
	return nil
}

// members follows gossip: links to whoever is there, goodbye to whoever is gone.
func (n *Node) members(v view.Snapshot) {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen := make(map[string]bool)
	for _, m := range v.Nodes {
		if m.Name == n.self.Name || m.State == view.Left {
			continue
		}
		seen[m.Name] = true
		n.links.Peer(m.Name, m.Link)
	}
	for name := range n.known {
		if seen[name] {
			continue
		}
		n.links.Forget(name)
		n.pool.Forget(name)
		for _, r := range n.rooms.all() {
			r.NodeGone(name)
		}
	}
	n.known = seen
}

// loadInterval is how often gossip hears what this node carries.
const loadInterval = 2 * time.Second

// Run serves until ctx ends. It does not close the node.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	errs := make(chan error, 3)
	wg.Go(func() { errs <- n.placement.Run(ctx) })
	wg.Go(func() { n.tellLoad(ctx) })
	wg.Go(func() { n.meters.watchLeaders(ctx) })
	n.wg.Go(func() { errs <- serving(n.web.Serve(n.webAddr)) })
	n.wg.Go(func() { errs <- serving(n.ops.Serve(n.opsAddr)) })
	select {
	case <-ctx.Done():
		return nil
	case err := <-errs:
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}

func serving(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (n *Node) tellLoad(ctx context.Context) {
	tick := time.NewTicker(loadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			sum := n.meters.gather()
			n.gossip.Update(func(m *view.Node) {
				m.Load.Rooms, m.Load.Participants, m.Load.Tracks = sum.Rooms, sum.Participants, sum.Published.Audio+sum.Published.Video
			})
		}
	}
}

func (n *Node) now() time.Time { return time.Now() }

// Version is the build's own version, for operators; clients are told CompatVersion.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
