package scenario

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/client"
	"maille/proto/livekit"
)

// bothForms runs a scenario with clients of either form of the protocol: with two
// connections, and with one.
func bothForms(t *testing.T, f func(t *testing.T, single bool)) {
	for name, single := range map[string]bool{"two connections": false, "one connection": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, single) })
		})
	}
}

// sections counts what a client was asked for.
type sections struct {
	mu            sync.Mutex // guards all below
	audio, video  uint32
	asked, leaves int
}

func (s *sections) see(m *livekit.SignalResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := m.GetMediaSectionsRequirement(); r != nil {
		s.asked++
		s.audio, s.video = s.audio+r.NumAudios, s.video+r.NumVideos
	}
	if m.GetLeave() != nil {
		s.leaves++
	}
}

// Twelve people publish, on two nodes; one more watches them all, with a dozen more
// sections than its first offer had, asked for in few requests.
func TestManyPublishersOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 21, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		const people = 12
		sids := make(map[string]bool)
		for i := range people {
			cl := c.Join(ctx, []string{"paris", "lyon"}[i%2], "plenary", fmt.Sprint("p", i), "")
			defer cl.Close()
			a, err := cl.PublishAudio(ctx, 20)
			if err != nil {
				t.Fatal(err)
			}
			v, err := cl.PublishVideo(ctx, 1, 10, 300)
			if err != nil {
				t.Fatal(err)
			}
			sids[a.Info.Sid], sids[v.Info.Sid] = false, true
		}
		var seen sections
		late := c.JoinWith(ctx, "paris", "plenary", "late", client.Options{Single: true, OnSignal: seen.see})
		defer late.Close()
		for sid, video := range sids {
			if !video {
				continue // of the voices only the loudest are sent
			}
			if err := late.WaitPackets(ctx, sid, 10); err != nil {
				t.Error(err)
			}
		}
		mids := late.Mids()
		if len(mids) != len(sids) {
			t.Errorf("%d tracks in the map of sections, want %d", len(mids), len(sids))
		}
		for _, sid := range mids {
			if _, ok := sids[sid]; !ok {
				t.Errorf("the map names %s, which nobody publishes", sid)
			}
		}
		seen.mu.Lock()
		defer seen.mu.Unlock()
		if seen.audio != people-3 || seen.video != people-3 || seen.asked > 3 {
			t.Errorf("asked %d times for %d and %d sections, want %d of each in at most 3", seen.asked, seen.audio, seen.video, people-3)
		}
	})
}

// What is given up comes back, in a section used before; a mute and a leave change
// nothing for the others.
func TestSubscribeAgain(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 22, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		v, err := ann.PublishVideo(ctx, 3, 30, 1000)
		if err != nil {
			t.Fatal(err)
		}
		sid := v.Info.Sid
		for round := range 3 {
			if err := bob.WaitPackets(ctx, sid, 30); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if err := bob.Subscribe(false, sid); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
			gone := bob.Track(sid).Packets.Load()
			pass(time.Second)
			if now := bob.Track(sid).Packets.Load(); now != gone {
				t.Errorf("round %d: %d packets of a track that is not subscribed", round, now-gone)
			}
			if err := bob.Subscribe(true, sid); err != nil {
				t.Fatal(err)
			}
			bob.Forget(sid)
		}
		if err := ann.Mute(sid, true); err != nil {
			t.Fatal(err)
		}
		muted := func(want bool) func() bool {
			return func() bool {
				p := bob.Participants()["ann"]
				return p != nil && len(p.Tracks) == 1 && p.Tracks[0].Muted == want
			}
		}
		if err := bob.Wait(ctx, "the mute", muted(true)); err != nil {
			t.Fatal(err)
		}
		if err := ann.Mute(sid, false); err != nil {
			t.Fatal(err)
		}
		if err := bob.Wait(ctx, "the unmute", muted(false)); err != nil {
			t.Fatal(err)
		}
		if err := bob.WaitPackets(ctx, sid, 30); err != nil {
			t.Fatal(err)
		}
		if err := ann.Close(); err != nil {
			t.Fatal(err)
		}
		if err := bob.Wait(ctx, "ann leaving", func() bool { return len(bob.Participants()) == 0 }); err != nil {
			t.Fatal(err)
		}
	})
}

// A lost socket is a pause in signalling: the client comes back on another and restarts
// ICE, which costs media a round trip or two.
func TestResumeBothForms(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 23, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "lyon")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		mine, err := ann.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		his, err := bob.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		for round := range 2 {
			if err := ann.WaitPackets(ctx, his.Info.Sid, uint64(50+500*round)); err != nil {
				t.Fatal(err)
			}
			if err := ann.Resume(ctx); err != nil {
				t.Fatal(err)
			}
			pass(5 * time.Second)
		}
		// What came up while the socket was away is caught up with.
		ann.Cut()
		v, err := bob.PublishVideo(ctx, 1, 30, 500)
		if err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		if err := ann.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		if err := ann.WaitPackets(ctx, v.Info.Sid, 30); err != nil {
			t.Error(err)
		}
		heard := bob.Track(mine.Info.Sid).Packets.Load()
		if err := bob.WaitPackets(ctx, mine.Info.Sid, heard+50); err != nil {
			t.Error(err)
		}
		// 100 ms of each of the three restarts.
		if gaps := bob.Track(mine.Info.Sid).Gaps.Load(); gaps > 15 {
			t.Errorf("bob missed %d packets of ann", gaps)
		}
		select {
		case <-ann.Left():
			t.Errorf("ann's session ended: %v", ann.Err())
		default:
		}
	})
}

// Firefox sends its first offer after joining.
func TestOfferAfterJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 24, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		a, err := ann.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		var seen sections
		bob := c.JoinWith(ctx, "lyon", "standup", "bob", client.Options{Single: true, LateOffer: true, OnSignal: seen.see})
		defer bob.Close()
		if err := bob.WaitPackets(ctx, a.Info.Sid, 50); err != nil {
			t.Fatal(err)
		}
		seen.mu.Lock()
		defer seen.mu.Unlock()
		if seen.asked > 1 {
			t.Errorf("asked %d times for sections", seen.asked)
		}
	})
}

// Firefox is sent what comes up later once it was told of the section, also when that was
// while its socket was away.
func TestLaterTracksOfFirefox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 27, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.JoinWith(ctx, "lyon", "standup", "bob", client.Options{Single: true, LateOffer: true, Browser: "firefox"})
		defer bob.Close()
		first, err := ann.PublishVideo(ctx, 1, 30, 500)
		if err != nil {
			t.Fatal(err)
		}
		if err := bob.WaitPackets(ctx, first.Info.Sid, 30); err != nil {
			t.Fatal(err)
		}
		bob.Cut()
		second, err := ann.PublishVideo(ctx, 1, 30, 500)
		if err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		if err := bob.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		if err := bob.WaitPackets(ctx, second.Info.Sid, 30); err != nil {
			t.Error(err)
		}
	})
}
