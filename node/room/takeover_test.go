package room

import (
	"testing"

	"maille/node/auth"
	"maille/node/rtc"
	"maille/node/signal"
	"maille/proto/livekit"
)

// A node that ended a session closed its connections too: the client joins anew there,
// even with a token that tells of the session.
func TestResumeOfWhatEndedHereIsRefused(t *testing.T) {
	s := newStage(t)
	sid := sidAt(t, s.join("ann"))
	s.join("bob").await(t, "join", isJoin)
	err := s.room.call(func() {
		s.room.remove(s.room.local["ann"], livekit.DisconnectReason_CLIENT_INITIATED, livekit.LeaveRequest_DISCONNECT)
	})
	if err != nil {
		t.Fatal(err)
	}
	d := s.join("ann", func(j *signal.Join) {
		j.Reconnect, j.ParticipantSid = true, sid
		j.Claims.Session = &auth.Session{Room: s.room.sid, Sid: sid, Version: 1}
		j.Client = &livekit.ClientInfo{Sdk: livekit.ClientInfo_JS, Browser: "chrome"}
	})
	d.await(t, "leave", isLeave(livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.said[0].GetLeave() == nil {
		t.Fatalf("first said %v, want leave", d.said[0])
	}
}

// A client that was sent to another node may close its connections here before that
// node has told of it: it is not gone, but cannot resume here either.
func TestGoodbyeOfOneThatMoves(t *testing.T) {
	s := newStage(t)
	chrome := func(j *signal.Join) { j.Client = &livekit.ClientInfo{Sdk: livekit.ClientInfo_JS, Browser: "chrome"} }
	sid := sidAt(t, s.join("ann", chrome))
	bob := s.join("bob")
	sidAt(t, bob)
	held := false
	if err := s.room.call(func() {
		ann := s.room.local["ann"]
		s.room.migrate(ann)
		s.room.transportState(ann, livekit.SignalTarget_SUBSCRIBER, rtc.Closed, rtc.ErrLost)
		held = s.room.local["ann"] == ann && s.room.roster.Get("ann") != nil
	}); err != nil {
		t.Fatal(err)
	}
	if !held {
		t.Error("the room forgot one who is on the way to another node")
	}
	again := s.join("ann", chrome, func(j *signal.Join) { j.Reconnect, j.ParticipantSid = true, sid })
	again.await(t, "leave", isLeave(livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT))
}
