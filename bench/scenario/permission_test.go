package scenario

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"maille/bench/client"
	"maille/proto/livekit"
)

// One of two listeners on another node is shut out and let in again: told each time, and
// without packets at once.
func TestSubscriptionPermissionAcrossNodes(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 63, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		var denied, allowed atomic.Int32
		eve, err := c.Connect(ctx, "lyon", client.Options{Token: c.Token(claimsOf("eve")), Single: single, OnSignal: func(m *livekit.SignalResponse) {
			switch u := m.GetSubscriptionPermissionUpdate(); {
			case u == nil:
			case u.Allowed:
				allowed.Add(1)
			default:
				denied.Add(1)
			}
		}}, "")
		if err != nil {
			t.Fatal(err)
		}
		defer eve.Close()
		sound, err := ann.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		sid := sound.Info.Sid
		for _, cl := range []*client.Client{bob, eve} {
			if err := cl.WaitPackets(ctx, sid, 50); err != nil {
				t.Fatal(err)
			}
		}
		permit := func(p *livekit.SubscriptionPermission) {
			if err := ann.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_SubscriptionPermission{SubscriptionPermission: p}}); err != nil {
				t.Fatal(err)
			}
		}
		permit(&livekit.SubscriptionPermission{TrackPermissions: []*livekit.TrackPermission{{ParticipantIdentity: "bob", AllTracks: true}}})
		pass(100 * time.Millisecond)
		heard, before := eve.Track(sid).Packets.Load(), bob.Track(sid).Packets.Load()
		pass(2 * time.Second)
		if got := eve.Track(sid).Packets.Load(); got != heard {
			t.Errorf("%d packets for eve after she was shut out", got-heard)
		}
		if got := bob.Track(sid).Packets.Load() - before; got < 95 {
			t.Errorf("bob heard %d of 100 packets meanwhile", got)
		}
		if denied.Load() != 1 {
			t.Errorf("eve was told %d times that she may not hear", denied.Load())
		}
		permit(&livekit.SubscriptionPermission{AllParticipants: true})
		if err := eve.Wait(ctx, "leave to hear", func() bool { return allowed.Load() == 1 }); err != nil {
			t.Fatal(err)
		}
		if err := eve.Wait(ctx, "packets again", func() bool { return eve.Track(sid).Packets.Load() > heard }); err != nil {
			t.Error(err)
		}
	})
}
