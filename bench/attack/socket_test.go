package attack

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"maille/node/auth"
	"maille/node/signal"
	"maille/proto/livekit"
)

// dial opens a connection to the client port from a new machine.
func (s *siege) dial() net.Conn {
	s.t.Helper()
	c, err := s.host().DialContext(s.ctx, "tcp", s.c.Nodes[node].Host.IP().String()+":7880")
	s.check(err)
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// token is a guest's, for a room of its own.
func (s *siege) token(identity string) string {
	return s.c.Token(&auth.Claims{Identity: identity, Video: &auth.Grants{RoomJoin: true, Room: "lobby"}})
}

// upgrade asks for a socket by hand and returns what was answered.
func (s *siege) upgrade(c net.Conn, token string, header ...string) *http.Response {
	s.t.Helper()
	lines := append([]string{
		"GET /rtc?protocol=17&access_token=" + token + " HTTP/1.1", "Host: paris", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
	}, header...)
	_, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n\r\n")
	s.check(err)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	s.check(err)
	return res
}

// clientFrame is one WebSocket frame as clients send them, masked with zeros. length is
// what the frame claims.
func clientFrame(opcode byte, final bool, length uint64, payload []byte) []byte {
	b := []byte{opcode}
	if final {
		b[0] |= 0x80
	}
	switch {
	case length < 126:
		b = append(b, 0x80|byte(length))
	case length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), length)
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// ended waits until the node ends a connection, reading what comes meanwhile.
func ended(c net.Conn, within time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, c)
	var late net.Error
	return !errors.As(err, &late) || !late.Timeout()
}

// Frames that claim more than they may, or more than there can be: the node ends the
// socket without waiting for the bytes.
func TestFrameLengths(t *testing.T) {
	besiege(t, func(s *siege) {
		for i, length := range []uint64{signal.MaxMessage + 1, 10 << 30, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
			c := s.dial()
			if res := s.upgrade(c, s.token(fmt.Sprint("guest-", i))); res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("status %d", res.StatusCode)
			}
			for range signal.MaxMessage>>14 + 2 { // more than the bound in all, should the length not be looked at
				if _, err := c.Write(clientFrame(2, true, length, make([]byte, 16<<10))); err != nil {
					break
				}
			}
			if !ended(c, 20*time.Second) {
				t.Errorf("a frame of %d bytes is waited for", length)
			}
		}
	})
}

// A message in fragments of one byte, and pings, without end: neither counts as a
// message, so what is read of a connection is bounded.
func TestFrameFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		for name, frame := range map[string][]byte{
			"fragments": clientFrame(0, false, 1, []byte{0}),
			"pings":     clientFrame(9, true, 100, make([]byte, 100)),
		} {
			c := s.dial()
			s.upgrade(c, s.token("guest"))
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = io.Copy(io.Discard, c) })
			_, err := c.Write(clientFrame(2, false, 1, []byte{0}))
			s.check(err)
			const seconds = 2
			taken, burst := 0, bytes.Repeat(frame, 10000/len(frame))
			_ = c.SetWriteDeadline(time.Now().Add(seconds * time.Second))
			for {
				n, err := c.Write(burst)
				if taken += n; err != nil {
					break
				}
			}
			// A megabyte and a half is on its way, in the buffers of both ends.
			if most := signal.ConnectionBurst + seconds*signal.ConnectionRate + 3<<19; taken > most {
				t.Errorf("%s: %d bytes were read in %d s, want at most %d", name, taken, seconds, most)
			}
			_ = c.Close()
			wg.Wait()
		}
	})
}

// Control frames that are too long, fragmented, or unmasked data: all against RFC 6455.
func TestFramesAgainstTheRules(t *testing.T) {
	besiege(t, func(s *siege) {
		for name, b := range map[string][]byte{
			"long ping":        clientFrame(9, true, 1000, make([]byte, 1000)),
			"fragmented ping":  clientFrame(9, false, 4, make([]byte, 4)),
			"reserved opcode":  clientFrame(3, true, 4, make([]byte, 4)),
			"reserved bits":    append([]byte{0xf2, 0x84}, make([]byte, 8)...),
			"not masked":       {0x82, 0x02, 0, 0},
			"continues naught": clientFrame(0, true, 4, make([]byte, 4)),
			"no message":       clientFrame(2, true, 4, []byte{0xff, 0xff, 0xff, 0xff}),
			"no JSON":          clientFrame(1, true, 4, []byte("{]}{")),
			"no UTF-8":         clientFrame(1, true, 2, []byte{0xc3, 0x28}),
		} {
			c := s.dial()
			s.upgrade(c, s.token("guest"))
			_, err := c.Write(b)
			s.check(err)
			if !ended(c, 20*time.Second) {
				t.Errorf("%s: the socket is still open", name)
			}
		}
	})
}

// permessage-deflate is declined whoever asks for it: what is not inflated is no bomb.
func TestNoCompression(t *testing.T) {
	besiege(t, func(s *siege) {
		c := s.dial()
		res := s.upgrade(c, s.token("guest"), "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
		if got := res.Header.Get("Sec-WebSocket-Extensions"); res.StatusCode != http.StatusSwitchingProtocols || got != "" {
			t.Errorf("status %d, extensions %q", res.StatusCode, got)
		}
	})
}

// A client that never reads what it causes: it is sent away and nobody waits for it.
func TestNeverReading(t *testing.T) {
	besiege(t, func(s *siege) {
		c := s.dial()
		s.upgrade(c, s.token("guest"))
		// Each of these is answered with itself.
		big, err := proto.Marshal(&livekit.SignalRequest{Message: &livekit.SignalRequest_UpdateMetadata{
			UpdateMetadata: &livekit.UpdateParticipantMetadata{Metadata: strings.Repeat("x", 400<<10)},
		}})
		s.check(err)
		closed := false
		for range 200 {
			_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
			if _, err := c.Write(clientFrame(2, true, uint64(len(big)), big)); err != nil {
				closed = true
				break
			}
		}
		if !closed {
			t.Error("80 MB were taken and answered into nowhere")
		}
	})
}

// Headers that come a byte at a time, or never, on many connections.
func TestSlowHeaders(t *testing.T) {
	besiege(t, func(s *siege) {
		var conns []net.Conn
		for range 100 {
			conns = append(conns, s.dial())
		}
		began := time.Now()
		var wg sync.WaitGroup
		for i, c := range conns {
			wg.Go(func() {
				head := "GET /rtc HTTP/1.1\r\nHost: paris\r\nX-Slow: " + strings.Repeat("a", 100)
				for j := range head {
					if i%2 == 1 {
						break // says nothing at all
					}
					if _, err := c.Write([]byte{head[j]}); err != nil {
						return
					}
					wait(time.Second)
				}
			})
		}
		for _, c := range conns {
			if !ended(c, signal.HeaderTimeout+2*time.Second-time.Since(began)+time.Second) {
				t.Fatalf("a request without end is waited for after %v", time.Since(began))
			}
		}
		wg.Wait()
	})
}

// A header without end.
func TestHugeHeader(t *testing.T) {
	besiege(t, func(s *siege) {
		c := s.dial()
		_, err := io.WriteString(c, "GET /rtc HTTP/1.1\r\nHost: paris\r\n")
		s.check(err)
		for i := range 100 {
			if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("a", 4000)); err != nil {
				break
			}
		}
		if !ended(c, 10*time.Second) {
			t.Error("400 kB of header are taken")
		}
	})
}

// Bodies that come slowly, and connections that are kept for a next request.
func TestIdleConnections(t *testing.T) {
	besiege(t, func(s *siege) {
		idle, slow := s.dial(), s.dial()
		_, err := io.WriteString(idle, "GET /readyz HTTP/1.1\r\nHost: paris\r\n\r\n")
		s.check(err)
		_, err = io.WriteString(slow, "POST /readyz HTTP/1.1\r\nHost: paris\r\nContent-Length: 1000000\r\n\r\nx")
		s.check(err)
		if !ended(idle, signal.IdleTimeout+2*time.Second) {
			t.Error("a connection that asked once is kept for ever")
		}
		if !ended(slow, signal.RequestTimeout+signal.IdleTimeout) {
			t.Error("a body is waited for without end")
		}
	})
}

// Requests as fast as they can be written: the socket is read no faster than one
// client's share, and the room serves the others.
func TestMessageFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join(victims, "guest")
		defer guest.Close()
		for i := range 5000 {
			s.check(guest.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Subscription{
				Subscription: &livekit.UpdateSubscription{TrackSids: []string{s.flows[i%4].sent.Info.Sid}, Subscribe: i%8 < 4},
			}}))
		}
		// A thousand at once, then a hundred a second: the newest are not done yet.
		wait(5 * time.Second)
		s.check(guest.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_PingReq{PingReq: &livekit.Ping{Timestamp: 1}}}))
		wait(30 * time.Second)
	})
}

// ws opens a socket with the ordinary library.
func (s *siege) ws(token string) *websocket.Conn {
	s.t.Helper()
	tr := &http.Transport{DialContext: s.host().DialContext, DisableKeepAlives: true}
	s.t.Cleanup(tr.CloseIdleConnections)
	c, _, err := websocket.Dial(s.ctx, "ws://"+s.c.Nodes[node].Host.IP().String()+":7880/rtc?protocol=17", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: tr}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	s.check(err)
	c.SetReadLimit(1 << 20)
	return c
}

// Noise in frames that are well-formed.
func TestMessageNoise(t *testing.T) {
	besiege(t, func(s *siege) {
		for i := range 200 {
			c := s.ws(s.token(fmt.Sprint("guest-", i)))
			noise := make([]byte, 1+i)
			_, _ = rand.Read(noise)
			ctx, cancel := context.WithTimeout(s.ctx, time.Second)
			_ = c.Write(ctx, websocket.MessageType(1+i%2), noise)
			_, _, _ = c.Read(ctx)
			cancel()
			_ = c.CloseNow()
		}
		wait(15 * time.Second)
	})
}
