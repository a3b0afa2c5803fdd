package signal

import (
	"context"

	"maille/node/auth"
	"maille/proto/livekit"
)

// Host knows rooms. It is asked before the socket is upgraded.
type Host interface {
	// Join finds or makes the session a client asks for. Its error becomes the HTTP
	// status: an *Error says which, a refused token is 401, a deadline is 503, anything
	// else is 500. A client that gets 401 never tries again, so trouble that may pass
	// must be 503. To refuse a client with a LeaveRequest, return Leave's Session.
	Join(ctx context.Context, j *Join) (Session, error)
}

// Validator is a Host that can tell without joining whether a join would work; it
// serves /rtc/validate. Errors are as in Host.Join.
type Validator interface {
	Validate(ctx context.Context, j *Join) error
}

// Session is one client's signalling, from the first message to the last.
type Session interface {
	// Run owns the socket and is called exactly once. ctx ends with the socket. When
	// Run returns, what was written is sent and the socket is closed: with
	// CloseSessionEnded if it returned nil, else with CloseInterrupted, unless Run closed
	// it itself.
	Run(ctx context.Context, c Conn) error
}

// Conn is a client's socket. Write and Close may be called by any goroutine, Read by
// one.
type Conn interface {
	// Read returns the next request. Pings are answered on the way and unknown requests
	// skipped. It fails with *Closed when the client closed the socket. A ctx that ends
	// during a read ends the socket with it.
	Read(ctx context.Context) (*livekit.SignalRequest, error)
	// Write queues a response and never blocks. The message may be changed afterwards.
	// A client that leaves too much unread is disconnected: ErrSlow, then ErrClosed.
	Write(*livekit.SignalResponse) error
	// Close sends what is queued, then closes the socket; it does not wait for that.
	// The first call counts. 1000 becomes CloseSessionEnded, since clients ignore a
	// normal close while in session.
	Close(code int, reason string)
}

// Close codes. All of them make a LiveKit client resume, unless a LeaveRequest told
// it otherwise before.
const (
	CloseGoingAway    = 1001 // the node is shutting down
	CloseBadMessage   = 1007 // a frame held no SignalRequest
	CloseTooBig       = 1009 // a message was longer than MaxMessage
	CloseInternal     = 1011
	CloseSessionEnded = 4000 // after a leave, from either side
	CloseTooSlow      = 4001 // the client left too much unread
	CloseInterrupted  = 4002 // the session failed; the client may resume
)

// Join is a client's checked wish to join or resume.
type Join struct {
	// Room, Identity and Name come from the token and nowhere else.
	Room, Identity, Name string
	// Token is what the client presented, for a node that checks it again.
	Token string
	// Claims is the verified token, with metadata and attributes of the join request
	// merged in where the token allows that.
	Claims *auth.Claims
	// Client is never nil; blanks are filled from the User-Agent.
	Client *livekit.ClientInfo

	AutoSubscribe     bool
	AutoSubscribeData bool
	AdaptiveStream    bool
	// DisableICELite is what the client asks for, and does not get: with full ICE this node
	// would send checks to any address that a client names.
	DisableICELite bool
	// AllowPause lets the node pause video for lack of bandwidth; nil means the node's
	// default.
	AllowPause *bool

	// Reconnect asks to resume the session of (Room, Identity); ParticipantSid is the
	// one the client remembers.
	Reconnect       bool
	ReconnectReason livekit.ReconnectReason
	ParticipantSid  string

	// SinglePC: one peer connection for both directions. Offer, Tracks and SyncState
	// may come with the join then.
	SinglePC  bool
	Offer     *livekit.SessionDescription
	Tracks    []*livekit.AddTrackRequest
	SyncState *livekit.SyncState

	// Region is a hint from the URL, empty if none.
	Region string
	// RemoteAddr is the client's IP address, as far as proxies tell.
	RemoteAddr string

	// Request is all of the above but for the token as one message, to be carried to
	// another node; NewJoin reads it there.
	Request *livekit.JoinRequest
}

// Leave is a Session that only tells the client to leave.
func Leave(reason livekit.DisconnectReason, action livekit.LeaveRequest_Action) Session {
	return leave{reason, action}
}

type leave struct {
	reason livekit.DisconnectReason
	action livekit.LeaveRequest_Action
}

func (l leave) Run(_ context.Context, c Conn) error {
	err := c.Write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Leave{Leave: &livekit.LeaveRequest{
		Reason: l.reason, Action: l.action,
		CanReconnect: l.action != livekit.LeaveRequest_DISCONNECT,
	}}})
	c.Close(CloseSessionEnded, l.reason.String())
	return err
}
