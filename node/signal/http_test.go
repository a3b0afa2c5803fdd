package signal

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"maille/node/auth"
)

// checker is a host whose Validate fails as told.
type checker struct{ err error }

func (c checker) Join(context.Context, *Join) (Session, error) { return nil, c.err }
func (c checker) Validate(context.Context, *Join) error        { return c.err }

func get(h http.Handler, path string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	if header != nil {
		r.Header = header
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func handler(host Host) *Handler {
	return New(Config{Verifier: &auth.Verifier{Keys: map[string]string{key: secret}}, Host: host})
}

// What clients see when a join is refused (signalling.md 2.3). The same checks run
// before the upgrade of /rtc.
func TestRefusals(t *testing.T) {
	good := token(t, alice())
	with := func(change func(*auth.Claims)) string {
		c := alice()
		change(c)
		return token(t, c)
	}
	long := strings.Repeat("x", MaxName+1)
	attributes := "&attributes=" + url.QueryEscape("eyJhIjoiMSJ9")
	for name, c := range map[string]struct {
		host  error
		query string
		code  int
		body  string
	}{
		"fine":            {nil, "?access_token=" + good, 200, "success"},
		"no token":        {nil, "", 401, "no access token was given"},
		"rubbish token":   {nil, "?access_token=x", 401, "the access token is malformed"},
		"no video claim":  {nil, "?access_token=" + with(func(c *auth.Claims) { c.Video = nil }), 401, "the access token does not allow this: it has no video claim"},
		"no roomJoin":     {nil, "?access_token=" + with(func(c *auth.Claims) { c.Video.RoomJoin = false }), 401, "the access token does not allow this: it lacks the grant video.roomJoin"},
		"empty room":      {nil, "?room=other&access_token=" + with(func(c *auth.Claims) { c.Video.Room = "" }), 400, "the token names no room"},
		"empty identity":  {nil, "?access_token=" + with(func(c *auth.Claims) { c.Identity = "" }), 400, "the token names no identity"},
		"long room":       {nil, "?access_token=" + with(func(c *auth.Claims) { c.Video.Room = long }), 400, "the room is longer than 256 bytes"},
		"long identity":   {nil, "?access_token=" + with(func(c *auth.Claims) { c.Identity = long }), 400, "the identity is longer than 256 bytes"},
		"long name":       {nil, "?access_token=" + with(func(c *auth.Claims) { c.Name = long }), 400, "the name is longer than 256 bytes"},
		"bad flag":        {nil, "?auto_subscribe=maybe&access_token=" + good, 400, "parameter auto_subscribe must be 1 or 0"},
		"bad number":      {nil, "?protocol=-1&access_token=" + good, 400, "parameter protocol is not a number"},
		"publish":         {nil, "?publish=cam&access_token=" + good, 400, "parameter publish is not supported"},
		"bad attributes":  {nil, "?attributes=%21&access_token=" + good, 400, "parameter attributes is not base64url"},
		"bad query":       {nil, "?access_token=" + good + "&a=%zz", 400, "the query is malformed"},
		"attributes":      {nil, "?access_token=" + good + attributes, 401, "the access token does not allow this: it lacks the grant video.canUpdateOwnMetadata"},
		"join request":    {nil, "?join_request=!&access_token=" + good, 400, "join_request is not base64"},
		"room missing":    {ErrRoomMissing, "?access_token=" + good, 404, "requested room does not exist"},
		"node full":       {Unavailable("the node is full", errors.New("secret cause")), "?access_token=" + good, 503, "the node is full"},
		"deadline":        {context.DeadlineExceeded, "?access_token=" + good, 503, "the room could not be reached in time"},
		"bug":             {errors.New("secret cause"), "?access_token=" + good, 500, "internal error"},
		"token elsewhere": {&auth.Error{Kind: auth.UnknownKey}, "?access_token=" + good, 401, "the access token was issued by an unknown API key"},
	} {
		w := get(handler(checker{c.host}), "/rtc/validate"+c.query, nil)
		if w.Code != c.code || strings.TrimSpace(w.Body.String()) != c.body {
			t.Errorf("%s: %d %q, want %d %q", name, w.Code, w.Body, c.code, c.body)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: page cannot read the answer", name)
		}
		if c.host == nil && c.code == 200 {
			continue
		}
		handshake := http.Header{
			"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"WebSocket"},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
		}
		if w := get(handler(checker{c.host}), "/rtc"+c.query, handshake); w.Code != c.code {
			t.Errorf("%s: %d on /rtc, want %d", name, w.Code, c.code)
		}
	}
}

func TestRoutes(t *testing.T) {
	good := "?access_token=" + token(t, alice())
	for _, c := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"GET", "/rtc" + good, 404, ""},
		{"GET", "//rtc//validate" + good, 200, "success"},
		{"GET", "/rtc/v1" + good, 404, ""},
		{"GET", "/rtc/v1/validate" + good + "&join_request=CAA%3D", 200, "success"},
		{"GET", "/rtc/validate" + good + "&join_request=CAA", 200, "success"},
		{"GET", "/rtc/v1/validate" + good, 400, "join_request is required\n"},
		{"GET", "/rtc/v2" + good, 404, "not found\n"},
		{"POST", "/rtc" + good, 405, "method not allowed\n"},
		{"OPTIONS", "/rtc/validate", 204, ""},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Header.Set("Access-Control-Request-Headers", "authorization, x-any")
		w := httptest.NewRecorder()
		handler(checker{}).ServeHTTP(w, r)
		if w.Code != c.code || w.Body.String() != c.body {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path[:12], w.Code, w.Body, c.code, c.body)
		}
		if c.method == "OPTIONS" && w.Header().Get("Access-Control-Allow-Headers") != "authorization, x-any" {
			t.Error("preflight", w.Header())
		}
	}
}

func TestMiddleware(t *testing.T) {
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.Path)) })
	if got := get(CORS(CollapseSlashes(inner)), "//a///b/", nil); got.Body.String() != "/a/b/" || got.Header().Get("Access-Control-Expose-Headers") != "*" {
		t.Error(got.Body, got.Header())
	}
}

func TestSessionsAreLimited(t *testing.T) {
	bubble(t, Config{Host: always(echo), MaxSessions: 1}, func(b *bed) {
		b.join(alice())
		w := get(b.h, "/rtc/validate?access_token="+token(b, alice()), nil)
		if w.Code != 503 || !strings.Contains(w.Body.String(), "the node is full") {
			b.Error(w.Code, w.Body)
		}
	})
}

// A host that hangs or panics costs one client one answer.
func TestHostTrouble(t *testing.T) {
	handshake := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
		"Authorization": {"Bearer " + token(t, alice())},
	}
	synctest.Test(t, func(t *testing.T) {
		hang := hostFunc(func(ctx context.Context, _ *Join) (Session, error) { <-ctx.Done(); return nil, ctx.Err() })
		handshake.Set("Authorization", "Bearer "+token(t, alice()))
		start := time.Now()
		if w := get(handler(hang), "/rtc", handshake); w.Code != 503 || time.Since(start) != joinTimeout {
			t.Error(w.Code, w.Body, time.Since(start))
		}
		bug := hostFunc(func(context.Context, *Join) (Session, error) { panic("bug") })
		if w := get(handler(bug), "/rtc", handshake); w.Code != 500 || strings.Contains(w.Body.String(), "bug") {
			t.Error(w.Code, w.Body)
		}
	})
}

// A session made for a client that cannot be upgraded still runs, to clean up.
func TestUpgradeFails(t *testing.T) {
	ran := false
	session := func(ctx context.Context, c Conn) error {
		ran = true
		if _, err := c.Read(ctx); err != ErrClosed {
			t.Error("read:", err)
		}
		if err := c.Write(tokenResponse("x")); err != ErrClosed {
			t.Error("write:", err)
		}
		c.Close(1001, "")
		return ctx.Err()
	}
	get(handler(always(session)), "/rtc", http.Header{ // a recorder cannot be hijacked
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
		"Authorization": {"Bearer " + token(t, alice())},
	})
	if !ran {
		t.Error("session was never told")
	}
}
