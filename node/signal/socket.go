package signal

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"maille/proto/livekit"
)

// socket is the Conn of one upgraded request. Its writer and its pinger end with it.
type socket struct {
	ws       *websocket.Conn
	conn     io.Closer // below ws
	now      func() time.Time
	messages *rate.Limiter
	bytes    *rate.Limiter

	// text is whether the client's last frame was JSON; responses follow it.
	text atomic.Bool
	// heard is whether anything came since the last ping.
	heard atomic.Bool

	wake chan struct{}   // of capacity 1: the queue or closing changed
	ctx  context.Context // ends when the writer has closed the WebSocket
	pump sync.WaitGroup  // writer and pinger

	mu sync.Mutex // guards the fields below
	// queue holds encoded frames, queued their bytes.
	queue   []frame
	queued  int
	closing bool
	code    int
	reason  string
}

type frame struct {
	text bool
	b    []byte
}

func newSocket(ws *websocket.Conn, conn io.Closer, now func() time.Time) *socket {
	ctx, cancel := context.WithCancel(context.Background())
	s := &socket{
		ws: ws, conn: conn, now: now,
		messages: rate.NewLimiter(messageRate, messageBurst),
		bytes:    rate.NewLimiter(byteRate, byteBurst),
		wake:     make(chan struct{}, 1),
		ctx:      ctx,
	}
	ws.SetReadLimit(MaxMessage)
	s.pump.Go(func() { defer cancel(); s.write() })
	s.pump.Go(s.ping)
	return s
}

func (s *socket) Read(ctx context.Context) (*livekit.SignalRequest, error) {
	for {
		kind, b, err := s.ws.Read(ctx)
		if err != nil {
			return nil, readError(err)
		}
		s.heard.Store(true)
		text := kind == websocket.MessageText
		s.text.Store(text)
		if err := errors.Join(s.messages.Wait(ctx), s.bytes.WaitN(ctx, len(b))); err != nil {
			return nil, err
		}
		req, err := decode(text, b)
		if err != nil {
			s.Close(CloseBadMessage, "frame holds no SignalRequest")
			return nil, err
		}
		if pong := s.pong(req); pong != nil {
			if err := s.Write(pong); err != nil {
				return nil, err
			}
		} else if req != nil {
			return req, nil
		}
	}
}

func readError(err error) error {
	if ce, ok := errors.AsType[websocket.CloseError](err); ok {
		return &Closed{Code: int(ce.Code), Reason: ce.Reason}
	}
	if errors.Is(err, websocket.ErrMessageTooBig) {
		return ErrTooBig
	}
	return err
}

// pong answers the two kinds of ping, nil for other requests. livekit-client sends
// both and computes the round trip from the second.
func (s *socket) pong(req *livekit.SignalRequest) *livekit.SignalResponse {
	now := s.now().UnixMilli()
	switch m := req.GetMessage().(type) {
	case *livekit.SignalRequest_Ping:
		return &livekit.SignalResponse{Message: &livekit.SignalResponse_Pong{Pong: now}}
	case *livekit.SignalRequest_PingReq:
		return &livekit.SignalResponse{Message: &livekit.SignalResponse_PongResp{PongResp: &livekit.Pong{
			LastPingTimestamp: m.PingReq.GetTimestamp(), Timestamp: now,
		}}}
	}
	return nil
}

func (s *socket) Write(m *livekit.SignalResponse) error {
	text := s.text.Load()
	b, err := encode(text, m)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ErrClosed
	}
	if len(s.queue) == maxQueue || len(s.queue) > 0 && s.queued+len(b) > maxQueueBytes {
		s.queue, s.queued = nil, 0
		s.close(CloseTooSlow, "too much was left unread")
		return ErrSlow
	}
	s.queue = append(s.queue, frame{text, b})
	s.queued += len(b)
	s.signal()
	return nil
}

func (s *socket) Close(code int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close(code, reason)
}

// close is Close with mu held.
func (s *socket) close(code int, reason string) {
	if s.closing {
		return
	}
	if code == int(websocket.StatusNormalClosure) {
		code = CloseSessionEnded
	}
	// RFC 6455, 5.5: a control frame has at most 125 bytes, two of them the code.
	s.closing, s.code, s.reason = true, code, strings.ToValidUTF8(reason[:min(len(reason), 120)], "")
	s.signal()
}

func (s *socket) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write is the writer: it sends the queue, and closes once told to and empty.
func (s *socket) write() {
	for range s.wake {
		for {
			f, ok, closing := s.next()
			if closing {
				s.goodbye()
				return
			}
			if !ok {
				break
			}
			if !s.send(f) {
				s.Close(CloseTooSlow, "write failed")
				_ = s.ws.CloseNow()
				return
			}
		}
	}
}

// goodbye closes the WebSocket. Package websocket waits for the rest of a frame that
// the client has begun, for ever if it never comes; so the end comes from below.
func (s *socket) goodbye() {
	late := time.AfterFunc(closeTimeout, func() { _ = s.conn.Close() })
	defer late.Stop()
	_ = s.ws.Close(websocket.StatusCode(s.code), s.reason)
}

// next takes the oldest frame from the queue. closing is true when none is left and
// the socket is to be closed; code and reason change no more then.
func (s *socket) next() (f frame, ok, closing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return frame{}, false, s.closing
	}
	f, s.queue = s.queue[0], s.queue[1:]
	s.queued -= len(f.b)
	return f, true, false
}

func (s *socket) send(f frame) bool {
	kind := websocket.MessageBinary
	if f.text {
		kind = websocket.MessageText
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return s.ws.Write(ctx, kind, f.b) == nil
}

// ping keeps middleboxes awake and notices clients that vanished.
func (s *socket) ping() {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	for missed := 0; ; {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), pingInterval/2)
		err := s.ws.Ping(ctx)
		cancel()
		if err == nil || s.heard.Swap(false) {
			missed = 0
			continue
		}
		if missed++; missed == maxMissedPings {
			_ = s.ws.CloseNow()
			s.Close(CloseInterrupted, "no sign of life")
			return
		}
	}
}

// finish closes the socket if nobody did, sends what is queued, and waits for the end.
func (s *socket) finish(code int, reason string) {
	s.Close(code, reason)
	s.pump.Wait()
}
