package signal

import "time"

// Bounds on what one client may send, hold or leave unread. Nothing here depends on
// configuration: a well-behaved client stays far below.
const (
	// MaxMessage bounds one WebSocket message in bytes, as LiveKit does. The largest honest
	// one is an offer on a single connection with sections for a few hundred tracks, of
	// some 5 kB each.
	MaxMessage = 2 << 20

	// MaxName bounds room, identity and name in bytes, as LiveKit does.
	MaxName = 256

	// MaxMetadata bounds participant metadata in bytes. LiveKit allows 512 KiB, but
	// every joiner gets everybody's: with 150 people that would be 75 MB a join.
	MaxMetadata = 64 << 10

	// MaxAttributes bounds keys and values of a participant's attributes together.
	MaxAttributes = 64 << 10

	// MaxHeaderBytes is for http.Server: a request is unauthenticated until its header
	// was read. An offer in the URL takes about 10 kB.
	MaxHeaderBytes = 64 << 10

	// HeaderTimeout is for http.Server: how long a request may take to arrive.
	HeaderTimeout = 5 * time.Second

	// RequestTimeout is for http.Server: how long a request with its body may take, and
	// thus also what is left of joinTimeout for a socket. An open socket has no such end.
	RequestTimeout = 20 * time.Second

	// IdleTimeout is for http.Server: how long a connection is kept for a next request.
	// Without it, whoever asks once keeps it for ever.
	IdleTimeout = 30 * time.Second

	// ResponseTimeout is for http.Server: how long an answer may take to be read, long
	// enough for the meeting page on a bad line. An open socket has its writeTimeout.
	ResponseTimeout = 2 * time.Minute

	// MaxConnections bounds the connections of the client port: every session, and as
	// many that do not ask yet or ask for something else. There is no bound for each
	// address: behind a proxy all have one.
	MaxConnections = 2 * DefaultMaxSessions

	// ConnectionRate and ConnectionBurst bound what is read of one connection, in bytes a
	// second: twice what a session may send in messages, for their frames.
	ConnectionRate  = 2 * byteRate
	ConnectionBurst = 2 * byteBurst

	// DefaultMaxSessions bounds concurrent sockets of one node. Each costs three
	// goroutines and a few kB before it does anything.
	DefaultMaxSessions = 10000

	// maxJoinRequest bounds an inflated join_request.
	maxJoinRequest = 1 << 20

	// maxInflation bounds what gzip makes of a byte of it; an SDP shrinks to a tenth.
	maxInflation = 64

	// maxClientField bounds each text a client tells about itself; longer ones are cut.
	maxClientField = 256

	// A client may send messageRate messages and byteRate bytes a second, and once in
	// a while the burst. Joining a meeting of 150 people takes some 400 messages. Above
	// it, its socket is simply read no faster.
	messageRate  = 100
	messageBurst = 1000
	byteRate     = 1 << 20
	byteBurst    = 4 << 20

	// maxQueue and maxQueueBytes bound what waits for a slow client. A joiner may get
	// 2 MB at once.
	maxQueue      = 1024
	maxQueueBytes = 8 << 20

	// writeTimeout is how long a message may wait for a full socket.
	writeTimeout = 5 * time.Second

	// closeTimeout is how long a client has to answer when its socket is closed.
	closeTimeout = 5 * time.Second

	// pingInterval is LiveKit's. A socket that answered maxMissedPings of them with
	// nothing at all is gone: hosts can vanish without closing.
	pingInterval   = 10 * time.Second
	maxMissedPings = 2

	// joinTimeout is how long Host.Join may take; livekit-client waits 15 s for the
	// upgrade.
	joinTimeout = 12 * time.Second
)
