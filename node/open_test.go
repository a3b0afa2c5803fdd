package node

import (
	"log/slog"
	"net"
	"testing"
	"testing/synctest"

	"maille/bench/sim"
	"maille/mesh/gossip"
	"maille/mesh/identity"
	"maille/node/config"
)

// A node that cannot open its last port leaves none of the others open.
func TestNothingStaysOpenOfANodeThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := sim.New(1)
		defer network.Close()
		host := network.Host("node-paris", "paris", "10.0.0.1")
		cfg := config.Default()
		ip := host.IP().String()
		cfg.Name, cfg.Region, cfg.Bind, cfg.Advertise = "paris", "paris", ip, ip
		cfg.DataDir = t.TempDir()
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
		admin, err := host.Listen("tcp", cfg.Admin)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Config: cfg, Identity: id, Net: host, HostIPs: []net.IP{host.IP()}, Log: slog.New(slog.DiscardHandler)}
		if _, err := New(o); err == nil {
			t.Fatal("opened with its admin port taken")
		}
		if err := admin.Close(); err != nil {
			t.Fatal(err)
		}
		n, err := New(o)
		if err != nil {
			t.Fatal("again: ", err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		n, err = New(o)
		if err != nil {
			t.Fatal("after one that never ran: ", err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Raft dials peers before gossip can be asked where they are.
func TestPeersAreUnknownBeforeGossip(t *testing.T) {
	n := &Node{met: make(chan struct{}), gossip: new(gossip.Gossip)}
	if addr, err := n.clusterAddr("lyon"); err == nil {
		t.Error("lyon is at", addr)
	}
}
