package signal

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"maille/proto/livekit"
)

func TestBinarySession(t *testing.T) {
	bubble(t, Config{Host: always(echo)}, func(b *bed) {
		ws := b.join(alice())
		for _, s := range []string{"a", "b", "c"} {
			b.send(ws, offer(s))
			if got := b.read(ws).GetRefreshToken(); got != s {
				b.Errorf("answer %q to %q", got, s)
			}
		}
		b.send(ws, &livekit.SignalRequest{Message: &livekit.SignalRequest_Leave{Leave: &livekit.LeaveRequest{}}})
		b.closed(ws, CloseSessionEnded, "session ended")
	})
}

// Responses follow the kind of the client's last frame (signalling.md 3.1).
func TestTextSession(t *testing.T) {
	bubble(t, Config{Host: always(echo)}, func(b *bed) {
		ws := b.join(alice())
		send := func(s string) string {
			if err := ws.Write(b.Context(), websocket.MessageText, []byte(s)); err != nil {
				b.Fatal(err)
			}
			kind, raw, err := ws.Read(b.Context())
			if err != nil || kind != websocket.MessageText {
				b.Fatal(kind, err)
			}
			return strings.ReplaceAll(string(raw), " ", "")
		}
		if got := send(`{"offer":{"sdp":"x","someday":1}}`); got != `{"refreshToken":"x"}` {
			b.Error(got)
		}
		if got := send(`{"pingReq":{"timestamp":"5"}}`); got != `{"pongResp":{"lastPingTimestamp":"5","timestamp":"946684800000"}}` {
			b.Error(got)
		}
		b.send(ws, offer("y"))
		if got := b.read(ws).GetRefreshToken(); got != "y" {
			b.Error("binary again:", got)
		}
	})
}

func TestPingsStayInHere(t *testing.T) {
	bubble(t, Config{Host: always(echo)}, func(b *bed) {
		ws := b.join(alice())
		b.send(ws, &livekit.SignalRequest{Message: &livekit.SignalRequest_Ping{Ping: 1}})
		if got := b.read(ws).GetPong(); got != time.Now().UnixMilli() {
			b.Error("pong", got)
		}
		b.send(ws, &livekit.SignalRequest{Message: &livekit.SignalRequest_PingReq{PingReq: &livekit.Ping{Timestamp: 7}}})
		if got := b.read(ws).GetPongResp(); got.GetLastPingTimestamp() != 7 || got.GetTimestamp() != time.Now().UnixMilli() {
			b.Error("pong_resp", got)
		}
		// Requests newer than this node: an unknown member, and nothing at all.
		for _, raw := range []string{"\xfa\x3f\x01x", ""} {
			if err := ws.Write(b.Context(), websocket.MessageBinary, []byte(raw)); err != nil {
				b.Fatal(err)
			}
		}
		b.send(ws, offer("next"))
		if got := b.read(ws).GetRefreshToken(); got != "next" {
			b.Error("after unknown requests:", got)
		}
	})
}

func TestBadFramesEndThatClientAlone(t *testing.T) {
	bubble(t, Config{Host: always(echo)}, func(b *bed) {
		other := b.join(alice())
		for name, c := range map[string]struct {
			kind websocket.MessageType
			raw  string
			code int
		}{
			"not protobuf":      {websocket.MessageBinary, "\xff\xff\xff", CloseBadMessage},
			"not JSON":          {websocket.MessageText, "{", CloseBadMessage},
			"not UTF-8 in JSON": {websocket.MessageText, `{"offer":{"sdp":"` + "\xff" + `"}}`, CloseBadMessage},
			"too big":           {websocket.MessageBinary, strings.Repeat("x", MaxMessage+1), CloseTooBig},
		} {
			ws := b.join(alice())
			go func() { _ = ws.Write(context.Background(), c.kind, []byte(c.raw)) }()
			b.Log(name)
			b.closed(ws, c.code, "")
		}
		b.send(other, offer("still here"))
		if got := b.read(other).GetRefreshToken(); got != "still here" {
			b.Error(got)
		}
	})
}

// A frame that declares 2^63 bytes and more has crashed other servers.
func TestAbsurdLength(t *testing.T) {
	ended := make(chan error, 1)
	session := func(ctx context.Context, c Conn) error {
		_, err := c.Read(ctx)
		ended <- err
		return err
	}
	bubble(t, Config{Host: always(session)}, func(b *bed) {
		ended = make(chan error, 1)
		conn, err := b.pipes.dial(b.Context(), "", "")
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		go func() {
			r, _ := http.NewRequest("GET", "http://node/rtc?access_token="+token(b, alice()), nil)
			r.Header = http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
				"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
			}
			_ = r.Write(conn)
			_, _ = conn.Write([]byte("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"))
		}()
		go drain(conn)
		if err := <-ended; err == nil {
			b.Error("the frame was accepted")
		}
	})
}

func drain(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

func TestCloseCodes(t *testing.T) {
	for name, c := range map[string]struct {
		run    sessionFunc
		code   int
		reason string
	}{
		"nil":   {func(context.Context, Conn) error { return nil }, CloseSessionEnded, "session ended"},
		"error": {func(context.Context, Conn) error { return errors.New("lost") }, CloseInterrupted, "interrupted"},
		"panic": {func(context.Context, Conn) error { panic("bug") }, CloseInternal, "internal error"},
		"never 1000": {func(_ context.Context, c Conn) error {
			c.Close(1000, "bye")
			return nil
		}, CloseSessionEnded, "bye"},
		"first call counts, reason is cut": {func(_ context.Context, c Conn) error {
			c.Close(CloseGoingAway, strings.Repeat("é", 100))
			c.Close(CloseInternal, "late")
			if err := c.Write(tokenResponse("late")); err != ErrClosed {
				return errors.New("write after close: " + err.Error())
			}
			return nil
		}, CloseGoingAway, strings.Repeat("é", 60)},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{Host: always(c.run)}, func(b *bed) { b.closed(b.join(alice()), c.code, c.reason) })
		})
	}
}

func TestLeaveAsFirstMessage(t *testing.T) {
	host := hostFunc(func(context.Context, *Join) (Session, error) {
		return Leave(livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT), nil
	})
	bubble(t, Config{Host: host}, func(b *bed) {
		ws := b.join(alice())
		got := b.read(ws).GetLeave()
		if got.GetReason() != livekit.DisconnectReason_STATE_MISMATCH || got.GetAction() != livekit.LeaveRequest_RECONNECT {
			b.Error(got)
		}
		b.closed(ws, CloseSessionEnded, "STATE_MISMATCH")
	})
}

func TestClientCloseReachesTheSession(t *testing.T) {
	got := make(chan error, 1)
	session := func(ctx context.Context, c Conn) error {
		_, err := c.Read(ctx)
		got <- err
		return err
	}
	bubble(t, Config{Host: always(session)}, func(b *bed) {
		got = make(chan error, 1)
		ws := b.join(alice())
		_ = ws.Close(1000, "tab closed")
		err := <-got
		if c, ok := errors.AsType[*Closed](err); !ok || c.Code != 1000 || c.Reason != "tab closed" {
			b.Error(err)
		}
	})
}

// A client that stops reading is cut off; the writer of the room never waits for it.
func TestSlowClient(t *testing.T) {
	result := make(chan error, 1)
	session := func(ctx context.Context, c Conn) error {
		start := time.Now()
		for range 2 * maxQueue {
			if err := c.Write(tokenResponse("x")); err != nil {
				result <- err
				break
			}
		}
		if time.Since(start) > 0 {
			t.Error("Write blocked")
		}
		<-ctx.Done()
		if d := time.Since(start); d > writeTimeout+time.Second {
			t.Error("the socket lived on for", d)
		}
		return ctx.Err()
	}
	bubble(t, Config{Host: always(session)}, func(b *bed) {
		result = make(chan error, 1)
		b.join(alice())
		if err := <-result; err != ErrSlow {
			b.Error(err)
		}
	})
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	result := make(chan int, 1)
	session := func(ctx context.Context, c Conn) error {
		big := tokenResponse(strings.Repeat("x", 1<<20))
		n := 0
		for c.Write(big) == nil {
			n++
		}
		result <- n
		return nil
	}
	bubble(t, Config{Host: always(session)}, func(b *bed) {
		result = make(chan int, 1)
		b.join(alice())
		// One may be in flight besides those queued.
		if n := <-result; n > maxQueueBytes>>20+1 {
			b.Errorf("%d MiB were queued", n)
		}
	})
}

// A host that vanishes without a FIN is noticed by unanswered pings.
func TestVanishedClient(t *testing.T) {
	took := make(chan time.Duration, 1)
	session := func(ctx context.Context, c Conn) error {
		start := time.Now()
		_, err := c.Read(ctx)
		took <- time.Since(start)
		return err
	}
	bubble(t, Config{Host: always(session)}, func(b *bed) {
		took = make(chan time.Duration, 1)
		b.join(alice()) // nobody reads, so nobody answers pings
		if d := <-took; d > 30*time.Second {
			b.Error("noticed after", d)
		}
	})
}

// A client that only answers pings stays: the Go SDK never speaks by itself.
func TestSilentClientStays(t *testing.T) {
	bubble(t, Config{Host: always(echo)}, func(b *bed) {
		ws := b.join(alice())
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		go func() { _, _, _ = ws.Read(ctx) }()
		<-time.After(10 * time.Minute) // virtual
		if n := b.h.Sessions(); n != 1 {
			b.Error(n, "sessions after 10 min")
		}
	})
}

func TestMessageBudget(t *testing.T) {
	const flood = 3 * messageBurst
	read := make(chan time.Duration, 1)
	session := func(ctx context.Context, c Conn) error {
		start := time.Now()
		for range flood {
			if _, err := c.Read(ctx); err != nil {
				return err
			}
		}
		read <- time.Since(start)
		return nil
	}
	bubble(t, Config{Host: always(session)}, func(b *bed) {
		read = make(chan time.Duration, 1)
		ws := b.join(alice())
		go func() {
			for {
				if _, _, err := ws.Read(context.Background()); err != nil {
					return
				}
			}
		}()
		for range flood {
			b.send(ws, offer("x"))
		}
		least := time.Duration(flood-messageBurst) * time.Second / messageRate
		if d := <-read; d < least || d > least+time.Second {
			b.Errorf("%d messages were read in %v, want %v", flood, d, least)
		}
	})
}

func TestHandlerClose(t *testing.T) {
	bubble(t, Config{Host: always(echo)}, func(b *bed) {
		ws := b.join(alice())
		synctest.Wait()
		done := make(chan struct{})
		go func() { _ = b.h.Close(); close(done) }()
		b.closed(ws, CloseGoingAway, "shutting down")
		<-done
		if n := b.h.Sessions(); n != 0 {
			b.Error(n, "sessions after Close")
		}
	})
}
