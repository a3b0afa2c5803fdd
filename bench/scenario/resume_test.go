package scenario

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"maille/bench/client"
	"maille/proto/livekit"
)

// heard reads the numbers that a client has of a sender: a client that resumes may get
// some again and knows them by their sequence, as here.
func heard(cl *client.Client, from string) (got []int) {
	var last uint32
	for _, p := range cl.Data() {
		if p.ParticipantIdentity != from || p.Sequence <= last {
			continue
		}
		last = p.Sequence
		got = append(got, int(p.Sequence))
	}
	return got
}

// upTo is 1 to n.
func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i + 1
	}
	return out
}

// partings counts how often a client was told that somebody left.
type partings struct{ n atomic.Int32 }

func (g *partings) see(m *livekit.SignalResponse) {
	for _, p := range m.GetUpdate().GetParticipants() {
		if p.State == livekit.ParticipantInfo_DISCONNECTED {
			g.n.Add(1)
		}
	}
}

// has is what a client says of the data that it has from another.
func has(cl *client.Client, from *client.Client, identity string) *livekit.SignalRequest {
	all := heard(cl, identity)
	state := &livekit.DataChannelReceiveState{PublisherSid: from.Join().Participant.Sid, LastSeq: uint32(len(all))}
	return &livekit.SignalRequest{Message: &livekit.SignalRequest_SyncState{SyncState: &livekit.SyncState{
		DatachannelReceiveStates: []*livekit.DataChannelReceiveState{state},
	}}}
}

// A client whose media is lost for so long that its transport fails is asked to resume,
// and then it is who it was: the others saw nothing, and what was said meanwhile is
// there.
func TestFailedTransportResumesWhole(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 41, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var seen partings
		ann := c.JoinWith(ctx, "paris", "standup", "ann", client.Options{OnSignal: seen.see})
		defer ann.Close()
		asked := make(chan *livekit.LeaveRequest, 4)
		bob := c.JoinWith(ctx, "lyon", "standup", "bob", client.Options{OnSignal: func(m *livekit.SignalResponse) {
			if l := m.GetLeave(); l != nil {
				asked <- l
			}
		}})
		defer bob.Close()
		for _, cl := range []*client.Client{ann, bob} {
			if err := cl.OpenData(ctx); err != nil {
				t.Fatal(err)
			}
		}
		sent := 0
		say := func() {
			t.Helper()
			if err := ann.SendData(true, number(sent, 100)); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		say()
		node := c.Nodes["lyon"].Host.IP().String()
		c.Net.Drop(func(from, to netip.AddrPort, _ []byte) bool { return to.String() == node+":7882" })
		var leave *livekit.LeaveRequest
		for began := time.Now(); leave == nil && time.Since(began) < time.Minute; pass(100 * time.Millisecond) {
			select {
			case leave = <-asked:
			default:
			}
			say()
		}
		if leave.GetAction() != livekit.LeaveRequest_RESUME {
			t.Fatalf("bob was told %v", leave)
		}
		c.Net.Drop(nil)
		if err := bob.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		if err := bob.Send(has(bob, ann, "ann")); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			say()
			pass(50 * time.Millisecond)
		}
		if err := bob.Wait(ctx, "what ann said", func() bool { return slices.Equal(heard(bob, "ann"), upTo(sent)) }); err != nil {
			t.Errorf("%v; of %d: %v", err, sent, heard(bob, "ann"))
		}
		if n := seen.n.Load(); n > 0 {
			t.Errorf("ann was told %d times that somebody left", n)
		}
		if sid := ann.Participants()["bob"].GetSid(); sid != bob.Join().Participant.Sid {
			t.Errorf("ann knows bob as %s, he is %s", sid, bob.Join().Participant.Sid)
		}
	})
}

// A client that resumes again and again, while it talks and is talked to, misses nothing.
func TestResumesInTheMiddleOfTalk(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 42, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		people := []*client.Client{ann, bob}
		for _, cl := range people {
			if err := cl.OpenData(ctx); err != nil {
				t.Fatal(err)
			}
		}
		const rounds, each = 6, 400
		for range rounds {
			if err := bob.Resume(ctx); err != nil {
				t.Fatal(err)
			}
			if err := bob.Send(has(bob, ann, "ann")); err != nil {
				t.Fatal(err)
			}
			for i := range each {
				for _, cl := range people {
					if err := cl.SendData(true, number(i, 100)); err != nil {
						t.Fatal(err)
					}
				}
				pass(5 * time.Millisecond)
			}
		}
		for i, of := range []string{"bob", "ann"} {
			cl := people[i]
			if err := cl.Wait(ctx, "all that was said", func() bool { return slices.Equal(heard(cl, of), upTo(rounds*each)) }); err != nil {
				t.Errorf("of %s: %v: %d", of, err, len(heard(cl, of)))
			}
		}
	})
}

// A client that ended one of its connections and stays is told at once to begin anew.
func TestEndedConnectionIsNotKept(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 43, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		if err := bob.OpenData(ctx); err != nil {
			t.Fatal(err)
		}
		if err := bob.Publisher().Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-bob.Left():
		case <-time.After(2 * time.Second):
			t.Fatal("bob was told nothing within 2 s")
		}
		if err := bob.Err(); err == nil || err.Error() != "leave: STATE_MISMATCH RECONNECT" {
			t.Errorf("bob was told: %v", err)
		}
		if err := ann.Wait(ctx, "bob's end", func() bool { return ann.Participants()["bob"] == nil }); err != nil {
			t.Error(err)
		}
	})
}

// A client that resumes more often than ICE may restart goes on all the same while its
// media flows. If that fails in the end it is asked to resume, and then, as there is no
// restart left, at once to join anew, which it can.
func TestResumesBeyondTheBoundEndInAJoin(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 44, 20*time.Millisecond, "paris")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		sound, err := ann.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan *livekit.LeaveRequest, 16)
		bob := c.JoinWith(ctx, "paris", "standup", "bob", client.Options{OnSignal: func(m *livekit.SignalResponse) {
			if l := m.GetLeave(); l != nil {
				asked <- l
			}
		}})
		defer bob.Close()
		if err := bob.WaitPackets(ctx, sound.Info.Sid, 10); err != nil {
			t.Fatal(err)
		}
		told := func(within time.Duration) *livekit.LeaveRequest {
			select {
			case l := <-asked:
				return l
			case <-time.After(within):
				return nil
			}
		}
		const most = 8 // rtc.maxRestarts
		for range most {
			if err := bob.Resume(ctx); err != nil {
				t.Fatal(err)
			}
			if l := told(2 * time.Second); l != nil {
				t.Fatalf("bob was told %v", l)
			}
		}
		node := c.Nodes["paris"].Host.IP().String()
		const bobs = "10.1.0.3" // the second client's
		c.Net.Drop(func(a, b netip.AddrPort, _ []byte) bool {
			return b.String() == node+":7882" && a.Addr().String() == bobs
		})
		if l := told(40 * time.Second); l.GetAction() != livekit.LeaveRequest_RESUME {
			t.Fatalf("bob was told %v", l)
		}
		c.Net.Drop(nil)
		if err := bob.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		if l := told(2 * time.Second); l.GetAction() != livekit.LeaveRequest_RECONNECT || l.GetReason() != livekit.DisconnectReason_STATE_MISMATCH {
			t.Fatalf("bob was told %v", l)
		}
		again := c.Join(ctx, "paris", "standup", "bob", "")
		defer again.Close()
		if err := again.WaitPackets(ctx, sound.Info.Sid, 10); err != nil {
			t.Error(err)
		}
	})
}
