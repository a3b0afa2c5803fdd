package scenario

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"maille/bench/client"
	"maille/bench/sim"
	"maille/mesh/identity"
	"maille/mesh/view"
	"maille/node"
	"maille/node/auth"
	"maille/node/config"
	"maille/placement"
	adminpb "maille/proto/admin"
)

// Keys of the simulated cluster; long enough to pass as real ones.
const (
	apiKey    = "APIscenario"
	apiSecret = "a-secret-for-scenarios-of-32-bytes-or-more"
	gossipKey = "0123456789abcdef0123456789abcdef"
)

// Cluster is a mesh on a simulated network. Use it inside a bubble.
type Cluster struct {
	t     testing.TB
	Net   *sim.Network
	Nodes map[string]*Member
	// Single makes clients join with one connection for both directions.
	Single bool

	ca      *identity.CA
	clients atomic.Int32
	log     *slog.Logger
}

// Member is one node of the cluster.
type Member struct {
	Name, Region string
	Host         *sim.Host
	Node         *node.Node
	killed       atomic.Bool
	cancel       context.CancelFunc
	wg           sync.WaitGroup
}

// Start brings up a node for every name ("paris", or "paris/2" for a second node of a
// region), with the given one-way delay between regions, and waits for leader and links.
func Start(t testing.TB, seed uint64, delay time.Duration, names ...string) *Cluster {
	t.Helper()
	return StartLogging(t, seed, delay, logger(), names...)
}

// StartLogging is Start of nodes that log there.
func StartLogging(t testing.TB, seed uint64, delay time.Duration, log *slog.Logger, names ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, Net: sim.New(seed), Nodes: make(map[string]*Member), log: log}
	ca, err := identity.NewCA("scenario", 0)
	if err != nil {
		t.Fatal(err)
	}
	c.ca = ca
	var seeds []string
	for i, name := range names {
		region, _, _ := strings.Cut(name, "/")
		m := &Member{Name: strings.ReplaceAll(name, "/", "-"), Region: region}
		ip := fmt.Sprintf("10.0.%d.1", i+1)
		m.Host = c.Net.Host("node-"+m.Name, region, ip)
		seeds = append(seeds, ip+":7946")
		c.Nodes[m.Name] = m
	}
	regions := make(map[string]bool)
	for _, m := range c.Nodes {
		for r := range regions {
			if r != m.Region {
				c.Net.Path(r, m.Region, sim.Path{Delay: delay})
			}
		}
		regions[m.Region] = true
	}
	for _, m := range c.Nodes {
		c.open(m, ca, seeds, len(names))
	}
	c.ready(len(names))
	return c
}

func (c *Cluster) open(m *Member, ca *identity.CA, seeds []string, expect int) {
	c.t.Helper()
	cfg := config.Default()
	ip := m.Host.IP().String()
	cfg.Name, cfg.Region, cfg.Cluster = m.Name, m.Region, "scenario"
	cfg.Bind, cfg.Advertise = ip, ip
	cfg.DataDir = c.t.TempDir()
	cfg.Keys = map[string]string{apiKey: apiSecret}
	cfg.GossipKeys = [][]byte{[]byte(gossipKey)}
	cfg.BootstrapExpect = min(expect, 5)
	for _, s := range seeds {
		if s != ip+":7946" {
			cfg.Seeds = append(cfg.Seeds, s)
		}
	}
	id, err := ca.Issue(m.Name, m.Region, nil, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	m.Node, err = node.New(node.Options{
		Config: cfg, Identity: id, Net: m.Host, HostIPs: []net.IP{m.Host.IP()}, Log: c.log,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.wg.Go(func() {
		if err := m.Node.Run(ctx); err != nil && !m.killed.Load() {
			c.t.Errorf("node %s: %v", m.Name, err)
		}
	})
}

// logger is silent unless SCENARIO_LOG is set.
func logger() *slog.Logger {
	if os.Getenv("SCENARIO_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

func (c *Cluster) ready(n int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, m := range c.Nodes {
		for _, wait := range []func(context.Context, int) (string, error){m.Node.WaitMembers, m.Node.WaitLeader, m.Node.WaitLinks} {
			if line, err := wait(ctx, n); err != nil {
				c.t.Fatalf("node %s not ready: %s: %v", m.Name, line, err)
			}
		}
	}
}

// Close ends every node and the network.
func (c *Cluster) Close() {
	var wg sync.WaitGroup
	for _, m := range c.Nodes {
		wg.Go(func() { c.Stop(m) })
	}
	wg.Wait()
	c.Net.Close()
}

// Stop ends one node in order.
func (c *Cluster) Stop(m *Member) {
	if m.Node == nil {
		return
	}
	m.cancel()
	m.wg.Wait()
	if err := m.Node.Close(); err != nil {
		c.t.Errorf("closing %s: %v", m.Name, err)
	}
	m.Node = nil
}

// Leader names the node that leads.
func (c *Cluster) Leader(ctx context.Context) string {
	c.t.Helper()
	for _, m := range c.Nodes {
		s, err := m.Node.Admin().Status(ctx, &adminpb.StatusRequest{})
		if err != nil {
			c.t.Fatal(err)
		}
		return s.Leader
	}
	return ""
}

// Kill makes a node's host vanish: no goodbye, no reset.
func (c *Cluster) Kill(name string) {
	c.Nodes[name].killed.Store(true)
	c.Net.Kill("node-" + name)
}

// Crash makes a node's process die: its streams are reset, datagrams find no socket.
func (c *Cluster) Crash(name string) {
	c.Nodes[name].killed.Store(true)
	c.Net.Crash("node-" + name)
}

// Abandon releases what a killed node still holds in this process.
func (c *Cluster) Abandon(name string) {
	m := c.Nodes[name]
	m.cancel()
	m.wg.Wait()
	_ = m.Node.Close()
	m.Node = nil
}

// Join connects a client that stands in the region of entry to that node. A region
// hint may ask for another.
func (c *Cluster) Join(ctx context.Context, entry, room, identity, hint string) *client.Client {
	c.t.Helper()
	return c.join(ctx, c.Nodes[entry].Region, entry, hint, &auth.Claims{
		Identity: identity, Name: identity, Video: &auth.Grants{RoomJoin: true, Room: room},
	})
}

// JoinAs is Join with claims of its own.
func (c *Cluster) JoinAs(ctx context.Context, entry string, claims *auth.Claims) *client.Client {
	c.t.Helper()
	return c.join(ctx, c.Nodes[entry].Region, entry, "", claims)
}

// JoinWith is Join of a client with options of its own.
func (c *Cluster) JoinWith(ctx context.Context, entry, room, identity string, o client.Options) *client.Client {
	c.t.Helper()
	return c.join(ctx, c.Nodes[entry].Region, entry, "", &auth.Claims{
		Identity: identity, Name: identity, Video: &auth.Grants{RoomJoin: true, Room: room},
	}, o)
}

// JoinFrom is Join of a client that stands elsewhere, where the network may be worse.
func (c *Cluster) JoinFrom(ctx context.Context, place, entry, room, identity string) *client.Client {
	c.t.Helper()
	return c.join(ctx, place, entry, "", &auth.Claims{
		Identity: identity, Name: identity, Video: &auth.Grants{RoomJoin: true, Room: room},
	})
}

func (c *Cluster) join(ctx context.Context, place, entry, hint string, claims *auth.Claims, more ...client.Options) *client.Client {
	c.t.Helper()
	m := c.Nodes[entry]
	n := c.clients.Add(1)
	host := c.Net.Host(fmt.Sprintf("client-%d", n), place, fmt.Sprintf("10.1.%d.%d", n/250, n%250+1))
	token := c.Token(claims)
	url := fmt.Sprintf("ws://%s:7880", m.Host.IP())
	if hint != "" {
		url += "?region=" + hint
	}
	var o client.Options
	if len(more) > 0 {
		o = more[0]
	}
	o.URL, o.Token, o.Dial, o.Net, o.Single = url, token, host.DialContext, host.Pion(), o.Single || c.Single
	cl, err := client.Connect(ctx, o)
	if err != nil {
		c.t.Errorf("%s joins %s through %s: %v", claims.Identity, claims.Video.Room, entry, err)
		runtime.Goexit()
	}
	return cl
}

// Connect is Join with options of its own, of which it fills in where to; what goes
// wrong is the caller's. query follows the address.
func (c *Cluster) Connect(ctx context.Context, entry string, o client.Options, query string) (*client.Client, error) {
	c.t.Helper()
	host := c.newHost(c.Nodes[entry].Region)
	o.URL = fmt.Sprintf("ws://%s:7880%s", c.Nodes[entry].Host.IP(), query)
	o.Dial, o.Net = host.DialContext, host.Pion()
	return client.Connect(ctx, o)
}

// newHost is one more client's machine.
func (c *Cluster) newHost(region string) *sim.Host {
	n := c.clients.Add(1)
	return c.Net.Host(fmt.Sprintf("client-%d", n), region, fmt.Sprintf("10.1.%d.%d", n/250, n%250+1))
}

// Spread puts one participant, "on-NODE", on every node. Placement fills a region's
// serving node first, so the others of the region say they drain meanwhile.
func (c *Cluster) Spread(ctx context.Context, room string) map[string]*client.Client {
	c.t.Helper()
	// A node that has just started takes a drain for one of its last life and says that
	// it serves.
	pass(5 * time.Second)
	out := make(map[string]*client.Client)
	for name, m := range c.Nodes {
		var others []*Member
		for _, o := range c.Nodes {
			if o.Region == m.Region && o != m {
				others = append(others, o)
			}
		}
		c.setState(ctx, others, view.Draining)
		out[name] = c.Join(ctx, name, room, "on-"+name, "")
		if got := out[name].Join().Participant.Attributes["maille.node"]; got != name {
			for _, row := range m.Node.Placement().Explain(placement.Request{Room: room, Region: m.Region, Entry: name}) {
				c.t.Logf("%+v", row)
			}
			c.t.Fatalf("placed on %s, want %s", got, name)
		}
		c.setState(ctx, others, view.Serving)
	}
	return out
}

// setState changes nodes' states and waits until every node knows.
func (c *Cluster) setState(ctx context.Context, nodes []*Member, s view.State) {
	c.t.Helper()
	for _, m := range nodes {
		if err := m.Node.Placement().SetState(ctx, s); err != nil {
			c.t.Fatal(err)
		}
	}
	pass(time.Second)
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

// Metrics scrapes a node: values by name and labels.
func (c *Cluster) Metrics(name string) map[string]float64 {
	c.t.Helper()
	w := httptest.NewRecorder()
	c.Nodes[name].Node.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	out := make(map[string]float64)
	for line := range strings.Lines(w.Body.String()) {
		i := strings.LastIndexByte(line, ' ')
		if v, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64); err == nil && line[0] != '#' {
			out[line[:i]] = v
		}
	}
	return out
}

// Token signs claims with the cluster's key.
func (c *Cluster) Token(claims *auth.Claims) string {
	c.t.Helper()
	token, err := auth.Mint(apiKey, apiSecret, claims, time.Hour)
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

// Key is what tokens of the cluster are signed with.
func (c *Cluster) Key() (key, secret string) { return apiKey, apiSecret }

// Show asks a node for its view of a room, as operators do.
func (c *Cluster) Show(ctx context.Context, name, room string) *adminpb.RoomShowResponse {
	c.t.Helper()
	s, err := c.Nodes[name].Node.Admin().RoomShow(ctx, &adminpb.RoomShowRequest{Room: room})
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}
