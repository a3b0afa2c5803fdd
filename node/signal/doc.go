// Package signal is the door clients come through: LiveKit's signalling WebSocket,
// turned into typed messages and nothing else.
//
// A request is checked in full before the upgrade, so that clients can read why they
// were refused. Host decides what session a join belongs to; Session then owns the
// socket, reads requests and writes responses. Framing, JSON or protobuf, pings and
// the bounds on what a client may send or leave unread stay in here.
package signal
