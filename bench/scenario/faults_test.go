package scenario

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/client"
)

// Law 3: media does not wait for the control plane. The leader's node vanishes; the
// people of the others lose nothing of each other.
func TestLeaderLostCostsNoPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 21, 20*time.Millisecond, "paris", "lyon", "brest")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		leader := c.Leader(ctx)
		var names []string
		for name := range c.Nodes {
			if name != leader {
				names = append(names, name)
			}
		}
		people := make(map[string]*client.Client)
		sids := make(map[string]string)
		for _, name := range names {
			people[name] = c.Join(ctx, name, "standup", "in-"+name, "")
			defer people[name].Close()
			a, err := people[name].PublishAudio(ctx, 20)
			if err != nil {
				t.Fatal(err)
			}
			sids[name] = a.Info.Sid
		}
		a, b := names[0], names[1]
		for from, to := range map[string]string{a: b, b: a} {
			if err := people[to].WaitPackets(ctx, sids[from], 50); err != nil {
				t.Fatal(err)
			}
		}
		c.Kill(leader)
		before := map[string]uint64{a: people[a].Track(sids[b]).Packets.Load(), b: people[b].Track(sids[a]).Packets.Load()}
		pass(10 * time.Second)
		for to, from := range map[string]string{a: b, b: a} {
			r := people[to].Track(sids[from])
			if got := r.Packets.Load() - before[to]; got < 495 || r.Gaps.Load() > 0 {
				t.Errorf("%s heard %d of 500 packets, %d gaps", to, got, r.Gaps.Load())
			}
		}
		// The two that are left elect a leader and open a new room.
		other := c.Join(ctx, a, "another", "ann", "")
		other.Close()
		c.Abandon(leader)
	})
}

// A client that vanishes without a word is noticed by its silence.
func TestVanishedClientIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 22, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		if err := bob.Wait(ctx, "ann", func() bool { return len(bob.Participants()) == 1 }); err != nil {
			t.Fatal(err)
		}
		if err := ann.Drop(); err != nil {
			t.Fatal(err)
		}
		if err := bob.Wait(ctx, "ann's end", func() bool { return len(bob.Participants()) == 0 }); err != nil {
			t.Fatal(err)
		}
	})
}

// A node that stops tells its people to come again, and the others hear them leave.
func TestStoppedNodeSendsItsPeopleElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 23, 20*time.Millisecond, "paris", "lyon", "brest")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Drop()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		if err := bob.Wait(ctx, "ann", func() bool { return len(bob.Participants()) == 1 }); err != nil {
			t.Fatal(err)
		}
		c.Stop(c.Nodes["paris"])
		select {
		case <-ann.Left():
		case <-ctx.Done():
			t.Fatal("the client was not told")
		}
		if err := ann.Err(); err == nil || err.Error() != "leave: SERVER_SHUTDOWN RECONNECT" {
			t.Errorf("left with %v, want to be told to join again", err)
		}
		if err := bob.Wait(ctx, "ann's departure", func() bool { return len(bob.Participants()) == 0 }); err != nil {
			t.Error(err)
		}
		// She joins again through another node and meets bob.
		again := c.Join(ctx, "brest", "standup", "ann", "")
		defer again.Close()
		if err := again.Wait(ctx, "bob", func() bool { return len(again.Participants()) == 1 }); err != nil {
			t.Error(err)
		}
	})
}
