package scenario

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"maille/node/auth"
)

// What the token that makes a room says of playout delay is offered to its clients on
// every node, and nothing where it says nothing.
func TestPlayoutDelayOfARoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 31, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		for room, config := range map[string]json.RawMessage{
			"cinema": json.RawMessage(`{"minPlayoutDelay":100,"maxPlayoutDelay":2000}`), "standup": nil,
		} {
			ann := c.JoinAs(ctx, "paris", &auth.Claims{
				Identity: "ann", Video: &auth.Grants{RoomJoin: true, Room: room}, RoomConfig: config,
			})
			defer ann.Close()
			bob := c.Join(ctx, "lyon", room, "bob", "")
			defer bob.Close()
			cam, err := ann.PublishVideo(ctx, 1, 15, 300)
			if err != nil {
				t.Fatal(err)
			}
			if err := bob.WaitPackets(ctx, cam.Info.Sid, 15); err != nil {
				t.Fatal(err)
			}
			offer := bob.Subscriber().RemoteDescription().SDP
			if got, want := strings.Contains(offer, "/rtp-hdrext/playout-delay"), config != nil; got != want {
				t.Errorf("%s: offered: %t, want %t:\n%s", room, got, want, offer)
			}
		}
	})
}
