package scenario

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/client"
	"maille/node/auth"
	"maille/proto/livekit"
)

// witness notes what a client is told of one other.
type witness struct {
	mu       sync.Mutex // guards all below
	of       string
	ended    int
	versions []uint32
	sids     map[string]bool
}

func watching(of string) *witness { return &witness{of: of, sids: make(map[string]bool)} }

func (w *witness) see(m *livekit.SignalResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range m.GetUpdate().GetParticipants() {
		if p.Identity != w.of {
			continue
		}
		if p.State == livekit.ParticipantInfo_DISCONNECTED {
			w.ended++
		}
		w.sids[p.Sid] = true
		w.versions = append(w.versions, p.Version)
	}
}

func claimsOf(who string) *auth.Claims {
	return &auth.Claims{Identity: who, Name: who, Video: &auth.Grants{RoomJoin: true, Room: "standup"}}
}

// mover joins as a client that can go on by another node.
func mover(ctx context.Context, c *Cluster, entry, who string) *client.Client {
	c.t.Helper()
	cl, err := c.Connect(ctx, entry, client.Options{Token: c.Token(claimsOf(who)), SDK: livekit.ClientInfo_JS, Single: c.Single}, "")
	if err != nil {
		c.t.Fatal(err)
	}
	return cl
}

// goOn continues a session through an entry.
func goOn(ctx context.Context, c *Cluster, entry string, from *client.Client) *client.Client {
	c.t.Helper()
	cl, err := c.Connect(ctx, entry, client.Options{Token: from.Token(), SDK: livekit.ClientInfo_JS, Single: c.Single, After: from}, "")
	if err != nil {
		c.t.Fatal(err)
	}
	return cl
}

// simulate asks for one of the clients' own fault tests.
func simulate(t *testing.T, c *client.Client, s *livekit.SimulateScenario) {
	t.Helper()
	if err := c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Simulate{Simulate: s}}); err != nil {
		t.Fatal(err)
	}
}

// Someone is sent to another node: same sid, same tracks, and to the others no more than
// a moment without packets.
func TestSentToAnotherNode(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 61, 20*time.Millisecond, "paris", "lyon", "brest")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := mover(ctx, c, "paris", "ann")
		w := watching("ann")
		bob, err := c.Connect(ctx, "lyon", client.Options{Token: c.Token(claimsOf("bob")), Single: single, OnSignal: w.see}, "")
		if err != nil {
			t.Fatal(err)
		}
		defer bob.Close()
		sound, err := ann.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		if err := bob.WaitPackets(ctx, sound.Info.Sid, 100); err != nil {
			t.Fatal(err)
		}
		pass(time.Second) // her newest token names her track
		simulate(t, ann, &livekit.SimulateScenario{Scenario: &livekit.SimulateScenario_Migration{Migration: true}})
		<-ann.Left()
		if got := ann.Err().Error(); got != "leave: MIGRATION RESUME" {
			t.Fatalf("sent away with %q", got)
		}
		sid := ann.Join().Participant.Sid
		again := goOn(ctx, c, "paris", ann)
		defer again.Close()
		if _, err := again.Again(ctx, sound); err != nil {
			t.Fatal(err)
		}
		before := bob.Track(sound.Info.Sid).Packets.Load()
		if err := bob.WaitPackets(ctx, sound.Info.Sid, before+100); err != nil {
			t.Fatalf("bob hears ann no more: %v", err)
		}
		info := bob.Participants()["ann"]
		if node := info.Attributes["maille.node"]; node == "paris" || info.Sid != sid {
			t.Errorf("ann is %s on %s, want %s on another node than paris", info.Sid, node, sid)
		}
		pass(10 * time.Second) // the old node has let go for good
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.ended > 0 || len(w.sids) != 1 {
			t.Errorf("bob was told of %d ends, sids %v", w.ended, w.sids)
		}
		for i := 1; i < len(w.versions); i++ {
			if w.versions[i] < w.versions[i-1] {
				t.Errorf("versions went back: %v", w.versions)
				break
			}
		}
		ann.Drop()
	})
}

// A node vanishes. Its people resume through others and are who they were, even if the
// room has forgotten them already.
func TestNodeOfAParticipantVanishes(t *testing.T) {
	for name, forgotten := range map[string]bool{"at once": false, "when all have forgotten": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := Start(t, 62, 20*time.Millisecond, "paris", "lyon", "brest")
				defer c.Close()
				c.Single = true
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				bob := c.Join(ctx, "lyon", "standup", "bob", "")
				defer bob.Close()
				ann := mover(ctx, c, "paris", "ann")
				sound, err := ann.PublishAudio(ctx, 20)
				if err != nil {
					t.Fatal(err)
				}
				if err := bob.WaitPackets(ctx, sound.Info.Sid, 100); err != nil {
					t.Fatal(err)
				}
				pass(time.Second)
				c.Kill("paris")
				if forgotten {
					if err := bob.Wait(ctx, "ann's end", func() bool { return len(bob.Participants()) == 0 }); err != nil {
						t.Fatal(err)
					}
				} else {
					pass(2 * time.Second) // links notice
				}
				again := goOn(ctx, c, "lyon", ann)
				defer again.Close()
				if _, err := again.Again(ctx, sound); err != nil {
					t.Fatal(err)
				}
				if err := bob.Wait(ctx, "ann", func() bool {
					return bob.Participants()["ann"].GetSid() == ann.Join().Participant.Sid
				}); err != nil {
					t.Fatal(err)
				}
				was := uint64(0)
				if r := bob.Track(sound.Info.Sid); r != nil {
					was = r.Packets.Load()
				}
				if err := bob.WaitPackets(ctx, sound.Info.Sid, was+100); err != nil {
					t.Errorf("bob does not hear ann: %v", err)
				}
				ann.Drop()
				c.Abandon("paris")
			})
		})
	}
}

// A voice that came with redundancy comes without it from the next node: those who hear
// it go on in the section that they have.
func TestVoiceWithoutRedundancyAfterAMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 64, 20*time.Millisecond, "paris", "lyon", "brest")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		with := []string{"audio/red", "video/VP8"}
		ann, err := c.Connect(ctx, "paris", client.Options{Token: c.Token(claimsOf("ann")), SDK: livekit.ClientInfo_JS, Codecs: with}, "")
		if err != nil {
			t.Fatal(err)
		}
		// She goes to the node of one of them; for the other she moves between two far ones.
		people := make(map[string]*client.Client)
		for _, at := range []string{"lyon", "brest"} {
			people[at] = c.JoinWith(ctx, at, "standup", "in-"+at, client.Options{Codecs: with, OnSignal: func(m *livekit.SignalResponse) {
				if m.GetSubscriptionResponse() != nil {
					t.Errorf("in %s they are told %v", at, m)
				}
			}})
			defer people[at].Close()
		}
		voice, err := ann.PublishRED(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		for at, cl := range people {
			if err := cl.WaitPackets(ctx, voice.Info.Sid, 100); err != nil {
				t.Fatalf("%s: %v", at, err)
			}
		}
		pass(time.Second) // her newest token names her track
		simulate(t, ann, &livekit.SimulateScenario{Scenario: &livekit.SimulateScenario_Migration{Migration: true}})
		<-ann.Left()
		again := goOn(ctx, c, "paris", ann)
		defer again.Close()
		if _, err := again.Again(ctx, voice); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		for at, cl := range people {
			r := cl.Track(voice.Info.Sid)
			before, redundant := r.Packets.Load(), r.Redundant.Load()
			if err := cl.WaitPackets(ctx, voice.Info.Sid, before+100); err != nil {
				t.Fatalf("%s hears ann no more: %v", at, err)
			}
			if got := cl.Participants()["ann"].Tracks[0].MimeType; got != "audio/opus" || r.Redundant.Load() != redundant {
				t.Errorf("in %s the voice is %s, %d packets with redundancy", at, got, r.Redundant.Load()-redundant)
			}
		}
		ann.Drop()
	})
}
