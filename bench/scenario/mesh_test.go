package scenario

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"maille/bench/client"
	"maille/proto/livekit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Three regions 20 ms apart, a person in each: all see and hear all.
func TestThreeRegionsOneMeeting(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 1, 20*time.Millisecond, "paris", "lyon", "marseille")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		people := map[string]*client.Client{}
		audio, video := map[string]string{}, map[string]string{}
		for _, name := range []string{"paris", "lyon", "marseille"} {
			cl := c.Join(ctx, name, "standup", "in-"+name, "")
			defer cl.Close()
			people[name] = cl
			a, err := cl.PublishAudio(ctx, 20)
			if err != nil {
				t.Fatal(err)
			}
			v, err := cl.PublishVideo(ctx, 3, 30, 1000)
			if err != nil {
				t.Fatal(err)
			}
			audio[name], video[name] = a.Info.Sid, v.Info.Sid
		}
		for at, cl := range people {
			for from := range people {
				if at == from {
					continue
				}
				if err := cl.WaitPackets(ctx, audio[from], 100); err != nil {
					t.Errorf("%s hears %s: %v", at, from, err)
				}
				if err := cl.WaitPackets(ctx, video[from], 100); err != nil {
					t.Errorf("%s sees %s: %v", at, from, err)
					continue
				}
				r := cl.Track(video[from])
				if r.Keyframes.Load() == 0 || r.Disorder.Load() > 0 {
					t.Errorf("%s sees %s: %d keyframes, %d pictures out of order", at, from, r.Keyframes.Load(), r.Disorder.Load())
				}
				sid := cl.Participants()["in-"+from].Sid
				if err := cl.Wait(ctx, from+" speaking", func() bool { return cl.Speaking(sid) }); err != nil {
					t.Error(err)
				}
			}
		}
		shown := c.Show(ctx, "lyon", "standup")
		if got := len(shown.Room.Serving); got != 3 {
			t.Errorf("room served in %d regions, want 3: %v", got, shown.Room.Serving)
		}
		crossings := 0
		for _, n := range shown.Nodes {
			for _, tr := range n.Tracks {
				for _, x := range tr.Crossings {
					if x.Direction == "out" && x.Packets > 0 {
						crossings++
					}
				}
			}
		}
		if crossings != 12 {
			t.Errorf("%d tracks cross a link, want 12: 6 tracks to 2 nodes each, once", crossings)
		}
	})
}

// A socket that lands in one region with its media in another.
func TestSignallingIsProxied(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 2, 20*time.Millisecond, "paris", "lyon", "marseille")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "lyon")
		defer ann.Close()
		if got := ann.Join().Participant.Region; got != "lyon" {
			t.Fatalf("served in %q, want lyon", got)
		}
		bob := c.Join(ctx, "marseille", "standup", "bob", "")
		defer bob.Close()
		a, err := ann.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		if err := bob.WaitPackets(ctx, a.Info.Sid, 50); err != nil {
			t.Fatal(err)
		}
		shown := c.Show(ctx, "marseille", "standup")
		for _, s := range shown.Room.Serving {
			if s.Region == "paris" {
				t.Errorf("paris serves the room although nobody's media is there: %v", shown.Room.Serving)
			}
		}
	})
}

// A link is cut and heals: the meeting goes on in both halves and joins again.
func TestLinkCutAndHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 3, 20*time.Millisecond, "paris", "lyon", "marseille")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		a, err := ann.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		if err := bob.WaitPackets(ctx, a.Info.Sid, 50); err != nil {
			t.Fatal(err)
		}
		c.Net.Cut("paris", "lyon")
		pass(5 * time.Second)
		if _, ok := bob.Participants()["ann"]; !ok {
			t.Error("a cut link made a living participant leave")
		}
		before := bob.Track(a.Info.Sid).Packets.Load()
		c.Net.Heal("paris", "lyon")
		if err := bob.WaitPackets(ctx, a.Info.Sid, before+100); err != nil {
			t.Fatalf("after the heal: %v", err)
		}
	})
}

// Two people open one room at once in two regions: it is placed once.
func TestRoomPlacedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 4, 20*time.Millisecond, "paris", "lyon", "marseille")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sids := make(chan string, 3)
		for _, name := range []string{"paris", "lyon", "marseille"} {
			go func() {
				cl := c.Join(ctx, name, "standup", "in-"+name, "")
				sids <- cl.Join().Room.Sid
				_ = cl.Wait(ctx, "the others", func() bool { return len(cl.Participants()) == 2 })
				cl.Close()
			}()
		}
		first := <-sids
		for range 2 {
			if sid := <-sids; sid != first {
				t.Errorf("two instances of one room: %s and %s", first, sid)
			}
		}
		synctest.Wait()
	})
}

// Data reaches everyone, or only those it is addressed to, in the sender's order.
func TestDataAcrossNodes(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 5, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		eve := c.Join(ctx, "lyon", "standup", "eve", "")
		defer eve.Close()
		if err := ann.OpenData(ctx); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			to := []string{}
			if i%2 == 1 {
				to = []string{"bob"}
			}
			if err := ann.SendData(true, []byte{byte(i)}, to...); err != nil {
				t.Fatal(err)
			}
		}
		for cl, want := range map[*client.Client]int{bob: 20, eve: 10} {
			if err := cl.Wait(ctx, "data", func() bool { return len(cl.Data()) >= want }); err != nil {
				t.Fatalf("%v: got %d of %d", err, len(cl.Data()), want)
			}
			last := -1
			for _, p := range cl.Data() {
				n := int(p.GetUser().Payload[0])
				if n <= last {
					t.Errorf("message %d after %d", n, last)
				}
				last = n
				if p.ParticipantIdentity != "ann" || p.ParticipantSid != ann.Join().Participant.Sid {
					t.Errorf("not stamped with its sender: %v", p)
				}
			}
			if got := len(cl.Data()); got != want {
				t.Errorf("got %d messages, want %d", got, want)
			}
		}
		if n := len(ann.Data()); n != 0 {
			t.Errorf("the sender got %d of its own messages", n)
		}
	})
}

// The same identity joins elsewhere: the earlier session ends, once.
func TestDuplicateIdentityAcrossNodes(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 6, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		first := c.Join(ctx, "paris", "standup", "ann", "")
		defer first.Close()
		second := c.Join(ctx, "lyon", "standup", "ann", "")
		defer second.Close()
		select {
		case <-first.Left():
		case <-ctx.Done():
			t.Fatal("the earlier session lives on")
		}
		if err := first.Err(); err == nil || err.Error() != "leave: "+livekit.DisconnectReason_DUPLICATE_IDENTITY.String()+" DISCONNECT" {
			t.Errorf("left with %v", err)
		}
		pass(time.Second)
		select {
		case <-second.Left():
			t.Errorf("the later session ended too: %v", second.Err())
		default:
		}
	})
}
