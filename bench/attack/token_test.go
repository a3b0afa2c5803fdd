package attack

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"maille/bench/client"
	"maille/bench/scenario"
	"maille/node/auth"
	"maille/proto/livekit"
)

// ask requests a socket and returns the status, 101 when it was opened.
func (s *siege) ask(query, token string) int {
	s.t.Helper()
	tr := &http.Transport{DialContext: s.host().DialContext, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	c, res, err := websocket.Dial(s.ctx, "ws://"+s.c.Nodes[node].Host.IP().String()+":7880/rtc?protocol=17"+query, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: tr}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if res == nil {
		s.t.Fatal(err)
	}
	if c != nil {
		_ = c.CloseNow()
	}
	return res.StatusCode
}

// sign makes a token by hand.
func sign(method jwt.SigningMethod, header map[string]any, claims jwt.MapClaims, secret any) string {
	t := jwt.NewWithClaims(method, claims)
	for k, v := range header {
		t.Header[k] = v
	}
	out, err := t.SignedString(secret)
	if err != nil {
		panic(err)
	}
	return out
}

// Tokens that fooled others, at the door of a running node: none opens a socket.
func TestTokens(t *testing.T) {
	besiege(t, func(s *siege) {
		key, secret := s.c.Key()
		now := time.Now()
		good := func(change ...func(jwt.MapClaims)) jwt.MapClaims {
			c := jwt.MapClaims{
				"iss": key, "sub": "eve", "exp": now.Add(time.Hour).Unix(), "nbf": now.Unix(),
				"video": map[string]any{"roomJoin": true, "room": victims},
			}
			for _, f := range change {
				f(c)
			}
			return c
		}
		hs := func(change ...func(jwt.MapClaims)) string {
			return sign(jwt.SigningMethodHS256, nil, good(change...), []byte(secret))
		}
		video := func(v map[string]any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c["video"] = v } }
		set := func(k string, v any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[k] = v } }
		parts := strings.Split(hs(), ".")
		twice := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(
			`{"iss":%q,"sub":"eve","exp":%d,"video":{"roomJoin":true,"room":"x","room":%q}}`, key, now.Add(time.Hour).Unix(), victims)))
		for name, token := range map[string]string{
			"alg none":        sign(jwt.SigningMethodNone, nil, good(), jwt.UnsafeAllowNoneSignatureType),
			"alg None":        sign(jwt.SigningMethodNone, map[string]any{"alg": "None"}, good(), jwt.UnsafeAllowNoneSignatureType),
			"alg RS256":       sign(jwt.SigningMethodHS256, map[string]any{"alg": "RS256"}, good(), []byte(secret)),
			"alg ES256":       sign(jwt.SigningMethodHS256, map[string]any{"alg": "ES256"}, good(), []byte(secret)),
			"alg HS512":       sign(jwt.SigningMethodHS512, nil, good(), []byte(secret)),
			"kid traversal":   sign(jwt.SigningMethodHS256, map[string]any{"kid": "../../dev/null"}, good(), []byte("")),
			"other secret":    sign(jwt.SigningMethodHS256, nil, good(), []byte("a-secret-of-someone-else-32-bytes")),
			"no exp":          hs(func(c jwt.MapClaims) { delete(c, "exp") }),
			"exp year 9999":   hs(set("exp", 253402300799)),
			"exp past":        hs(set("exp", now.Add(-2*time.Minute).Unix())),
			"nbf future":      hs(set("nbf", now.Add(2*time.Minute).Unix())),
			"iss other":       hs(set("iss", "APIother")),
			"no iss":          hs(func(c jwt.MapClaims) { delete(c, "iss") }),
			"aud":             hs(set("aud", []string{"mail", "maille"})),
			"room twice":      parts[0] + "." + twice + "." + parts[2],
			"no join grant":   hs(video(map[string]any{"room": victims})),
			"no video":        hs(func(c jwt.MapClaims) { delete(c, "video") }),
			"payload swapped": parts[0] + "." + twice + "." + parts[2],
			"no signature":    parts[0] + "." + parts[1] + ".",
			"dots":            strings.Repeat(".", 10<<10),
		} {
			if status := s.ask("", token); status != http.StatusUnauthorized {
				t.Errorf("%s: status %d", name, status)
			}
		}
		for name, token := range map[string]string{
			"empty room":     hs(video(map[string]any{"roomJoin": true, "room": ""})),
			"no room":        hs(video(map[string]any{"roomJoin": true})),
			"empty identity": hs(set("sub", "")),
		} {
			if status := s.ask("", token); status < 400 || status >= 500 {
				t.Errorf("%s: status %d", name, status)
			}
		}
		if len(s.ann.Participants()) != 1 {
			t.Errorf("ann sees %v", s.ann.Participants())
		}
		// A room named "*" is a room of that name.
		if status := s.ask("", hs(video(map[string]any{"roomJoin": true, "room": "*"}))); status != http.StatusSwitchingProtocols {
			t.Errorf(`room "*": status %d`, status)
		}
		// The room in the URL counts for nothing.
		if status := s.ask("&room="+victims+"&identity=ann", s.token("eve")); status != http.StatusSwitchingProtocols {
			t.Errorf("status %d", status)
		}
		wait(time.Second)
		if len(s.ann.Participants()) != 1 {
			t.Errorf("ann sees %v", s.ann.Participants())
		}
		joins := s.c.Metrics(node)[`maille_signal_joins_total{outcome="refused"}`]
		if joins < 20 {
			t.Errorf("%v refused joins counted", joins)
		}
	})
}

// A megabyte of dots for a token, in header and URL.
func TestHugeTokens(t *testing.T) {
	besiege(t, func(s *siege) {
		dots := strings.Repeat(".", 1<<20)
		for name, request := range map[string]string{
			"header": "GET /rtc HTTP/1.1\r\nHost: paris\r\nAuthorization: Bearer " + dots + "\r\n\r\n",
			"URL":    "GET /rtc?access_token=" + dots + " HTTP/1.1\r\nHost: paris\r\n\r\n",
		} {
			c := s.dial()
			_, _ = c.Write([]byte(request))
			if !ended(c, 10*time.Second) {
				t.Errorf("%s: still open", name)
			}
		}
	})
}

// Resuming somebody else's session: the token alone says whose session it is, and a
// token for one room opens none in another.
func TestForgedResume(t *testing.T) {
	besiege(t, func(s *siege) {
		sid := s.ann.Join().Participant.Sid
		for _, token := range []string{
			s.token("eve"), s.token("ann"), // rooms of their own
			s.c.Token(&auth.Claims{Identity: "eve", Video: &auth.Grants{RoomJoin: true, Room: victims}}),
		} {
			s.ask("&reconnect=1&sid="+url.QueryEscape(sid), token)
		}
		// An own token with a forged sid: the session it names is not that one.
		c := s.ws(s.c.Token(&auth.Claims{Identity: "bob", Video: &auth.Grants{RoomJoin: true, Room: "lobby"}}))
		_ = c.CloseNow()
		wait(time.Second)
		for _, c := range []*client.Client{s.ann, s.bob} {
			select {
			case <-c.Left():
				t.Errorf("a victim was thrown out: %v", c.Err())
			default:
			}
		}
	})
}

// Who was removed does not come back with the token it had, nor with one that was
// refreshed from it, by whatever node, from two seconds later on; with a new one it does.
func TestRemovedStaysOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		c := scenario.Start(t, 1, 20*time.Millisecond, "paris", "lyon", "marseille")
		defer c.Close()
		ann := c.Join(ctx, "paris", victims, "ann", "")
		defer ann.Close()
		claims := func() *auth.Claims {
			return &auth.Claims{Identity: "eve", Name: "eve", Video: &auth.Grants{RoomJoin: true, Room: victims}}
		}
		token := c.Token(claims())
		refreshed := make(chan string, 10)
		join := func(at, token, query string) (*client.Client, error) {
			return c.Connect(ctx, at, client.Options{Token: token, OnSignal: func(m *livekit.SignalResponse) {
				if r := m.GetRefreshToken(); r != "" {
					refreshed <- r
				}
			}}, query)
		}
		eve, err := join("lyon", token, "")
		if err != nil {
			t.Fatal(err)
		}
		defer eve.Close()
		if err := ann.Wait(ctx, "eve", func() bool { return ann.Participants()["eve"] != nil }); err != nil {
			t.Fatal(err)
		}
		wait(2 * time.Second)
		c.Net.Cut("marseille", "lyon")
		c.Net.Cut("marseille", "paris")
		wait(2 * time.Second)
		if !c.Nodes["paris"].Node.Remove(victims, "eve") {
			t.Fatal("nobody to remove")
		}
		select {
		case <-eve.Left():
		case <-time.After(2 * time.Second):
			t.Fatal("eve is still there")
		}
		if err := eve.Err(); err == nil || !strings.Contains(err.Error(), livekit.DisconnectReason_PARTICIPANT_REMOVED.String()) {
			t.Errorf("left with %v", err)
		}
		wait(2 * time.Second)
		again := <-refreshed
		for _, at := range []string{"paris", "lyon", "marseille"} {
			if at == "marseille" { // which was away meanwhile
				c.Net.Heal("marseille", "lyon")
				c.Net.Heal("marseille", "paris")
				wait(10 * time.Second)
			}
			for name, tok := range map[string]string{"its token": token, "the refreshed one": again} {
				for _, query := range []string{"", "?reconnect=1"} {
					back, err := join(at, tok, query)
					if err == nil {
						t.Errorf("back at %s with %s%s", at, name, query)
						back.Close()
						continue
					}
					if !strings.Contains(err.Error(), "401") {
						t.Errorf("at %s: %v", at, err)
					}
				}
			}
			if n := c.Metrics(at)[`maille_client_refused_total{reason="token"}`]; n < 4 {
				t.Errorf("%s counted %v", at, n)
			}
		}
		back, err := join("marseille", c.Token(claims()), "")
		if err != nil {
			t.Fatalf("not readmitted with a new token: %v", err)
		}
		_ = back.Close()
	})
}
