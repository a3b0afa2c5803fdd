package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"maille/mesh/identity"
)

// Mux accepts on the cluster port and hands each proved connection to the protocol
// it negotiated.
type Mux struct {
	ln   net.Listener
	id   *identity.Identity
	log  *slog.Logger
	grpc *queue
	raft *queue

	ctx    context.Context // ends with the mux
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu   sync.Mutex // guards open, host
	open int        // handshakes in progress
	host map[string]int

	refused atomic.Uint64
	dropped atomic.Uint64
}

// MuxStats counts connections that were not handed on.
type MuxStats struct {
	Refused uint64 // failed to prove a node of this cluster, in time
	Dropped uint64 // too many at once
}

// Listen serves the cluster port on ln, which it owns from now on.
func Listen(ln net.Listener, id *identity.Identity, log *slog.Logger) *Mux {
	ctx, cancel := context.WithCancel(context.Background())
	m := &Mux{
		ln: ln, id: id, log: log,
		grpc: newQueue(ln.Addr()), raft: newQueue(ln.Addr()),
		ctx: ctx, cancel: cancel,
		host: map[string]int{},
	}
	m.done.Go(m.accept)
	return m
}

// GRPC returns the connections that speak gRPC, for (*grpc.Server).Serve of a server
// made by NewServer.
func (m *Mux) GRPC() net.Listener { return m.grpc }

// Raft returns the connections that speak Raft. They are *tls.Conn; Identity.PeerName
// tells whose.
func (m *Mux) Raft() net.Listener { return m.raft }

// Addr returns the address listened on.
func (m *Mux) Addr() net.Addr { return m.ln.Addr() }

// Stats returns what was turned away since the start.
func (m *Mux) Stats() MuxStats {
	return MuxStats{Refused: m.refused.Load(), Dropped: m.dropped.Load()}
}

// Close stops accepting, ends handshakes and connections nobody took, and waits.
// Connections already handed on are their takers'.
func (m *Mux) Close() error {
	m.cancel()
	err := m.ln.Close()
	m.grpc.Close()
	m.raft.Close()
	m.done.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (m *Mux) accept() {
	var wait time.Duration
	for {
		c, err := m.ln.Accept()
		if err != nil {
			if m.ctx.Err() != nil {
				return
			}
			// Out of descriptors, most likely: wait for some to come back.
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			m.log.Warn("cluster port: accept failed", "err", err, "retry", wait)
			select {
			case <-time.After(wait):
				continue
			case <-m.ctx.Done():
				return
			}
		}
		wait = 0
		host := hostOf(c)
		if !m.enter(host) {
			m.dropped.Add(1)
			c.Close()
			continue
		}
		m.done.Go(func() {
			defer m.leave(host)
			m.handshake(c)
		})
	}
}

func (m *Mux) handshake(c net.Conn) {
	ctx, cancel := context.WithTimeout(m.ctx, handshakeTimeout)
	defer cancel()
	t := tls.Server(c, m.id.ServerTLS(ALPNGRPC, ALPNRaft))
	if err := t.HandshakeContext(ctx); err != nil {
		m.refuse(c, err)
		return
	}
	var q *queue
	switch p := t.ConnectionState().NegotiatedProtocol; p {
	case ALPNGRPC:
		q = m.grpc
	case ALPNRaft:
		q = m.raft
	default:
		m.refuse(c, fmt.Errorf("rpc: protocol %q", p))
		return
	}
	if !q.put(ctx, t) {
		m.dropped.Add(1)
		c.Close()
	}
}

func (m *Mux) refuse(c net.Conn, err error) {
	c.Close()
	if m.ctx.Err() != nil {
		return
	}
	m.refused.Add(1)
	m.log.Debug("cluster port: connection refused", "remote", c.RemoteAddr().String(), "err", err)
}

func (m *Mux) enter(host string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open >= maxHandshakes || m.host[host] >= maxHandshakesPerHost {
		return false
	}
	m.open++
	m.host[host]++
	return true
}

func (m *Mux) leave(host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
	if m.host[host]--; m.host[host] == 0 {
		delete(m.host, host)
	}
}

func hostOf(c net.Conn) string {
	addr := c.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
