// Package link is a session to one peer node: media in datagrams over several QUIC
// connections ("lanes"), and ordered channels over a further one for everything else.
//
// A node asks its peer for a track with Session.Pull; the peer attaches the session to
// that track as one more relay.Sink and its packets come out of the asking node's own
// track. What travels on the ordered channels is not this package's business; one that
// overflows ends the session, or, if it carries offers (offer.go), loses its oldest.
//
// Sending: a bounded queue (queue.go), one goroutine that bundles what is queued
// (bundler.go; much audio gathers a little first, gather.go), and the lane a stream is on, or
// that in use, or else the least loaded (order.go, lane.go), several datagrams at once
// (handover.go). Below QUIC, packets of one size leave and come in one system call
// (socket_linux.go).
// The peer reports what arrives when (feedback.go, sentlog.go); from that follow the pace
// of the whole link (relay/bwe), the number of lanes (lanecount.go, warm.go), copies of
// audio and second repairs (double.go, seconds.go), what is shed (shed.go) and how large datagrams are (size.go).
// Receiving: a loop per lane (drain.go), and a chain per stream that tells what is missing
// (chain.go) and asks for it; order.go puts the rest in order. What a peer may ask of this
// node is bounded (budget.go, and the limits below). All connections of an endpoint share
// one UDP socket. After an outage lanes are replaced (revive.go).
//
// Goroutines: an endpoint owns its accept loop, one loop per peer it dials and, on Linux,
// one that writes to the socket. A
// session owns its control reader and writer, one reader per channel the peer opened
// and one writer per channel with something to send, the upkeep (probes, reports,
// repair requests), the bundler, one per room of which a track is being opened, the lane dialer, and two per lane. They all end
// before Handler.Down is called, and before Close returns.
package link

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"maille/relay"
	"maille/relay/track"
)

// ALPN is the protocol name in the TLS handshake between nodes.
const ALPN = "maille-link/1"

// version is the one version of the messages that this code speaks.
const version = 1

// Limits. Each bounds what a peer, even a compromised one, can make this node hold.
const (
	maxStreams     = 8192    // tracks pulled over one session in one direction
	maxChannels    = 4096    // ordered channels in use in one direction; a room needs two
	maxMessage     = 4 << 20 // one message on a channel: a roster of 150 with metadata
	maxControl     = 64 << 10
	maxHello       = 4 << 10
	maxName        = 256
	maxPerTrack    = 4   // streams of one track: one, and those that replace it
	maxWaits       = 4   // new sessions of one peer that wait for its old one to end
	maxPath        = 4   // nodes a request came through; three hops during a reroute
	maxHandshakes  = 256 // accepted connections whose hello has not arrived
	channelBytes   = 8 << 20
	channelsBytes  = 64 << 20 // all channels of a session together
	channelQueue   = 4096     // messages
	controlQueue   = 8192     // messages: a demand, a clock and a keyframe per stream of a big room
	maxLanes       = 64
	handshakeAfter = 5 * time.Second
)

// Liveness. Gossip cannot see that one path is cut, so a session finds out itself.
const (
	probeEvery = 200 * time.Millisecond
	// A peer not heard for downAfter and the time to its next probe is down: a path that was
	// cut for downAfter and carries again is heard by then, however long its round trip is,
	// for both sides probe on their own.
	downAfter = time.Second
	// A peer not heard for quietAfter is probed every quietEvery: on a path that loses a
	// third, five probes a second and their echoes are all lost now and then.
	quietAfter = 400 * time.Millisecond
	quietEvery = 50 * time.Millisecond
)

// Config is what an endpoint needs. Self, Conn, TLS and Handler are required.
type Config struct {
	// Self is this node's name, as in its certificate.
	Self string
	// Conn carries all links. The endpoint reads it until Close; the caller closes it
	// afterwards.
	Conn    net.PacketConn
	TLS     Identity
	Handler Handler
	Log     *slog.Logger
	// Lanes is how many lanes a session starts with; 0 means 4.
	Lanes int
	// MaxLanes bounds what a session grows to; 0 means 64. Equal to Lanes, the number is
	// fixed.
	MaxLanes int
}

// Identity gives TLS configurations that require and verify the other side's
// certificate, and reads the node name out of it.
type Identity interface {
	ServerTLS(alpn ...string) *tls.Config
	ClientTLS(peer string, alpn ...string) *tls.Config
	PeerName(tls.ConnectionState) (string, error)
}

// Handler is told what happens on sessions. For one session, Up comes first and
// returns before anything else is called, Down comes last and after everything else
// returned; for one peer, the Down of a session comes before the Up of the next. No
// method may wait for the session to end.
type Handler interface {
	Up(s *Session)
	// Down tells that the session and every Upstream of it has ended.
	Down(s *Session, err error)
	// Message hands over one message. Calls for one channel come in the order they were
	// sent, calls for several channels at the same time. msg belongs to the callee.
	Message(s *Session, channel string, msg []byte)
	// Serve finds the track a peer asks for. What the peer asks of tracks of the same room
	// waits behind it. An error refuses; its text reaches the peer.
	Serve(s *Session, ref TrackRef) (*track.Track, error)
}

// TrackRef names a track and says how the request for it came here.
type TrackRef struct {
	Room string
	ID   relay.TrackID
	// Path lists the nodes that forward the request, the asking one last. Pull appends
	// this node; a node that finds itself in the list refuses, so no loop can form.
	Path []string
}

// Reasons for which sessions and upstreams end.
var (
	ErrClosed    = errors.New("link: closed")
	ErrSilent    = errors.New("link: peer silent")
	ErrDied      = errors.New("link: peer died")
	ErrReplaced  = errors.New("link: replaced by a newer session")
	ErrForgotten = errors.New("link: peer forgotten")
	// ErrFull ends a session whose peer does not take what it is sent: what would have
	// to be thrown away is state, and only a new session's snapshots restore it.
	ErrFull     = errors.New("link: peer does not drain its channel")
	ErrProtocol = errors.New("link: protocol violation")
	ErrTooLarge = errors.New("link: message too large")
	// ErrRefused ends an upstream that the peer refused; the wrapping error says why.
	ErrRefused = errors.New("link: refused by peer")
	// ErrEnded ends an upstream whose track has ended at the peer.
	ErrEnded = errors.New("link: track ended")
)
