package node

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"

	"maille/mesh/view"
	"maille/node/auth"
	"maille/node/guard"
	"maille/node/obs"
	"maille/node/room"
	"maille/node/signal"
	"maille/node/web"
	adminpb "maille/proto/admin"
)

// openClients opens the port that browsers see: signalling, the meeting page, and
// readiness for load balancers.
func (n *Node) openClients() error {
	ln, err := n.net.Listen("tcp", n.cfg.BindAddr(n.cfg.Ports.Signal))
	if err != nil {
		return err
	}
	n.webAddr = guard.Paced(guard.Listen(ln, signal.MaxConnections, 0, &n.refused), signal.ConnectionRate, signal.ConnectionBurst)
	n.signal = signal.New(signal.Config{
		Verifier: n.verifier, Host: counted{n}, Log: n.log,
		Refused: func(status int) { n.meters.metrics.Join(obs.RefusedWith(status), 0) },
	})
	mux := http.NewServeMux()
	mux.Handle("/rtc", n.signal)
	mux.Handle("/rtc/", n.signal)
	mux.HandleFunc("/readyz", n.readyz)
	mux.Handle("/", n.page())
	n.web = &http.Server{
		Handler: signal.CollapseSlashes(mux), MaxHeaderBytes: signal.MaxHeaderBytes,
		ReadHeaderTimeout: signal.HeaderTimeout, ReadTimeout: signal.RequestTimeout, IdleTimeout: signal.IdleTimeout,
		WriteTimeout: signal.ResponseTimeout,
	}
	return nil
}

// openOps opens the loopback port of operators: health, metrics, and the admin service.
func (n *Node) openOps() error {
	ln, err := n.net.Listen("tcp", n.cfg.Admin)
	if err != nil {
		return err
	}
	n.opsAddr = ln
	n.opsGRPC = grpc.NewServer()
	adminpb.RegisterAdminServer(n.opsGRPC, &admin{n: n})
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", n.readyz)
	mux.Handle("/metrics", n.Metrics())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	n.ops = &http.Server{
		ReadHeaderTimeout: signal.HeaderTimeout, Protocols: protocols,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
				n.opsGRPC.ServeHTTP(w, r)
				return
			}
			mux.ServeHTTP(w, r)
		}),
	}
	return nil
}

// page is the built-in meeting page. In dev it makes its own tokens.
func (n *Node) page() http.Handler {
	o := web.Options{Stuck: n.meters.stuck, Regions: n.regions, Links: n.roundTrips, Log: n.log}
	if n.cfg.Dev {
		o.DevToken = n.devToken
	}
	return web.Handler(o)
}

// regions lists the nodes that a page may choose from, and show its token to.
func (n *Node) regions() []web.Region {
	var out []web.Region
	for _, m := range n.gossip.Snapshot().Nodes {
		if m.State == view.Serving && m.Signal != "" && n.proven(m.Name) {
			out = append(out, web.Region{Region: m.Region, Node: m.Name, URL: strings.Replace(m.Signal, "ws", "http", 1)})
		}
	}
	return out
}

// roundTrips are this node's links as the page's network panel shows them.
func (n *Node) roundTrips() []web.Link {
	var out []web.Link
	for _, s := range n.links.Sessions() {
		out = append(out, web.Link{Node: s.Peer(), RTT: float64(s.RTT()) / float64(time.Millisecond)})
	}
	return out
}

// devToken lets anybody into any room, as whoever they say: dev mode only.
func (n *Node) devToken(r web.TokenRequest) (string, error) {
	yes := true
	return n.verifier.Mint(auth.DevKey, &auth.Claims{
		Identity: room.NewSid(r.Name + "-"), Name: r.Name,
		Video: &auth.Grants{RoomJoin: true, Room: r.Room, CanUpdateOwnMetadata: &yes},
	}, auth.DefaultTTL)
}

// readyz says whether a load balancer may send new clients here: the doors are open
// and the replicated state is there. It never looks at other nodes or at quorum: a
// node that can serve rooms it knows is ready.
func (n *Node) readyz(w http.ResponseWriter, _ *http.Request) {
	if n.life.Err() != nil {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	if !n.raft.Initialised() {
		http.Error(w, "not yet part of a cluster", http.StatusServiceUnavailable)
		return
	}
	if n.meters.stuck() {
		http.Error(w, "a room does not answer", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
