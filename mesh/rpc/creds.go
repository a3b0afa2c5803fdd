package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"maille/mesh/identity"
)

// authInfo is the proved other end of a gRPC connection.
type authInfo struct {
	credentials.CommonAuthInfo
	peer identity.Peer
}

func (authInfo) AuthType() string { return "maille-mtls" }

// PeerFrom returns the name of the node that called, from its certificate. It is
// false outside a handler of a server made by NewServer.
func PeerFrom(ctx context.Context) (string, bool) {
	p, ok := PeerIdentity(ctx)
	return p.Name, ok
}

// PeerIdentity returns everything the calling node's certificate says.
func PeerIdentity(ctx context.Context) (identity.Peer, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return identity.Peer{}, false
	}
	a, ok := p.AuthInfo.(authInfo)
	return a.peer, ok
}

func proved(id *identity.Identity, c *tls.Conn) (net.Conn, credentials.AuthInfo, error) {
	p, err := id.Peer(c.ConnectionState())
	if err != nil {
		return nil, nil, err
	}
	return c, authInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, p}, nil
}

// serverCreds pass on what the mux proved. A connection that did not come through
// the mux is refused.
type serverCreds struct{ id *identity.Identity }

func (s serverCreds) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	t, ok := c.(*tls.Conn)
	if !ok || !t.ConnectionState().HandshakeComplete {
		return nil, nil, errors.New("rpc: connection without a finished handshake")
	}
	return proved(s.id, t)
}

func (serverCreds) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("rpc: server credentials cannot dial")
}

func (serverCreds) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (s serverCreds) Clone() credentials.TransportCredentials { return s }
func (serverCreds) OverrideServerName(string) error           { return nil }

// clientCreds call one node by name.
type clientCreds struct {
	id   *identity.Identity
	peer string
}

func (c clientCreds) ClientHandshake(ctx context.Context, _ string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	t, err := handshake(ctx, c.id, c.peer, ALPNGRPC, raw)
	if err != nil {
		return nil, nil, err
	}
	return proved(c.id, t)
}

func (clientCreds) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("rpc: client credentials cannot accept")
}

func (clientCreds) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (c clientCreds) Clone() credentials.TransportCredentials { return c }
func (clientCreds) OverrideServerName(string) error           { return nil }

// handshake proves the far end of raw to be the named node speaking alpn. It closes
// raw on failure.
func handshake(ctx context.Context, id *identity.Identity, peer, alpn string, raw net.Conn) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	t := tls.Client(raw, id.ClientTLS(peer, alpn))
	if err := t.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("rpc: handshake with %s at %s: %w", peer, raw.RemoteAddr(), err)
	}
	if p := t.ConnectionState().NegotiatedProtocol; p != alpn {
		raw.Close()
		return nil, fmt.Errorf("rpc: %s speaks %q, not %q", peer, p, alpn)
	}
	return t, nil
}
