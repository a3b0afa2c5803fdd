package scenario

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"maille/bench/client"
	"maille/node/signal"
	"maille/proto/livekit"
)

// rehearser is a client that tests itself against the node's faults.
type rehearser struct {
	*client.Client
	mu         sync.Mutex // guards all below
	messages   int
	reconnects int
}

func (r *rehearser) see(m *livekit.SignalResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages++
	if m.GetReconnect() != nil {
		r.reconnects++
	}
}

// heard counts what came since it was last asked.
func (r *rehearser) heard() (messages, reconnects int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	messages, reconnects = r.messages, r.reconnects
	r.messages, r.reconnects = 0, 0
	return messages, reconnects
}

// rehearsal is ann in paris, who speaks and simulates, and bob in lyon.
type rehearsal struct {
	t   *testing.T
	c   *Cluster
	ctx context.Context
	ann *rehearser
	bob *client.Client
}

// rehearse runs f with clients of either form.
func rehearse(t *testing.T, f func(*rehearsal)) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 71, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		r := &rehearsal{t: t, c: c, ctx: ctx, ann: new(rehearser)}
		r.ann.Client = c.JoinWith(ctx, "paris", "drill", "ann", client.Options{Single: single, OnSignal: r.ann.see})
		defer r.ann.Close()
		r.bob = c.Join(ctx, "lyon", "drill", "bob", "")
		defer r.bob.Close()
		if _, err := r.ann.PublishAudio(ctx, 127); err != nil { // silence
			t.Fatal(err)
		}
		if err := r.bob.Wait(ctx, "ann's track", func() bool { return len(r.bob.Participants()["ann"].GetTracks()) == 1 }); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		r.ann.heard()
		f(r)
	})
}

// ends waits until ann's session is over and checks why; an empty reason means the
// socket alone, without a word.
func (r *rehearsal) ends(want string) {
	r.t.Helper()
	select {
	case <-r.ann.Left():
	case <-r.ctx.Done():
		r.t.Fatal("ann's session goes on")
	}
	err := r.ann.Err()
	var closed websocket.CloseError
	switch {
	case want != "" && err.Error() != want:
		r.t.Errorf("ended with %q, want %q", err, want)
	case want == "" && (!errors.As(err, &closed) || closed.Code != signal.CloseInterrupted):
		r.t.Errorf("ended with %q, want code %d alone", err, signal.CloseInterrupted)
	}
}

func (r *rehearsal) gone() {
	r.t.Helper()
	if err := r.bob.Wait(r.ctx, "ann's end", func() bool { return len(r.bob.Participants()) == 0 }); err != nil {
		r.t.Error(err)
	}
}

func TestSimulatedServerLeave(t *testing.T) {
	rehearse(t, func(r *rehearsal) {
		simulate(r.t, r.ann.Client, &livekit.SimulateScenario{Scenario: &livekit.SimulateScenario_ServerLeave{ServerLeave: true}})
		r.ends("leave: SERVER_SHUTDOWN DISCONNECT")
		r.gone()
	})
}

func TestSimulatedFullReconnect(t *testing.T) {
	rehearse(t, func(r *rehearsal) {
		simulate(r.t, r.ann.Client, &livekit.SimulateScenario{Scenario: &livekit.SimulateScenario_LeaveRequestFullReconnect{LeaveRequestFullReconnect: true}})
		r.ends("leave: STATE_MISMATCH RECONNECT")
		r.gone()
	})
}

// A node that fails says nothing; whoever resumes then begins anew.
func TestSimulatedNodeFailure(t *testing.T) {
	rehearse(t, func(r *rehearsal) {
		simulate(r.t, r.ann.Client, &livekit.SimulateScenario{Scenario: &livekit.SimulateScenario_NodeFailure{NodeFailure: true}})
		r.ends("")
		r.gone()
		again, err := r.c.Connect(r.ctx, "lyon", client.Options{Token: r.ann.Token(), Single: r.c.Single, After: r.ann.Client}, "")
		if err == nil {
			again.Close()
			r.t.Fatal("the session goes on")
		}
		if want := "client: not admitted: leave: STATE_MISMATCH RECONNECT"; err.Error() != want {
			r.t.Errorf("the resume ended with %q, want %q", err, want)
		}
	})
}

// A resume is cut once, before or after its first messages; the next one succeeds.
func TestSimulatedCutOfAResume(t *testing.T) {
	for name, silent := range map[string]bool{"after the first messages": false, "before any": true} {
		t.Run(name, func(t *testing.T) {
			rehearse(t, func(r *rehearsal) {
				s := &livekit.SimulateScenario{Scenario: &livekit.SimulateScenario_DisconnectSignalOnResume{DisconnectSignalOnResume: true}}
				if silent {
					s.Scenario = &livekit.SimulateScenario_DisconnectSignalOnResumeNoMessages{DisconnectSignalOnResumeNoMessages: true}
				}
				simulate(r.t, r.ann.Client, s)
				pass(time.Second)
				r.ann.heard()
				if err := r.ann.Resume(r.ctx); err != nil {
					r.t.Fatal(err)
				}
				r.ends("")
				messages, reconnects := r.ann.heard()
				if silent && messages > 0 || !silent && reconnects != 1 {
					r.t.Errorf("%d messages before the cut, %d of them reconnect", messages, reconnects)
				}
				pass(time.Second)
				if err := r.ann.Resume(r.ctx); err != nil {
					r.t.Fatal(err)
				}
				pass(5 * time.Second)
				if _, reconnects := r.ann.heard(); reconnects != 1 {
					r.t.Errorf("%d reconnects on the second resume", reconnects)
				}
				if r.bob.Participants()["ann"].GetSid() != r.ann.Join().Participant.Sid {
					r.t.Error("ann is another, or gone")
				}
			})
		})
	}
}

func TestSimulatedSpeaker(t *testing.T) {
	rehearse(t, func(r *rehearsal) {
		sid := r.ann.Join().Participant.Sid
		if r.bob.Speaking(sid) {
			r.t.Fatal("ann speaks before")
		}
		simulate(r.t, r.ann.Client, &livekit.SimulateScenario{Scenario: &livekit.SimulateScenario_SpeakerUpdate{SpeakerUpdate: 3}})
		pass(time.Second)
		if !r.bob.Speaking(sid) || !r.ann.Speaking(sid) {
			r.t.Error("ann does not speak")
		}
		pass(3 * time.Second)
		if r.bob.Speaking(sid) || r.ann.Speaking(sid) {
			r.t.Error("ann still speaks")
		}
	})
}

// A client that rehearses a narrow path sees small pictures, until it lifts that.
func TestSimulatedBandwidth(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 72, 20*time.Millisecond, "paris")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		alice := c.Join(ctx, "paris", "drill", "alice", "")
		defer alice.Close()
		camera, err := alice.PublishVideo(ctx, 3, cameraFPS, cameraSize)
		if err != nil {
			t.Fatal(err)
		}
		bob := c.watch(ctx, "paris", "drill", "bob")
		defer bob.Close()
		if err := bob.WaitPackets(ctx, camera.Info.Sid, 100); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			bits int64
			want int
		}{{0, 2}, {400e3, 0}, {10e3, -1}, {0, 2}} {
			simulate(t, bob.Client, &livekit.SimulateScenario{Scenario: &livekit.SimulateScenario_SubscriberBandwidth{SubscriberBandwidth: step.bits}})
			pass(15 * time.Second)
			if got := bob.layer(camera.Info.Sid); got != step.want || bob.isPaused(camera.Info.Sid) != (step.want < 0) {
				t.Errorf("at %d bit/s: layer %d, paused %v; want layer %d", step.bits, got, bob.isPaused(camera.Info.Sid), step.want)
			}
		}
	})
}
