package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"maille/bench/sim"
	"maille/mesh"
	"maille/mesh/identity"
	meshpb "maille/proto/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func mustCA(t testing.TB, cluster string) *identity.CA {
	t.Helper()
	ca, err := identity.NewCA(cluster, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t testing.TB, ca *identity.CA, name string) *identity.Identity {
	t.Helper()
	id, err := ca.Issue(name, name+"-region", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// who answers Join with the caller's name, and Proxy with frames as they come.
type who struct {
	meshpb.UnimplementedPlacementServer
	meshpb.UnimplementedSignalServer
}

func (who) Join(ctx context.Context, _ *meshpb.JoinRequest) (*meshpb.JoinResponse, error) {
	name, ok := PeerFrom(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "nobody")
	}
	return &meshpb.JoinResponse{Node: name}, nil
}

func (who) Proxy(s grpc.BidiStreamingServer[meshpb.Frame, meshpb.Frame]) error {
	for {
		f, err := s.Recv()
		if err != nil {
			return err
		}
		if err := s.Send(f); err != nil {
			return err
		}
	}
}

// node serves who on a host.
type node struct {
	id   *identity.Identity
	mux  *Mux
	srv  *grpc.Server
	pool *Pool
	addr string
	done chan error
}

func serve(t testing.TB, n mesh.Net, id *identity.Identity, addr string) *node {
	t.Helper()
	ln, err := n.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	d := &node{
		id: id, mux: Listen(ln, id, quiet), srv: NewServer(id), pool: &Pool{Net: n, Identity: id},
		addr: ln.Addr().String(), done: make(chan error, 1),
	}
	meshpb.RegisterPlacementServer(d.srv, who{})
	meshpb.RegisterSignalServer(d.srv, who{})
	go func() { d.done <- d.srv.Serve(d.mux.GRPC()) }()
	return d
}

func (d *node) close(t testing.TB) {
	t.Helper()
	if err := d.pool.Close(); err != nil {
		t.Error(err)
	}
	if err := d.mux.Close(); err != nil {
		t.Error(err)
	}
	d.srv.Stop()
	<-d.done
}

// patience bounds calls that must be answered, over real sockets too.
const patience = 2 * time.Minute

func join(p *Pool, peer, addr string) (string, error) {
	c, err := p.Conn(peer, addr)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := meshpb.NewPlacementClient(c).Join(ctx, &meshpb.JoinRequest{})
	return r.GetNode(), err
}

// The whole port on real sockets: gRPC and Raft side by side, names from certificates.
func TestLoopback(t *testing.T) {
	ca := mustCA(t, "prod")
	paris := serve(t, mesh.OS, issue(t, ca, "paris"), "127.0.0.1:0")
	defer paris.close(t)
	lyon := serve(t, mesh.OS, issue(t, ca, "lyon"), "127.0.0.1:0")
	defer lyon.close(t)

	if name, err := join(lyon.pool, "paris", paris.addr); err != nil || name != "lyon" {
		t.Errorf("paris was called by %q, %v", name, err)
	}
	if name, err := join(paris.pool, "lyon", lyon.addr); err != nil || name != "paris" {
		t.Errorf("lyon was called by %q, %v", name, err)
	}
	_, err := join(lyon.pool, "marseille", paris.addr)
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "marseille") {
		t.Errorf("paris answered as marseille: %v", err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := lyon.pool.DialRaft(ctx, "paris", paris.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := paris.mux.Raft().Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if name, err := paris.id.PeerName(in.(*tls.Conn).ConnectionState()); err != nil || name != "lyon" {
		t.Errorf("raft was dialled by %q, %v", name, err)
	}
	go out.Write([]byte("vote"))
	buf := make([]byte, 4)
	if _, err := io.ReadFull(in, buf); err != nil || string(buf) != "vote" {
		t.Errorf("raft read %q, %v", buf, err)
	}
	if _, err := lyon.pool.DialRaft(ctx, "marseille", paris.addr); err == nil {
		t.Error("raft dialled paris as marseille")
	}
}

// bubble runs a test in virtual time on two hosts 20 ms apart.
func bubble(t *testing.T, f func(t *testing.T, n *sim.Network, a, b *sim.Host)) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.New(1)
		defer n.Close()
		n.Default(sim.Path{Delay: 10 * time.Millisecond})
		f(t, n, n.Host("a", "east", "10.0.0.1"), n.Host("b", "west", "10.0.0.2"))
	})
}

func TestRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, _ *sim.Network, a, b *sim.Host) {
		ca := mustCA(t, "prod")
		paris := serve(t, a, issue(t, ca, "paris"), "10.0.0.1:7884")
		defer paris.close(t)
		dial := func(cfg *tls.Config) error {
			raw, err := b.DialContext(context.Background(), "tcp", paris.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			c := tls.Client(raw, cfg)
			if err := c.Handshake(); err != nil {
				return err
			}
			c.SetReadDeadline(time.Now().Add(time.Second))
			_, err = c.Read(make([]byte, 1))
			return err
		}
		lyon := issue(t, ca, "lyon")
		stranger := issue(t, mustCA(t, "prod"), "lyon").ClientTLS("paris", ALPNRaft)
		stranger.InsecureSkipVerify, stranger.VerifyConnection = true, nil
		operator, err := ca.Grant(identity.Grant{Name: "alice", Role: identity.Operator})
		if err != nil {
			t.Fatal(err)
		}
		for name, cfg := range map[string]*tls.Config{
			"another authority": stranger,
			"no protocol":       lyon.ClientTLS("paris"),
			"unknown protocol":  lyon.ClientTLS("paris", "h2"),
			"an operator":       operator.ClientTLS("paris", ALPNGRPC),
		} {
			before := paris.mux.Stats().Refused
			err := dial(cfg)
			synctest.Wait()
			var timeout net.Error
			if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
				t.Errorf("%s: let in (%v)", name, err)
			}
			if paris.mux.Stats().Refused != before+1 {
				t.Errorf("%s: not counted", name)
			}
		}
	})
}

// Connections that say nothing end after five seconds, take at most their share of
// the handshakes, and leave the port usable.
func TestSilentConnections(t *testing.T) {
	bubble(t, func(t *testing.T, n *sim.Network, a, b *sim.Host) {
		ca := mustCA(t, "prod")
		paris := serve(t, a, issue(t, ca, "paris"), "10.0.0.1:7884")
		defer paris.close(t)
		start := time.Now()
		var silent []net.Conn
		for range maxHandshakesPerHost + 10 {
			c, err := b.DialContext(context.Background(), "tcp", paris.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			silent = append(silent, c)
		}
		<-time.After(100 * time.Millisecond)
		if got := paris.mux.Stats().Dropped; got != 10 {
			t.Errorf("%d connections dropped at once, want 10", got)
		}
		third := n.Host("c", "south", "10.0.0.3")
		pool := &Pool{Net: third, Identity: issue(t, ca, "lyon")}
		defer pool.Close()
		if name, err := join(pool, "paris", paris.addr); err != nil || name != "lyon" {
			t.Errorf("another host, meanwhile: %q, %v", name, err)
		}
		for _, c := range silent {
			c.Read(make([]byte, 1))
		}
		if got := time.Since(start); got < handshakeTimeout || got > handshakeTimeout+2*time.Second {
			t.Errorf("the last silent connection ended after %v", got)
		}
		if name, err := join(pool, "paris", paris.addr); err != nil || name != "lyon" {
			t.Errorf("afterwards: %q, %v", name, err)
		}
	})
}

// gRPC must not serve a connection whose handshake the mux did not finish.
func TestServerNeedsMux(t *testing.T) {
	bubble(t, func(t *testing.T, _ *sim.Network, a, b *sim.Host) {
		ca := mustCA(t, "prod")
		ln, err := a.Listen("tcp", "10.0.0.1:7884")
		if err != nil {
			t.Fatal(err)
		}
		srv := NewServer(issue(t, ca, "paris"))
		meshpb.RegisterPlacementServer(srv, who{})
		done := make(chan error, 1)
		go func() { done <- srv.Serve(ln) }()
		pool := &Pool{Net: b, Identity: issue(t, ca, "lyon")}
		if _, err := join(pool, "paris", "10.0.0.1:7884"); err == nil {
			t.Error("served in the clear")
		}
		pool.Close()
		srv.Stop()
		<-done
	})
	if name, ok := PeerFrom(context.Background()); ok {
		t.Errorf("nobody is %q", name)
	}
}

func TestLimits(t *testing.T) {
	bubble(t, func(t *testing.T, _ *sim.Network, a, b *sim.Host) {
		ca := mustCA(t, "prod")
		paris := serve(t, a, issue(t, ca, "paris"), "10.0.0.1:7884")
		defer paris.close(t)
		lyon := &Pool{Net: b, Identity: issue(t, ca, "lyon")}
		defer lyon.Close()
		c, err := lyon.Conn("paris", paris.addr)
		if err != nil {
			t.Fatal(err)
		}
		big := &meshpb.JoinRequest{Room: strings.Repeat("x", MaxMessage)}
		if _, err := meshpb.NewPlacementClient(c).Join(context.Background(), big); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("client sent %d bytes: %v", MaxMessage, err)
		}
		_, err = meshpb.NewPlacementClient(c).Join(context.Background(), big, grpc.MaxCallSendMsgSize(2*MaxMessage))
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("server took %d bytes: %v", MaxMessage, err)
		}
	})
}

// A node that vanishes without a word is known within a keepalive round.
func TestVanishedPeer(t *testing.T) {
	bubble(t, func(t *testing.T, n *sim.Network, a, b *sim.Host) {
		ca := mustCA(t, "prod")
		paris := serve(t, a, issue(t, ca, "paris"), "10.0.0.1:7884")
		defer paris.close(t)
		pool := &Pool{Net: b, Identity: issue(t, ca, "lyon")}
		defer pool.Close()
		c, err := pool.Conn("paris", paris.addr)
		if err != nil {
			t.Fatal(err)
		}
		s, err := meshpb.NewSignalClient(c).Proxy(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		want := &meshpb.Frame{Body: &meshpb.Frame_Message{Message: []byte("hello")}}
		if err := s.Send(want); err != nil {
			t.Fatal(err)
		}
		if f, err := s.Recv(); err != nil || string(f.GetMessage()) != "hello" {
			t.Fatalf("echo: %v, %v", f, err)
		}
		n.Isolate("a")
		start := time.Now()
		if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("stream ended with %v", err)
		}
		if got := time.Since(start); got > clientPing+pingTimeout+time.Second {
			t.Errorf("noticed after %v", got)
		}
		n.Rejoin("a")
		<-time.After(maxBackoff * 2)
		if name, err := join(pool, "paris", paris.addr); err != nil || name != "lyon" {
			t.Errorf("after it came back: %q, %v", name, err)
		}
	})
}

func TestPool(t *testing.T) {
	bubble(t, func(t *testing.T, _ *sim.Network, a, b *sim.Host) {
		ca := mustCA(t, "prod")
		id := issue(t, ca, "paris")
		first := serve(t, a, id, "10.0.0.1:7884")
		defer first.close(t)
		second := serve(t, a, id, "10.0.0.1:7885")
		defer second.close(t)
		pool := &Pool{Net: b, Identity: issue(t, ca, "lyon")}
		one, err := pool.Conn("paris", first.addr)
		if err != nil {
			t.Fatal(err)
		}
		if same, _ := pool.Conn("paris", first.addr); same != one {
			t.Error("a second connection to one address")
		}
		if moved, _ := pool.Conn("paris", second.addr); moved == one {
			t.Error("the old connection for a new address")
		}
		if _, err := meshpb.NewPlacementClient(one).Join(context.Background(), &meshpb.JoinRequest{}); status.Code(err) != codes.Canceled {
			t.Errorf("the connection to the old address: %v", err)
		}
		if name, err := join(pool, "paris", second.addr); err != nil || name != "lyon" {
			t.Errorf("at the new address: %q, %v", name, err)
		}
		pool.Forget("paris")
		if name, err := join(pool, "paris", second.addr); err != nil || name != "lyon" {
			t.Errorf("after Forget: %q, %v", name, err)
		}
		pool.Close()
		if _, err := pool.Conn("paris", first.addr); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed pool says %v", err)
		}
	})
}

// Close frees who waits, and closes what nobody took.
func TestMuxClose(t *testing.T) {
	bubble(t, func(t *testing.T, _ *sim.Network, a, b *sim.Host) {
		ca := mustCA(t, "prod")
		ln, err := a.Listen("tcp", "10.0.0.1:7884")
		if err != nil {
			t.Fatal(err)
		}
		mux := Listen(ln, issue(t, ca, "paris"), quiet)
		accepted := make(chan error, 1)
		go func() {
			_, err := mux.GRPC().Accept()
			accepted <- err
		}()
		pool := &Pool{Net: b, Identity: issue(t, ca, "lyon")}
		defer pool.Close()
		queued, err := pool.DialRaft(context.Background(), "paris", "10.0.0.1:7884")
		if err != nil {
			t.Fatal(err)
		}
		defer queued.Close()
		synctest.Wait()
		if err := mux.Close(); err != nil {
			t.Error(err)
		}
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if _, err := queued.Read(make([]byte, 1)); err == nil {
			t.Error("a connection nobody took is still open")
		}
		if err := mux.Close(); err != nil {
			t.Error(err)
		}
	})
}
