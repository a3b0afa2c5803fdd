package room

import (
	"testing"
	"time"

	"maille/node/auth"
	"maille/node/guard"
	"maille/node/rtc"
	"maille/node/signal"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
	"maille/relay"
)

// Someone who is let in while the room closes here is let go like everybody else.
func TestJoinWhileTheRoomCloses(t *testing.T) {
	s := newStage(t)
	j := &signal.Join{Room: "standup", Identity: "ann", Client: &livekit.ClientInfo{}, Claims: &auth.Claims{Identity: "ann", Video: &auth.Grants{RoomJoin: true, Room: "standup"}}}
	p, err := s.room.newPeers(j, false)
	if err != nil {
		t.Fatal(err)
	}
	waiting := func(n int) {
		for len(s.room.inbox) < n {
			<-time.After(time.Millisecond)
		}
	}
	gate, closed, admitted := make(chan struct{}), make(chan struct{}), make(chan error)
	s.room.post(func() { <-gate })
	go func() {
		s.room.Close(livekit.DisconnectReason_ROOM_CLOSED, livekit.LeaveRequest_DISCONNECT)
		close(closed)
	}()
	waiting(1)
	d := newDesk()
	go func() { admitted <- s.room.call(func() { s.room.admit(p, d) }) }()
	waiting(2)
	close(gate)
	if err := <-admitted; err != nil {
		p.work.finish(p.closePeers) // it came too late
	}
	<-closed
	p.wait()
	if d.await(t, "an end", func(m *livekit.SignalResponse) bool { return err != nil || m.GetLeave() != nil }); p.pub.State() != rtc.Closed {
		t.Errorf("the connection is %v", p.pub.State())
	}
}

// voiding is a node whose rooms hear at once of tokens made void.
type voiding struct {
	Env
	room *Room
}

func (v *voiding) Void(c *auth.Claims) { v.room.Expel(c.Identity) }

// A room that voids a token hears of that itself: it must not wait for a place among
// what it has yet to do.
func TestRemovalWhileMuchWaits(t *testing.T) {
	s := newStage(t)
	s.join("ann").await(t, "join", isJoin)
	done := make(chan error, 1)
	go func() {
		done <- s.room.call(func() {
			s.room.env = &voiding{s.room.env, s.room}
			for full := false; !full; {
				select {
				case s.room.inbox <- func() {}:
				default:
					full = true
				}
			}
			s.room.obey(&linkpb.Order{Identity: "ann", Remove: true})
		})
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		panic("the room waits for itself")
	}
}

// Who takes a track back and asks for it again, before the first wish was done, has it.
func TestSecondThoughts(t *testing.T) {
	s := newStage(t)
	s.join("ann").await(t, "join", isJoin)
	sidAt(t, s.join("bob"))
	pub := s.publish("ann", &livekit.TrackInfo{Sid: "TR_1", Type: livekit.TrackType_VIDEO, MimeType: "video/VP8"})
	var p *Participant
	_ = s.room.call(func() {
		p = s.room.local["bob"]
		for _, wanted := range []bool{false, true} {
			p.choose(&livekit.UpdateSubscription{TrackSids: []string{"TR_1"}, Subscribe: wanted})
			s.room.reconcile(p)
		}
	})
	// What the room does about what was done, and what it has done about that.
	for range 3 {
		done := make(chan struct{})
		p.work.do(func() { close(done) })
		<-done
		_ = s.room.call(func() {})
	}
	had := make(chan error)
	p.work.do(func() {
		_, err := p.sub.Subscribe(rtc.Down{Sid: "TR_1", Kind: relay.Video, Mime: "video/VP8"}, pub.track)
		had <- err
	})
	if err := <-had; err == nil {
		t.Error("the track is not subscribed any more")
	}
}

// The connection that a client receives by is up, whatever becomes of the other.
func TestPublisherConnectionFails(t *testing.T) {
	s := newStage(t)
	ann := sidAt(t, s.join("ann"))
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		s.room.transportState(p, livekit.SignalTarget_SUBSCRIBER, rtc.Connected, nil)
		s.room.transportState(p, livekit.SignalTarget_PUBLISHER, rtc.Failed, rtc.ErrLost)
		if !p.strain().Cut {
			t.Error("its quality is as before")
		}
	})
	d := s.resume("ann", ann)
	d.await(t, "reconnect", func(m *livekit.SignalResponse) bool { return m.GetReconnect() != nil })
	s.cut("ann", d)
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		p.lostAt = p.lostAt.Add(-resumeWindow - time.Second)
		s.room.expire()
		if p.gone {
			t.Error("removed, with media that flows")
		}
	})
}

// A fault in what a connection tells ends that client alone.
func TestFaultOfOneConnection(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	s.join("bob").await(t, "join", isJoin)
	_ = s.room.call(func() {
		go (&transport{p: s.room.local["ann"]}).post(func(*Room, *Participant) { panic("a fault") })
	})
	d.await(t, "leave", isLeave(livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT))
	if !s.room.Holds("bob") {
		t.Error("the other participant is gone")
	}
}

// What may be published no more is not expected any more either.
func TestPermissionEndsWhatIsPending(t *testing.T) {
	s := newStage(t)
	s.join("ann").await(t, "join", isJoin)
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		for range 4 * maxPending {
			s.room.addTrack(p, &livekit.AddTrackRequest{Cid: "c", Type: livekit.TrackType_AUDIO})
			if p.pending["c"] == nil {
				t.Error("refused, with nothing pending")
				return
			}
			for _, may := range []bool{false, true} {
				now := &livekit.ParticipantPermission{CanSubscribe: true, CanPublish: may}
				s.room.setPermission(p, now)
			}
		}
	})
}

// Whoever takes data tracks back and publishes them anew makes no more news for the others
// than by anything else it says of itself.
func TestDataTracksSpendTheBudgetOfNews(t *testing.T) {
	s := newStage(t)
	s.join("ann").await(t, "join", isJoin)
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		for range 500 {
			s.room.publishDataTrack(p, &livekit.PublishDataTrackRequest{PubHandle: 1, Name: "pose"})
			s.room.unpublishDataTrack(p, &livekit.UnpublishDataTrackRequest{PubHandle: 1})
		}
	})
	if s.faults.Of(guard.News) == 0 {
		t.Error("the room is told every time")
	}
}

// What a node said that has no part in the room any more is told to nobody.
func TestByeEndsWhatANodeSaid(t *testing.T) {
	s := newStage(t)
	_ = s.room.call(func() {
		r := s.room
		r.receive("lyon", &linkpb.RoomMessage{RoomSid: r.sid, Epoch: r.epoch, Body: &linkpb.RoomMessage_Qualities{
			Qualities: &linkpb.Qualities{Qualities: []*linkpb.Qualities_Quality{{ParticipantSid: "PA_far"}}},
		}})
		r.receive("lyon", &linkpb.RoomMessage{RoomSid: r.sid, Epoch: r.epoch, Body: &linkpb.RoomMessage_Bye{Bye: &linkpb.Bye{}}})
		if all, _ := r.verdicts.Said("paris", &linkpb.Qualities{}); len(all) > 0 {
			t.Errorf("still told: %v", all)
		}
	})
}

// An offer that was lost with a socket has its time anew once the client is back: it is
// about to be sent again.
func TestOfferLostWithTheSocket(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sid := sidAt(t, d)
	d.await(t, "offer", func(m *livekit.SignalResponse) bool { return m.GetOffer() != nil })
	s.cut("ann", d)
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		p.connected, p.offeredAt = true, p.offeredAt.Add(-2*answerWithin)
		j := *p.join
		j.Reconnect, j.ParticipantSid = true, sid
		s.room.resumed(&j, newDesk())
		s.room.expire()
		if p.gone {
			t.Error("removed for an offer that it never got")
		}
	})
}
