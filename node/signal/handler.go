package signal

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"maille/node/auth"
	"maille/proto/livekit"
)

// Config is what a Handler needs.
type Config struct {
	Verifier *auth.Verifier
	Host     Host
	// MaxSessions bounds concurrent sockets; 0 means DefaultMaxSessions.
	MaxSessions int
	// Log may be nil.
	Log *slog.Logger
	// Refused is told the HTTP status of every socket that was not let in; may be nil.
	Refused func(status int)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Handler serves /rtc, /rtc/validate, /rtc/v1 and /rtc/v1/validate.
type Handler struct {
	cfg Config

	mu      sync.Mutex // guards the fields below
	closed  bool
	pending int // requests in serve, sockets included
	sockets map[*socket]struct{}
	idle    chan struct{} // closed when closed and pending is 0
}

// New returns a Handler; Close ends it.
func New(cfg Config) *Handler {
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = DefaultMaxSessions
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Handler{cfg: cfg, sockets: make(map[*socket]struct{}), idle: make(chan struct{})}
}

// Sessions is the number of open sockets.
func (h *Handler) Sessions() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sockets)
}

// Close refuses new clients, closes every socket with CloseGoingAway and waits for
// the sessions to end. http.Server does not know of sockets, so call it besides.
func (h *Handler) Close() error {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		for s := range h.sockets {
			s.Close(CloseGoingAway, "the node is shutting down")
		}
		if h.pending == 0 {
			close(h.idle)
		}
	}
	h.mu.Unlock()
	<-h.idle
	return nil
}

// enter counts a request in, unless there is no room for it.
func (h *Handler) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return Unavailable("the node is shutting down", nil)
	}
	if h.pending >= h.cfg.MaxSessions {
		return Unavailable("the node is full", nil)
	}
	h.pending++
	return nil
}

func (h *Handler) exit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending--
	if h.closed && h.pending == 0 {
		close(h.idle)
	}
}

func (h *Handler) track(s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sockets[s] = struct{}{}
	if h.closed {
		s.Close(CloseGoingAway, "the node is shutting down")
	}
}

func (h *Handler) untrack(s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sockets, s)
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if allowOrigin(w, r) {
		return
	}
	path := collapse(r.URL.Path)
	v1 := path == "/rtc/v1" || path == "/rtc/v1/validate"
	switch {
	case path != "/rtc" && path != "/rtc/validate" && !v1:
		http.Error(w, "not found", http.StatusNotFound)
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", "GET")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	upgrade := !strings.HasSuffix(path, "/validate")
	if upgrade && !isUpgrade(r) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if err := h.enter(); err != nil {
		h.refuse(w, r, err)
		return
	}
	defer h.exit()
	j, err := h.prepare(r, v1)
	switch {
	case err != nil:
		h.refuse(w, r, err)
	case upgrade:
		h.serve(w, r, j)
	default:
		h.validate(w, r, j)
	}
}

// prepare checks everything that can be checked without the host.
func (h *Handler) prepare(r *http.Request, v1 bool) (*Join, error) {
	token, err := auth.FromRequest(r)
	if err != nil {
		return nil, err
	}
	claims, err := h.cfg.Verifier.Verify(token)
	if err != nil {
		return nil, err
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query is malformed")
	}
	decoder := decodeQuery
	single := v1 || q.Has("join_request")
	if single {
		decoder = func(q url.Values) (*livekit.JoinRequest, error) { return decodeJoinRequest(q.Get("join_request")) }
	}
	req, err := decoder(q)
	if err != nil {
		return nil, err
	}
	j, err := NewJoin(token, claims, req)
	if err != nil {
		return nil, err
	}
	fillFromUserAgent(j.Client, r.UserAgent())
	j.SinglePC = single
	j.Region = regionHint(q)
	j.RemoteAddr = clientAddr(r)
	j.Client.Address = j.RemoteAddr
	j.Request.ClientInfo = j.Client
	return j, nil
}

// refuse answers with the status of err and a sentence. Causes go to the log, which
// never sees the URL: tokens travel in it.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code, text := status(err)
	level := slog.LevelDebug
	if code == http.StatusInternalServerError {
		level = slog.LevelError
	}
	h.cfg.Log.Log(r.Context(), level, "join refused", "status", code, "err", err)
	if h.cfg.Refused != nil && isUpgrade(r) {
		h.cfg.Refused(code)
	}
	http.Error(w, text, code)
}

func (h *Handler) validate(w http.ResponseWriter, r *http.Request, j *Join) {
	if v, ok := h.cfg.Host.(Validator); ok {
		ctx, cancel := context.WithTimeout(r.Context(), joinTimeout)
		defer cancel()
		if err := v.Validate(ctx, j); err != nil {
			h.refuse(w, r, err)
			return
		}
	}
	_, _ = w.Write([]byte("success"))
}

// serve joins, upgrades and runs the session to its end.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, j *Join) {
	session, err := h.join(r.Context(), j)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	caught := &catcher{ResponseWriter: w}
	ws, err := websocket.Accept(caught, r, &websocket.AcceptOptions{
		// Any page may open a socket: the token authorises, nothing ambient does.
		InsecureSkipVerify: true,
		// Inflating costs memory and can be a bomb; SDP is the only long text here.
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		// The session exists and must hear that nobody came.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = h.run(ctx, session, deadConn{})
		return
	}
	s := newSocket(ws, caught.conn, h.cfg.Now)
	h.track(s)
	defer h.untrack(s)
	err = h.run(s.ctx, session, s)
	switch {
	case err == nil:
		s.finish(CloseSessionEnded, "session ended")
	case errors.Is(err, errPanic):
		s.finish(CloseInternal, "internal error")
	default:
		h.cfg.Log.Debug("signalling ended", "err", err)
		s.finish(CloseInterrupted, "session interrupted")
	}
}

// catcher keeps hold of the connection that a WebSocket takes over.
type catcher struct {
	http.ResponseWriter
	conn net.Conn
}

// Hijack is http.Hijacker.
func (c *catcher) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(c.ResponseWriter).Hijack()
	c.conn = conn
	return conn, rw, err
}

var errPanic = errors.New("signal: panic")

// join and run keep one client's bug from ending the process.

func (h *Handler) join(ctx context.Context, j *Join) (_ Session, err error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	defer h.recover(&err)
	return h.cfg.Host.Join(ctx, j)
}

func (h *Handler) run(ctx context.Context, s Session, c Conn) (err error) {
	defer h.recover(&err)
	return s.Run(ctx, c)
}

func (h *Handler) recover(err *error) {
	if p := recover(); p != nil {
		h.cfg.Log.Error("panic in a signalling session", "panic", p, "stack", string(debug.Stack()))
		*err = errPanic
	}
}

// deadConn is the socket of a client that was gone before the upgrade.
type deadConn struct{}

func (deadConn) Read(context.Context) (*livekit.SignalRequest, error) { return nil, ErrClosed }
func (deadConn) Write(*livekit.SignalResponse) error                  { return ErrClosed }
func (deadConn) Close(int, string)                                    {}
