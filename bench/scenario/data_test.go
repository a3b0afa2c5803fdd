package scenario

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/client"
	"maille/bench/sim"
	"maille/proto/livekit"
)

// numbers reads the user packets of a sender that carry a number, and fails on disorder.
func numbers(t *testing.T, cl *client.Client, from string) (got []int) {
	t.Helper()
	last := -1
	for _, p := range cl.Data() {
		if p.ParticipantIdentity != from || len(p.GetUser().GetPayload()) < 4 {
			continue
		}
		n := int(binary.BigEndian.Uint32(p.GetUser().GetPayload()))
		if n <= last {
			t.Fatalf("%d of %s after %d", n, from, last)
		}
		last = n
		got = append(got, n)
	}
	return got
}

func number(n, size int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(n)), make([]byte, size)...)
}

// Reliable data through loss, a cut with a third node to go through, and a cut of all
// links: every message arrives, once, in order.
func TestDataInOrderThroughCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 31, 20*time.Millisecond, "paris", "lyon", "brest")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		people := map[string]*client.Client{}
		for _, name := range []string{"paris", "lyon", "brest"} {
			people[name] = c.Join(ctx, name, "standup", name, "")
			defer people[name].Close()
			if err := people[name].OpenData(ctx); err != nil {
				t.Fatal(err)
			}
		}
		const n = 30 * 40 // 40 s
		var slowest time.Duration
		waits := func(at, from string, sent int) time.Duration {
			began := time.Now()
			if err := people[at].Wait(ctx, "data", func() bool { return len(numbers(t, people[at], from)) > sent }); err != nil {
				for _, p := range people {
					t.Logf("%v knows %d", p.Join().Participant.Identity, len(p.Participants()))
				}
				t.Fatalf("%s waits for %d of %s: %v, has %d", at, sent, from, err, len(numbers(t, people[at], from)))
			}
			return time.Since(began)
		}
		for i := range n {
			switch i {
			case 30 * 2:
				c.Net.Path("paris", "lyon", sim.Path{Delay: 20 * time.Millisecond, Loss: 0.05})
			case 30 * 8:
				c.Net.Cut("paris", "lyon")
			case 30*12 + 1:
				slowest = waits("lyon", "paris", i-30) // a second late at most: the way around works
			case 30 * 16:
				c.Net.Heal("paris", "lyon")
			case 30 * 24:
				c.Net.Cut("paris", "lyon")
				c.Net.Cut("paris", "brest")
			case 30 * 30:
				c.Net.Heal("paris", "lyon")
				c.Net.Heal("paris", "brest")
			}
			for name, cl := range people {
				if err := cl.SendData(true, number(i, 100)); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			pass(time.Second / 30)
		}
		for at := range people {
			for from := range people {
				if at != from {
					waits(at, from, n-1)
					if got := len(numbers(t, people[at], from)); got != n {
						t.Errorf("%s has %d of %d from %s", at, got, n, from)
					}
				}
			}
		}
		if slowest > 100*time.Millisecond {
			t.Errorf("during the cut, data went around %v late", slowest+time.Second)
		}
	})
}

// A reader that stops reading is let go; the others' messages come as before.
func TestSlowReaderCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 32, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		c.Net.Path("farm", "lyon", sim.Path{Delay: 5 * time.Millisecond, Rate: 500e3})
		eve := c.JoinFrom(ctx, "farm", "lyon", "standup", "eve")
		defer eve.Drop()
		if err := ann.OpenData(ctx); err != nil {
			t.Fatal(err)
		}
		const chunks = 400 // 6 MB at 7 Mbit/s
		var worst time.Duration
		for i := range chunks {
			if err := ann.SendData(true, number(i, 15_000)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := bob.Wait(ctx, "chunk", func() bool { return len(bob.Data()) > i }); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(began))
			pass(time.Second/60 - time.Since(began)%(time.Second/60))
		}
		if len(numbers(t, bob, "ann")) != chunks || worst > 100*time.Millisecond {
			t.Errorf("bob has %d of %d, one of them %v late", len(bob.Data()), chunks, worst)
		}
		select {
		case <-eve.Left():
		case <-ctx.Done():
			t.Fatal("the slow reader lives on")
		}
		if err := eve.Err(); err == nil || err.Error() != "leave: "+livekit.DisconnectReason_STATE_MISMATCH.String()+" RECONNECT" {
			t.Errorf("left with %v", err)
		}
	})
}

// A client that resumes is told what came of its messages, and gets again those that it
// says it lacks: no others, and none that were not for it.
func TestResumeReplaysData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 33, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		resumed := make(chan *livekit.ReconnectResponse, 1)
		ann := c.JoinWith(ctx, "paris", "standup", "ann", client.Options{OnSignal: func(m *livekit.SignalResponse) {
			if r := m.GetReconnect(); r != nil {
				resumed <- r
			}
		}})
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		if err := ann.OpenData(ctx); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			to := []string{}
			if i == 8 {
				to = []string{"eve"}
			}
			if err := ann.SendData(true, number(i, 10), to...); err != nil {
				t.Fatal(err)
			}
		}
		if err := bob.Wait(ctx, "data", func() bool { return len(bob.Data()) == 9 }); err != nil {
			t.Fatal(err)
		}
		if err := ann.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		if r := <-resumed; r.LastMessageSeq != 10 {
			t.Errorf("ann is told that %d of 10 came", r.LastMessageSeq)
		}
		if err := bob.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		sync := &livekit.SyncState{DatachannelReceiveStates: []*livekit.DataChannelReceiveState{{PublisherSid: ann.Join().Participant.Sid, LastSeq: 6}}}
		if err := bob.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_SyncState{SyncState: sync}}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		var again []uint32
		for _, p := range bob.Data()[9:] {
			again = append(again, p.Sequence)
		}
		if !slices.Equal(again, []uint32{7, 8, 10}) {
			t.Errorf("replayed %v, want 7, 8 and 10: 9 was for another", again)
		}
	})
}

// Someone who floods the room is held to a rate before anyone else pays: what the others
// say comes as fast as before.
func TestFloodCostsOnlyItsSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 34, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		eve := c.Join(ctx, "paris", "standup", "eve", "")
		defer eve.Close()
		for _, cl := range []*client.Client{ann, eve} {
			if err := cl.OpenData(ctx); err != nil {
				t.Fatal(err)
			}
		}
		const seconds, rate = 3, 10_000
		sent := make(map[int]time.Time)
		var worst time.Duration
		seen := 0
		look := func() {
			for _, n := range numbers(t, bob, "ann")[seen:] {
				worst = max(worst, time.Since(sent[n]))
				seen++
			}
		}
		for ms := range seconds * 1000 {
			for range rate / 1000 {
				if err := eve.SendData(ms%2 == 0, []byte("spam")); err != nil {
					t.Fatal(err)
				}
			}
			if ms%50 == 0 {
				sent[ms] = time.Now()
				if err := ann.SendData(true, number(ms, 50)); err != nil {
					t.Fatal(err)
				}
			}
			pass(time.Millisecond)
			look()
		}
		pass(100 * time.Millisecond)
		look()
		if seen != len(sent) || worst > 60*time.Millisecond {
			t.Errorf("bob has %d of %d of ann's messages, one %v late", seen, len(sent), worst)
		}
		spam := len(bob.Data()) - seen
		if limit := 2 * (300 + seconds*300 + 100); spam > limit {
			t.Errorf("%d of %d messages of the flood came to bob, limit %d", spam, seconds*rate, limit)
		}
		t.Logf("%d of %d messages of the flood came to bob; ann's worst %v", spam, seconds*rate, worst)
	})
}
