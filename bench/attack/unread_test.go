package attack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"maille/bench/client"
	"maille/node/auth"
	"maille/proto/livekit"
)

// Members of a busy meeting who talk and never read, at its own node and by way of
// another: each is ended, with little kept for it, and the others are told everything.
func TestSocketsLeftUnread(t *testing.T) {
	besiegeFrom(t, mesh, func(s *siege) {
		const deaf, loud, seconds = 20, 6, 20
		var unread []net.Conn
		for i := range deaf {
			c := s.dial()
			token := s.c.Token(&auth.Claims{Identity: fmt.Sprint("deaf-", i), Video: &auth.Grants{RoomJoin: true, Room: victims}})
			if i%2 == 1 {
				token += "&region=lyon" // whose node has the session; the socket is here
			}
			if res := s.upgrade(c, token); res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("status %d", res.StatusCode)
			}
			unread = append(unread, c)
		}
		var eves []*client.Client
		for i := range loud {
			eve := s.talkative(fmt.Sprint("eve-", i))
			defer eve.Close()
			eves = append(eves, eve)
		}
		ping, err := proto.Marshal(&livekit.SignalRequest{Message: &livekit.SignalRequest_PingReq{PingReq: &livekit.Ping{Timestamp: 1}}})
		s.check(err)
		for i := range seconds {
			for _, c := range unread { // it lives: that no ping is answered ends nothing
				_, _ = c.Write(clientFrame(2, true, uint64(len(ping)), ping))
			}
			for _, eve := range eves { // more than is told of each: room.newsRate
				s.check(eve.Send(update("", fmt.Sprint(i)+strings.Repeat("m", 60<<10), nil)))
			}
			wait(time.Second)
		}
		// What is on its way, in the buffers of both ends, and one message that was begun.
		const most = 2<<20 + 64<<10
		for i, c := range unread {
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			n, err := io.Copy(io.Discard, c)
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				t.Errorf("socket %d is still open", i)
			}
			if n > most {
				t.Errorf("socket %d: %d bytes were written to it, want at most %d", i, n, most)
			}
		}
		for _, eve := range eves {
			s.check(eve.Send(update("", "the last", nil)))
		}
		for _, c := range []*client.Client{s.ann, s.bob} {
			s.check(c.Wait(s.ctx, "the last of everyone's news", func() bool {
				for i := range loud {
					if c.Participants()[fmt.Sprint("eve-", i)].GetMetadata() != "the last" {
						return false
					}
				}
				return true
			}))
			s.check(c.Wait(s.ctx, "word that the deaf are gone", func() bool {
				for i := range deaf {
					if c.Participants()[fmt.Sprint("deaf-", i)] != nil {
						return false
					}
				}
				return true
			}))
		}
	})
}
