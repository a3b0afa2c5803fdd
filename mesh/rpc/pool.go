package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"maille/mesh"
	"maille/mesh/identity"
)

// ErrClosed is returned by a closed Pool.
var ErrClosed = errors.New("rpc: pool closed")

// Pool keeps one gRPC connection to each node called. Net and Identity must be set
// before first use. It is safe for concurrent use.
type Pool struct {
	Net      mesh.Net
	Identity *identity.Identity

	mu     sync.Mutex // guards conns, closed
	conns  map[string]pooled
	closed bool
}

type pooled struct {
	addr string
	conn *grpc.ClientConn
}

// Conn returns the connection to the named node at addr (host:port of its cluster
// port), opening it when first called and again whenever it breaks. It does not
// block: calls made on it do. A node that moved gets a new connection and the one
// to its old address is closed. Callers must not close it.
func (p *Pool) Conn(peer, addr string) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if c, ok := p.conns[peer]; ok {
		if c.addr == addr {
			return c.conn, nil
		}
		delete(p.conns, peer)
		c.conn.Close()
	}
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(clientCreds{p.Identity, peer}),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return p.Net.DialContext(ctx, "tcp", addr)
		}),
		grpc.WithAuthority(peer),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: clientPing, Timeout: pingTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxBackoff},
			MinConnectTimeout: handshakeTimeout,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("rpc: connection to %s at %s: %w", peer, addr, err)
	}
	if p.conns == nil {
		p.conns = map[string]pooled{}
	}
	p.conns[peer] = pooled{addr, conn}
	return conn, nil
}

// Forget closes the connection to a node that is gone for good. Calls in progress
// fail.
func (p *Pool) Forget(peer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.conns[peer]; ok {
		delete(p.conns, peer)
		c.conn.Close()
	}
}

// DialRaft opens a connection to the Raft side of the named node's cluster port. It
// is the caller's to close.
func (p *Pool) DialRaft(ctx context.Context, peer, addr string) (net.Conn, error) {
	raw, err := p.Net.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("rpc: raft to %s: %w", peer, err)
	}
	c, err := handshake(ctx, p.Identity, peer, ALPNRaft, raw)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close closes every connection and refuses new ones.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for _, c := range p.conns {
		errs = append(errs, c.conn.Close())
	}
	p.conns = nil
	return errors.Join(errs...)
}
