// Package rpc is the cluster port: one mTLS listener that carries gRPC and Raft
// between nodes, told apart by ALPN, and the client side of both.
//
// The Mux ends TLS itself, so a connection reaches gRPC or Raft only after the other
// end proved to be a node of this cluster; gRPC handlers read its name with
// PeerFrom. Clients name the node they call and refuse any other that answers.
package rpc

import "time"

// ALPN protocols of the cluster port.
const (
	ALPNGRPC = "maille-grpc/1"
	ALPNRaft = "maille-raft/1"
)

const (
	// handshakeTimeout ends handshakes that stall: long enough for two round trips
	// around the world with losses.
	handshakeTimeout = 5 * time.Second
	// maxHandshakes bounds connections that have not proved who they are. A cluster
	// that restarts as a whole stays far below it.
	maxHandshakes = 128
	// maxHandshakesPerHost leaves room for others while one address stalls its own.
	maxHandshakesPerHost = 32
	// maxQueued bounds proved connections that gRPC or Raft has not yet accepted.
	maxQueued = 64

	// MaxMessage bounds one gRPC message, bytes: a proxied signalling message with
	// the largest SDP that nodes accept, several times over.
	MaxMessage = 4 << 20
	// maxStreams bounds concurrent streams from one node: each proxied client is one,
	// and a node carries a few thousand.
	maxStreams = 8192
	// maxHeaders bounds the metadata of one call, bytes. Nodes send next to none.
	maxHeaders = 16 << 10

	// keepalive of connections: a peer that vanished without a reset is known after
	// an interval and pingTimeout. gRPC lets clients ping no faster than every 10 s.
	serverPing  = 5 * time.Second
	clientPing  = 10 * time.Second
	pingTimeout = 3 * time.Second
	// minPing is the shortest ping interval a server tolerates.
	minPing = clientPing / 2

	// Redials back off from the one to the other.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 3 * time.Second
)
