package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"maille/bench/client"
	"maille/node/auth"
	"maille/proto/livekit"
)

// A client that speaks JSON is answered in JSON, on its node and through another; what it
// says that the node does not know changes nothing.
func TestClientThatSpeaksJSON(t *testing.T) {
	for name, region := range map[string]string{"here": "", "by another node": "lyon"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { speakJSON(t, region) })
		})
	}
}

func speakJSON(t *testing.T, region string) {
	c := Start(t, 74, 20*time.Millisecond, "paris", "lyon")
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	bob := c.Join(ctx, "paris", "standup", "bob", "")
	defer bob.Close()
	yes := true
	claims := &auth.Claims{Identity: "ann", Video: &auth.Grants{RoomJoin: true, Room: "standup", CanUpdateOwnMetadata: &yes}}
	tr := &http.Transport{DialContext: c.newHost("paris").DialContext, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	q := url.Values{"access_token": {c.Token(claims)}, "protocol": {"17"}, "region": {region}}
	ws, _, err := websocket.Dial(ctx, fmt.Sprintf("ws://%s:7880/rtc?%s", c.Nodes["paris"].Host.IP(), q.Encode()), &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(1 << 20)
	texts := 0
	hear := func(what string, is func(*livekit.SignalResponse) bool) {
		t.Helper()
		for {
			kind, b, err := ws.Read(ctx)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			m := new(livekit.SignalResponse)
			if kind == websocket.MessageText {
				texts++
				err = protojson.Unmarshal(b, m)
			} else {
				if texts > 0 {
					t.Errorf("%s: not in JSON after JSON", what)
				}
				err = proto.Unmarshal(b, m)
			}
			if err != nil {
				t.Fatal(err)
			}
			if is(m) {
				return
			}
		}
	}
	say := func(m any) {
		t.Helper()
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := ws.Write(ctx, websocket.MessageText, b); err != nil {
			t.Fatal(err)
		}
	}
	hear("join", func(m *livekit.SignalResponse) bool { return m.GetJoin() != nil })
	say(map[string]any{"aMessageOfTomorrow": map[string]any{"x": 1}})
	say(map[string]any{"pingReq": map[string]any{"timestamp": "123", "tomorrow": true}})
	hear("pong", func(m *livekit.SignalResponse) bool { return m.GetPongResp().GetLastPingTimestamp() == 123 })
	say(map[string]any{"updateMetadata": map[string]any{"requestId": 7, "name": "Ann", "attributes": map[string]string{"hand": "up"}}})
	hear("answer", func(m *livekit.SignalResponse) bool { return m.GetRequestResponse().GetRequestId() == 7 })
	if err := bob.Wait(ctx, "the change", func() bool {
		p := bob.Participants()["ann"]
		return p.GetName() == "Ann" && p.GetAttributes()["hand"] == "up"
	}); err != nil {
		t.Error(err)
	}
	say(map[string]any{"leave": map[string]any{}})
	if err := bob.Wait(ctx, "ann's end", func() bool { return bob.Participants()["ann"] == nil }); err != nil {
		t.Error(err)
	}
	if texts == 0 {
		t.Error("nothing in JSON")
	}
}

// Clients get a fresh token now and then, good for longer than the one before.
func TestTokensAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 75, 20*time.Millisecond, "paris")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		for range 3 {
			before := ann.Token()
			pass(5*time.Minute + time.Second)
			if ann.Token() == before {
				t.Fatal("the token is five minutes old")
			}
		}
		pass(2 * time.Minute)
		again, err := c.Connect(ctx, "paris", client.Options{Token: ann.Token()}, "")
		if err != nil {
			t.Fatalf("joining with the newest token: %v", err)
		}
		again.Close()
	})
}
