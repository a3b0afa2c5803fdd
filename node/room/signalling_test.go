package room

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/node/signal"
	"maille/proto/livekit"
	"maille/relay"
)

func isUpdateOf(identity string, state livekit.ParticipantInfo_State) func(*livekit.SignalResponse) bool {
	return func(m *livekit.SignalResponse) bool {
		for _, p := range m.GetUpdate().GetParticipants() {
			if p.Identity == identity && p.State == state {
				return true
			}
		}
		return false
	}
}

func isRefusal(why livekit.RequestResponse_Reason) func(*livekit.SignalResponse) bool {
	return func(m *livekit.SignalResponse) bool { return m.GetRequestResponse().GetReason() == why }
}

// resume is join with the sid of the session to go on with.
func (s *stage) resume(identity, sid string) *desk {
	return s.join(identity, func(j *signal.Join) { j.Reconnect, j.ParticipantSid = true, sid })
}

func sidAt(t *testing.T, d *desk) string {
	t.Helper()
	return d.await(t, "join", isJoin).GetJoin().Participant.Sid
}

// The words of a resume come in the order that clients expect.
func TestResumeTellsWhatWasMissed(t *testing.T) {
	s := newStage(t)
	sid := sidAt(t, s.join("ann"))
	eve, bob := s.join("eve"), s.join("bob")
	sidAt(t, eve)
	sidAt(t, bob)
	eve.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_Leave{Leave: &livekit.LeaveRequest{}}}
	bob.await(t, "eve's departure", isUpdateOf("eve", livekit.ParticipantInfo_DISCONNECTED))

	d := s.resume("ann", sid)
	d.await(t, "room update", func(m *livekit.SignalResponse) bool { return m.GetRoomUpdate() != nil })
	d.mu.Lock()
	said := d.said
	d.mu.Unlock()
	if said[0].GetReconnect().GetServerInfo().GetVersion() == "" {
		t.Fatalf("first said %v, want reconnect with the server's info", said[0])
	}
	if got := said[1].GetUpdate().GetParticipants(); len(got) != 1 || got[0].Identity != "eve" || got[0].DisconnectReason != livekit.DisconnectReason_CLIENT_INITIATED {
		t.Fatalf("then said %v, want that eve left, and why", got)
	}
	all := make(map[string]bool)
	for _, p := range said[2].GetUpdate().GetParticipants() {
		all[p.Identity] = true
	}
	if !all["ann"] || !all["bob"] || len(all) != 2 {
		t.Fatalf("then listed %v, want ann and bob", all)
	}
}

func TestResumeOfAnEarlierSessionIsRefused(t *testing.T) {
	s := newStage(t)
	first := s.join("ann")
	sid := sidAt(t, first)
	second := s.join("ann")
	sidAt(t, second)
	first.await(t, "leave", isLeave(livekit.DisconnectReason_DUPLICATE_IDENTITY, livekit.LeaveRequest_DISCONNECT))
	s.resume("ann", sid).await(t, "leave", isLeave(livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT))
}

func TestResumeWhileTheOldSocketLives(t *testing.T) {
	s := newStage(t)
	first := s.join("ann")
	sid := sidAt(t, first)
	second := s.resume("ann", sid)
	second.await(t, "reconnect", func(m *livekit.SignalResponse) bool { return m.GetReconnect() != nil })
	first.mu.Lock()
	closed := first.closed
	first.mu.Unlock()
	if !closed {
		t.Error("the old socket is still open")
	}
	if !s.room.Holds("ann") {
		t.Error("the end of the old socket took the participant along")
	}
}

func TestResumeWithATrackUnknownHere(t *testing.T) {
	s := newStage(t)
	sid := sidAt(t, s.join("ann"))
	d := s.resume("ann", sid)
	d.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_SyncState{SyncState: &livekit.SyncState{
		PublishTracks: []*livekit.TrackPublishedResponse{{Cid: "c", Track: &livekit.TrackInfo{Sid: "TR_unknown"}}},
	}}}
	d.await(t, "leave", isLeave(livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT))
}

func TestRequestsThatFailAreAnswered(t *testing.T) {
	cases := map[string]struct {
		req *livekit.SignalRequest
		why livekit.RequestResponse_Reason
	}{
		"mute":     {&livekit.SignalRequest{Message: &livekit.SignalRequest_Mute{Mute: &livekit.MuteTrackRequest{Sid: "TR_x"}}}, livekit.RequestResponse_NOT_FOUND},
		"audio":    {&livekit.SignalRequest{Message: &livekit.SignalRequest_UpdateAudioTrack{UpdateAudioTrack: &livekit.UpdateLocalAudioTrack{TrackSid: "TR_x"}}}, livekit.RequestResponse_NOT_FOUND},
		"video":    {&livekit.SignalRequest{Message: &livekit.SignalRequest_UpdateVideoTrack{UpdateVideoTrack: &livekit.UpdateLocalVideoTrack{TrackSid: "TR_x"}}}, livekit.RequestResponse_NOT_FOUND},
		"metadata": {&livekit.SignalRequest{Message: &livekit.SignalRequest_UpdateMetadata{UpdateMetadata: &livekit.UpdateParticipantMetadata{RequestId: 7}}}, livekit.RequestResponse_NOT_ALLOWED},
		"trickle":  {&livekit.SignalRequest{Message: &livekit.SignalRequest_Trickle{Trickle: &livekit.TrickleRequest{CandidateInit: "{"}}}, livekit.RequestResponse_INVALID_REQUEST},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := newStage(t).join("ann")
			sidAt(t, d)
			d.requests <- c.req
			d.await(t, "answer", isRefusal(c.why))
		})
	}
}

func TestAgentsDoNotFillARoom(t *testing.T) {
	s := newStage(t)
	_ = s.room.call(func() { s.room.record.Settings.MaxParticipants = 1 })
	agent := s.join("bot", func(j *signal.Join) { j.Claims.Kind = "agent" })
	sidAt(t, agent)
	ann := s.join("ann")
	sidAt(t, ann)
	s.join("bob").await(t, "leave", isLeave(livekit.DisconnectReason_JOIN_FAILURE, livekit.LeaveRequest_DISCONNECT))
	sidAt(t, s.join("recorder", func(j *signal.Join) { j.Claims.Kind = "egress" }))
}

func TestPermissionChangeReachesTheClient(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	d.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: &livekit.AddTrackRequest{
		Cid: "c", Type: livekit.TrackType_VIDEO, Source: livekit.TrackSource_CAMERA,
	}}}
	sid := d.await(t, "track", func(m *livekit.SignalResponse) bool { return m.GetTrackPublished() != nil }).GetTrackPublished().Track.Sid
	_ = s.room.call(func() {
		s.room.updateParticipant(s.room.local["ann"], &livekit.UpdateParticipantRequest{
			Permission: &livekit.ParticipantPermission{CanSubscribe: true}, Name: "Ann",
		})
	})
	d.await(t, "end of the track", func(m *livekit.SignalResponse) bool { return m.GetTrackUnpublished().GetTrackSid() == sid })
	d.await(t, "own update", func(m *livekit.SignalResponse) bool {
		for _, p := range m.GetUpdate().GetParticipants() {
			if p.Identity == "ann" && p.Name == "Ann" && !p.Permission.CanPublish {
				return true
			}
		}
		return false
	})
	d.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: &livekit.AddTrackRequest{Cid: "d", Type: livekit.TrackType_AUDIO}}}
	d.await(t, "refusal", isRefusal(livekit.RequestResponse_NOT_ALLOWED))
}

// A client whose media never comes up is let go.
func TestParticipantThatNeverBecomesActive(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	_ = s.room.call(func() {
		s.room.local["ann"].since = time.Now().Add(-activeWithin)
		s.room.expire()
	})
	d.await(t, "leave", isLeave(livekit.DisconnectReason_JOIN_FAILURE, livekit.LeaveRequest_DISCONNECT))
}

// A client whose transport failed is asked to resume, and let go if it does not.
func TestTransportFailure(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	_ = s.room.call(func() { s.room.transportFailed(s.room.local["ann"], true) })
	d.await(t, "leave", isLeave(livekit.DisconnectReason_CONNECTION_TIMEOUT, livekit.LeaveRequest_RESUME))
	if !s.room.Holds("ann") {
		t.Fatal("the participant is gone at once")
	}
	_ = s.room.call(func() {
		s.room.local["ann"].lostAt = time.Now().Add(-failedWindow - 1)
		s.room.expire()
	})
	if s.room.Holds("ann") {
		t.Error("the participant is still there after its time")
	}
}

// A cid that names a published track is free only when that track has ended.
func TestTrackOfTheSameCidWaits(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	add := &livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: &livekit.AddTrackRequest{Cid: "c", Type: livekit.TrackType_AUDIO}}}
	d.requests <- add
	first := d.await(t, "track", func(m *livekit.SignalResponse) bool { return m.GetTrackPublished() != nil }).GetTrackPublished().Track.Sid
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		p.published[relay.TrackID(first)] = p.pending["c"]
		delete(p.pending, "c")
	})
	for range maxQueued {
		d.requests <- add
	}
	d.await(t, "QUEUED", isRefusal(livekit.RequestResponse_QUEUED))
	d.requests <- add
	d.await(t, "refusal", isRefusal(livekit.RequestResponse_LIMIT_EXCEEDED))
	s.room.post(func() { s.room.trackStopped(s.room.local["ann"], relay.TrackID(first)) })
	d.await(t, "second track", func(m *livekit.SignalResponse) bool {
		return m.GetTrackPublished() != nil && m.GetTrackPublished().Track.Sid != first
	})
}

// A client needs them to join and, since they may have changed, to come back.
func TestICEServersAreTold(t *testing.T) {
	s := newStage(t)
	join := s.join("ann").await(t, "join", isJoin).GetJoin()
	if diff := cmp.Diff(testICE, join.IceServers, protocmp.Transform()); diff != "" {
		t.Error("join:", diff)
	}
	back := s.resume("ann", join.Participant.Sid).await(t, "reconnect", func(m *livekit.SignalResponse) bool { return m.GetReconnect() != nil })
	if diff := cmp.Diff(testICE, back.GetReconnect().IceServers, protocmp.Transform()); diff != "" {
		t.Error("reconnect:", diff)
	}
}
