package node

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/sim"
	"maille/mesh/identity"
	"maille/node/config"
	meshpb "maille/proto/mesh"
)

// answers are what probes get of a node that may be stuck.
type answers struct{ root, public, ops int }

func probe(n *Node) answers {
	get := func(h http.Handler, path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		_, _ = io.Copy(io.Discard, w.Result().Body)
		return w.Code
	}
	return answers{get(n.web.Handler, "/"), get(n.web.Handler, "/readyz"), get(n.ops.Handler, "/readyz")}
}

// A room that does not go on takes its node out of every load balancer, and no sooner than
// stuckAfter; when it goes on the node is back.
func TestStuckRoomTakesItsNodeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := sim.New(1)
		defer network.Close()
		host := network.Host("node-paris", "paris", "10.0.0.1")
		n := openNode(t, host)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		env := &stuck{Env: n.rooms.env, gate: make(chan struct{})}
		n.rooms.env = env
		if _, err := n.WaitLeader(ctx, 1); err != nil {
			t.Fatal(err)
		}
		record := &meshpb.Room{Name: "busy", Sid: "RM_busy", Epoch: 1, Serving: map[string]*meshpb.NodeList{"paris": {Nodes: []string{"paris"}}}}
		busy, err := n.rooms.get(record)
		if err != nil {
			t.Fatal(err)
		}
		well, ill := answers{200, 200, 200}, answers{http.StatusNotAcceptable, http.StatusServiceUnavailable, http.StatusServiceUnavailable}
		expect := func(when string, want answers) {
			t.Helper()
			if got := probe(n); got != want {
				t.Errorf("%s: %+v, want %+v", when, got, want)
			}
		}
		<-time.After(time.Minute)
		expect("with a room that goes on", well)
		env.on.Store(true)
		busy.Place(record)
		<-time.After(stuckAfter - loadInterval - time.Second)
		expect("with one behind", well)
		<-time.After(2*loadInterval + 2*time.Second)
		expect("with one that does not go on", ill)
		<-time.After(time.Minute)
		expect("a minute later", ill)
		env.on.Store(false)
		close(env.gate)
		<-time.After(2 * loadInterval)
		expect("when it goes on", well)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
}

func openNode(t *testing.T, host *sim.Host) *Node {
	t.Helper()
	cfg := config.Default()
	ip := host.IP().String()
	cfg.Name, cfg.Region, cfg.Bind, cfg.Advertise = "paris", "paris", ip, ip
	cfg.DataDir, cfg.BootstrapExpect = t.TempDir(), 1
	cfg.Keys = map[string]string{"APItest": "a-secret-of-at-least-32-characters"}
	cfg.GossipKeys = [][]byte{[]byte("0123456789abcdef0123456789abcdef")}
	ca, err := identity.NewCA(cfg.Cluster, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, err := ca.Issue(cfg.Name, cfg.Region, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Options{Config: cfg, Identity: id, Net: host, HostIPs: []net.IP{host.IP()}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
