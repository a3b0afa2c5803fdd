package signal

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"maille/node/auth"
	"maille/proto/livekit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key    = "APIkey"
	secret = "0123456789abcdef0123456789abcdef"
)

func token(t testing.TB, c *auth.Claims) string {
	t.Helper()
	s, err := auth.Mint(key, secret, c, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func alice() *auth.Claims {
	return &auth.Claims{Identity: "alice", Name: "Alice", Video: &auth.Grants{RoomJoin: true, Room: "r"}}
}

type hostFunc func(context.Context, *Join) (Session, error)

func (f hostFunc) Join(ctx context.Context, j *Join) (Session, error) { return f(ctx, j) }

type sessionFunc func(context.Context, Conn) error

func (f sessionFunc) Run(ctx context.Context, c Conn) error { return f(ctx, c) }

// always is a host whose every session is f.
func always(f sessionFunc) Host {
	return hostFunc(func(context.Context, *Join) (Session, error) { return f, nil })
}

// echo answers every request with a refresh_token that counts them, until the client
// leaves.
func echo(ctx context.Context, c Conn) error {
	for {
		req, err := c.Read(ctx)
		if err != nil {
			return err
		}
		if req.GetLeave() != nil {
			return nil
		}
		if err := c.Write(tokenResponse(req.GetOffer().GetSdp())); err != nil {
			return err
		}
	}
}

func tokenResponse(s string) *livekit.SignalResponse {
	return &livekit.SignalResponse{Message: &livekit.SignalResponse_RefreshToken{RefreshToken: s}}
}

func offer(sdp string) *livekit.SignalRequest {
	return &livekit.SignalRequest{Message: &livekit.SignalRequest_Offer{Offer: &livekit.SessionDescription{Sdp: sdp}}}
}

// pipes is a listener of in-memory connections, so that tests may run in a bubble.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7880} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// bed is a handler behind an http.Server in a bubble.
type bed struct {
	*testing.T
	h     *Handler
	pipes *pipes
}

// bubble runs f in a synctest bubble against a served handler.
func bubble(t *testing.T, cfg Config, f func(b *bed)) {
	synctest.Test(t, func(t *testing.T) {
		cfg.Verifier = &auth.Verifier{Keys: map[string]string{key: secret}}
		b := &bed{T: t, h: New(cfg), pipes: &pipes{conns: make(chan net.Conn), done: make(chan struct{})}}
		server := &http.Server{Handler: b.h}
		go func() { _ = server.Serve(b.pipes) }()
		defer server.Close()
		defer b.h.Close()
		f(b)
	})
}

// join opens a socket on /rtc as claims.
func (b *bed) join(c *auth.Claims) *websocket.Conn {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: b.pipes.dial, DisableKeepAlives: true}}
	ws, _, err := websocket.Dial(b.Context(), "ws://node/rtc", &websocket.DialOptions{
		HTTPClient: client,
		HTTPHeader: http.Header{"Authorization": {"Bearer " + token(b, c)}},
	})
	if err != nil {
		b.Fatal(err)
	}
	ws.SetReadLimit(-1)
	b.Cleanup(func() { _ = ws.CloseNow() })
	return ws
}

func (b *bed) send(ws *websocket.Conn, m *livekit.SignalRequest) {
	b.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	if err := ws.Write(b.Context(), websocket.MessageBinary, raw); err != nil {
		b.Fatal(err)
	}
}

// read expects a binary frame.
func (b *bed) read(ws *websocket.Conn) *livekit.SignalResponse {
	b.Helper()
	kind, raw, err := ws.Read(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if kind != websocket.MessageBinary {
		b.Fatalf("text frame %s", raw)
	}
	m := new(livekit.SignalResponse)
	if err := proto.Unmarshal(raw, m); err != nil {
		b.Fatal(err)
	}
	return m
}

// closed reads to the end and expects a close code and a part of its reason.
func (b *bed) closed(ws *websocket.Conn, code int, reason string) {
	b.Helper()
	for {
		_, _, err := ws.Read(b.Context())
		if err == nil {
			continue
		}
		if got := websocket.CloseStatus(err); int(got) != code || !strings.Contains(err.Error(), reason) {
			b.Errorf("socket ended with %v, want code %d and %q", err, code, reason)
		}
		return
	}
}
