package room

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"maille/node/auth"
	"maille/node/guard"
	"maille/node/rtc"
	"maille/node/signal"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
	"maille/relay"
	"maille/relay/track"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testICE is what the node's operator wants clients to use.
var testICE = []*livekit.ICEServer{{Urls: []string{"turn:turn.example.org:3478", "turns:turn.example.org:443"}, Username: "u", Credential: "c"}}

// alone is a node without links.
type alone struct {
	engine  *rtc.Engine
	refused *guard.Counts
}

func (a *alone) Self() string                               { return "paris" }
func (a *alone) Region() string                             { return "paris" }
func (a *alone) Send(string, string, []byte) error          { return nil }
func (a *alone) Offer(string, string, []byte) error         { return nil }
func (a *alone) Linked(string) bool                         { return false }
func (a *alone) RegionOf(node string) string                { return node }
func (a *alone) Pull(string, string, *track.Track) Upstream { return nil }
func (a *alone) Revoke(string, relay.TrackID)               {}
func (a *alone) Engine() *rtc.Engine                        { return a.engine }
func (a *alone) Token(*Participant) string                  { return "token" }
func (a *alone) ICEServers() []*livekit.ICEServer           { return testICE }
func (a *alone) Version() string                            { return "0.0.0" }
func (a *alone) Void(*auth.Claims)                          {}
func (a *alone) Voided(*auth.Claims) bool                   { return false }
func (a *alone) Refuse(why guard.Reason)                    { a.refused.Add(why) }
func (a *alone) Now() time.Time                             { return time.Now() }

// desk is a client's socket in a test: it keeps what the room says.
type desk struct {
	requests chan *livekit.SignalRequest

	mu     sync.Mutex // guards the fields below
	said   []*livekit.SignalResponse
	closed bool
	wake   chan struct{}
}

func newDesk() *desk {
	return &desk{requests: make(chan *livekit.SignalRequest, 1), wake: make(chan struct{})}
}

func (d *desk) Read(ctx context.Context) (*livekit.SignalRequest, error) {
	select {
	case req, ok := <-d.requests:
		if !ok {
			return nil, &signal.Closed{Code: 1001}
		}
		return req, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *desk) Write(m *livekit.SignalResponse) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = append(d.said, proto.Clone(m).(*livekit.SignalResponse))
	close(d.wake)
	d.wake = make(chan struct{})
	return nil
}

func (d *desk) Close(int, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.closed = true
		close(d.requests)
	}
}

// failer is a test of either kind.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// patience bounds how long a test waits for what must come, on a machine that does much else.
const patience = 2 * time.Minute

// await returns the first message that is what the test looks for.
func (d *desk) await(t failer, what string, is func(*livekit.SignalResponse) bool) *livekit.SignalResponse {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		d.mu.Lock()
		for _, m := range d.said {
			if is(m) {
				d.mu.Unlock()
				return m
			}
		}
		wake := d.wake
		d.mu.Unlock()
		select {
		case <-wake:
		case <-late.C:
			t.Fatalf("no %s", what)
		}
	}
}

// stage is a room with helpers to put people in.
type stage struct {
	t    testing.TB
	room *Room
	wg   sync.WaitGroup
	// faults counts what was refused, faults of the room among it.
	faults guard.Counts
}

func newStage(t testing.TB) *stage {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	engine, err := rtc.NewEngine(rtc.Config{UDP: udp, HostIPs: []net.IP{net.IPv4(127, 0, 0, 1)}, AllowLoopback: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t}
	s.room = New(&alone{engine, &s.faults}, &meshpb.Room{Name: "standup", Sid: "RM_1", Epoch: 1, Settings: new(meshpb.RoomSettings)}, log)
	t.Cleanup(func() {
		s.room.Close(livekit.DisconnectReason_ROOM_CLOSED, livekit.LeaveRequest_DISCONNECT)
		s.wg.Wait()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stage) join(identity string, change ...func(*signal.Join)) *desk {
	j := &signal.Join{
		Room: "standup", Identity: identity, Name: identity, AutoSubscribe: true, Client: &livekit.ClientInfo{Protocol: serverProtocol},
		Claims: &auth.Claims{Identity: identity, Video: &auth.Grants{RoomJoin: true, Room: "standup"}},
	}
	for _, f := range change {
		f(j)
	}
	d := newDesk()
	s.wg.Go(func() {
		_ = s.room.NewSession(j).Run(context.Background(), d)
		d.Close(0, "")
	})
	return d
}

func isJoin(m *livekit.SignalResponse) bool { return m.GetJoin() != nil }

func isLeave(reason livekit.DisconnectReason, action livekit.LeaveRequest_Action) func(*livekit.SignalResponse) bool {
	return func(m *livekit.SignalResponse) bool {
		return m.GetLeave() != nil && m.GetLeave().Reason == reason && m.GetLeave().Action == action
	}
}

func TestJoinResponseHasWhatClientsNeed(t *testing.T) {
	s := newStage(t)
	j := s.join("ann").await(t, "join", isJoin).GetJoin()
	switch {
	case j.Room.Sid != "RM_1", j.Room.Name != "standup":
		t.Errorf("room = %v", j.Room)
	case j.Participant.Identity != "ann", j.Participant.Permission == nil, j.Participant.Attributes[nodeAttribute] != "paris":
		t.Errorf("participant = %v", j.Participant)
	case j.ServerInfo.GetVersion() == "", j.PingTimeout == 0, j.PingInterval == 0, !j.SubscriberPrimary:
		t.Errorf("join = %v", j)
	case len(j.EnabledPublishCodecs) == 0 || j.EnabledPublishCodecs[0].Mime != "video/VP8":
		t.Errorf("codecs = %v, want VP8 first", j.EnabledPublishCodecs)
	}
}

func TestOthersHearOfJoinAndLeave(t *testing.T) {
	s := newStage(t)
	ann := s.join("ann")
	ann.await(t, "join", isJoin)
	bob := s.join("bob")
	bob.await(t, "join", isJoin)
	seen := func(state livekit.ParticipantInfo_State) func(*livekit.SignalResponse) bool {
		return func(m *livekit.SignalResponse) bool {
			for _, p := range m.GetUpdate().GetParticipants() {
				if p.Identity == "bob" && p.State == state {
					return true
				}
			}
			return false
		}
	}
	ann.await(t, "bob's arrival", seen(livekit.ParticipantInfo_JOINED))
	bob.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_Leave{Leave: &livekit.LeaveRequest{}}}
	ann.await(t, "bob's departure", seen(livekit.ParticipantInfo_DISCONNECTED))
}

func TestUnknownResumeIsToldToReconnect(t *testing.T) {
	s := newStage(t)
	d := s.join("ann", func(j *signal.Join) { j.Reconnect = true })
	d.await(t, "leave", isLeave(livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT))
}

func TestDuplicateIdentityEndsTheEarlier(t *testing.T) {
	s := newStage(t)
	first := s.join("ann")
	first.await(t, "join", isJoin)
	second := s.join("ann")
	second.await(t, "join", isJoin)
	first.await(t, "leave", isLeave(livekit.DisconnectReason_DUPLICATE_IDENTITY, livekit.LeaveRequest_DISCONNECT))
}

func TestHiddenIsNeverListed(t *testing.T) {
	s := newStage(t)
	ghost := s.join("ghost", func(j *signal.Join) { j.Claims.Video.Hidden = true })
	ghost.await(t, "join", isJoin)
	j := s.join("ann").await(t, "join", isJoin).GetJoin()
	if len(j.OtherParticipants) != 0 || j.Room.NumParticipants > 1 {
		t.Errorf("a hidden participant is seen: %v, count %d", j.OtherParticipants, j.Room.NumParticipants)
	}
}

// Who hides while it is here leaves for the others, now and when they come back, and is
// itself still there; then it appears again.
func TestHidingAndAppearing(t *testing.T) {
	s := newStage(t)
	ann, bob := s.join("ann"), s.join("bob")
	sid := sidAt(t, ann)
	bobs := sidAt(t, bob)
	hide := func(hidden bool) {
		_ = s.room.call(func() {
			may := &livekit.ParticipantPermission{CanSubscribe: true, CanPublish: true, Hidden: hidden}
			s.room.updateParticipant(s.room.local["bob"], &livekit.UpdateParticipantRequest{Permission: may})
			s.room.spreadQuiet()
		})
	}
	gone := isUpdateOf("bob", livekit.ParticipantInfo_DISCONNECTED)
	s.publish("bob", &livekit.TrackInfo{Sid: "TR_1", Type: livekit.TrackType_AUDIO, MimeType: "audio/opus"})
	hide(true)
	ann.await(t, "bob's end", gone)
	s.cut("ann", ann)
	s.cut("bob", bob)
	again := s.resume("ann", sid)
	again.await(t, "bob's end, after a resume", gone)
	self := s.resume("bob", bobs)
	self.await(t, "room update", func(m *livekit.SignalResponse) bool { return m.GetRoomUpdate() != nil })
	if self.count(gone) != 0 {
		t.Error("bob was told that he left")
	}
	hide(false)
	again.await(t, "bob again", isUpdateOf("bob", livekit.ParticipantInfo_JOINED))
}

func TestPublishingNeedsTheGrant(t *testing.T) {
	s := newStage(t)
	no := false
	d := s.join("ann", func(j *signal.Join) { j.Claims.Video.CanPublish = &no })
	d.await(t, "join", isJoin)
	d.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: &livekit.AddTrackRequest{Cid: "c"}}}
	d.await(t, "refusal", func(m *livekit.SignalResponse) bool {
		return m.GetRequestResponse().GetReason() == livekit.RequestResponse_NOT_ALLOWED
	})
}

func TestPendingTracksAreBounded(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	d.await(t, "join", isJoin)
	for i := range maxPending + 1 {
		d.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: &livekit.AddTrackRequest{
			Cid: string(rune('a' + i)), Type: livekit.TrackType_VIDEO,
		}}}
	}
	d.await(t, "refusal", func(m *livekit.SignalResponse) bool {
		return m.GetRequestResponse().GetReason() == livekit.RequestResponse_LIMIT_EXCEEDED
	})
}

// FuzzRequests lets one client send anything at all: another client of the room must
// still be served.
func FuzzRequests(f *testing.F) {
	for _, m := range []*livekit.SignalRequest{
		{Message: &livekit.SignalRequest_AddTrack{AddTrack: &livekit.AddTrackRequest{Cid: "c", Type: livekit.TrackType_VIDEO, SimulcastCodecs: []*livekit.SimulcastCodec{{}}}}},
		{Message: &livekit.SignalRequest_Subscription{Subscription: &livekit.UpdateSubscription{TrackSids: []string{"TR_x"}, ParticipantTracks: []*livekit.ParticipantTracks{{}}}}},
		{Message: &livekit.SignalRequest_SyncState{SyncState: &livekit.SyncState{}}},
		{Message: &livekit.SignalRequest_UpdateMetadata{UpdateMetadata: &livekit.UpdateParticipantMetadata{Attributes: map[string]string{"k": ""}}}},
		{Message: &livekit.SignalRequest_Simulate{Simulate: &livekit.SimulateScenario{}}},
		{Message: &livekit.SignalRequest_Offer{Offer: &livekit.SessionDescription{Sdp: "v=0"}}},
		{Message: &livekit.SignalRequest_Answer{Answer: &livekit.SessionDescription{}}},
		{Message: &livekit.SignalRequest_Trickle{Trickle: &livekit.TrickleRequest{CandidateInit: "{"}}},
		{Message: &livekit.SignalRequest_Mute{Mute: &livekit.MuteTrackRequest{Sid: "TR_x"}}},
		{Message: &livekit.SignalRequest_TrackSetting{TrackSetting: &livekit.UpdateTrackSettings{TrackSids: []string{"TR_x", ""}}}},
		{Message: &livekit.SignalRequest_SubscriptionPermission{SubscriptionPermission: &livekit.SubscriptionPermission{TrackPermissions: []*livekit.TrackPermission{{}}}}},
		{Message: &livekit.SignalRequest_UpdateAudioTrack{UpdateAudioTrack: &livekit.UpdateLocalAudioTrack{}}},
		{Message: &livekit.SignalRequest_UpdateVideoTrack{UpdateVideoTrack: &livekit.UpdateLocalVideoTrack{}}},
		{Message: &livekit.SignalRequest_SyncState{SyncState: &livekit.SyncState{PublishTracks: []*livekit.TrackPublishedResponse{{}}, DatachannelReceiveStates: []*livekit.DataChannelReceiveState{{}}}}},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s := newStage(f)
	other := s.join("other")
	other.await(f, "join", isJoin)
	f.Fuzz(func(t *testing.T, b []byte) {
		req := new(livekit.SignalRequest)
		if proto.Unmarshal(b, req) != nil {
			return
		}
		_ = s.room.call(func() {
			if p := s.room.local["other"]; p != nil {
				p.since, p.offeredAt = time.Now(), time.Now() // it answers nothing, for as long as this takes
			}
		})
		d := s.join("fuzzer")
		d.await(t, "join", isJoin)
		select {
		case d.requests <- req:
		case <-time.After(patience):
			t.Fatal("the room does not read")
		}
		if !s.room.Holds("other") {
			t.Fatal("the other participant is gone")
		}
		if s.faults.Of(guard.Fault) > 0 {
			t.Fatal("a fault while serving a client")
		}
		d.Close(0, "")
	})
}

// FuzzFacts lets another node of the room send anything at all.
func FuzzFacts(f *testing.F) {
	member := &linkpb.Member{Info: []byte("\x0a\x04PA_1\x12\x03bob"), Version: 1, JoinedNs: 1}
	for _, m := range []*linkpb.RoomMessage{
		{RoomSid: "RM_1", Epoch: 1, Body: &linkpb.RoomMessage_Snapshot{Snapshot: &linkpb.Roster{Version: 1, Members: []*linkpb.Member{member}}}},
		{RoomSid: "RM_1", Epoch: 1, Body: &linkpb.RoomMessage_Delta{Delta: &linkpb.Roster{Version: 2, Gone: []string{"bob", "other"}}}},
		{RoomSid: "RM_1", Epoch: 1, Body: &linkpb.RoomMessage_Data{Data: &linkpb.Data{Sender: "bob", Packet: []byte{1}}}},
		{RoomSid: "RM_1", Epoch: 1, Body: &linkpb.RoomMessage_Levels{Levels: &linkpb.Levels{Levels: []*linkpb.Levels_Level{{Active: true}}}}},
		{RoomSid: "RM_1", Epoch: 1, Body: &linkpb.RoomMessage_Order{Order: &linkpb.Order{Identity: "x", Mute: []byte{8}}}},
		{RoomSid: "RM_1", Epoch: 1, Body: &linkpb.RoomMessage_Bye{}},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s := newStage(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		s.room.Receive("lyon", b)
		if _, _, _ = s.room.Empty(); s.room.People() < 0 {
			t.Fatal("unreachable: the loop answered")
		}
	})
}

// Every request there is, with nothing in it and with not even that.
func TestEmptyRequests(t *testing.T) {
	s := newStage(t)
	other := s.join("other")
	other.await(t, "join", isJoin)
	fields := new(livekit.SignalRequest).ProtoReflect().Descriptor().Oneofs().ByName("message").Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		empty := new(livekit.SignalRequest)
		if field.Message() != nil {
			empty.ProtoReflect().Set(field, empty.ProtoReflect().NewField(field))
		} else {
			empty.ProtoReflect().Set(field, field.Default())
		}
		d := s.join(string(field.Name()))
		d.await(t, "join", isJoin)
		d.requests <- empty
		d.Close(0, "")
	}
	for i, nothing := range []*livekit.SignalRequest{
		{},
		{Message: &livekit.SignalRequest_Offer{}},
		{Message: &livekit.SignalRequest_Answer{}},
		{Message: &livekit.SignalRequest_Trickle{}},
		{Message: &livekit.SignalRequest_AddTrack{}},
		{Message: &livekit.SignalRequest_Mute{}},
		{Message: &livekit.SignalRequest_Subscription{}},
		{Message: &livekit.SignalRequest_TrackSetting{}},
		{Message: &livekit.SignalRequest_SubscriptionPermission{}},
		{Message: &livekit.SignalRequest_SyncState{}},
		{Message: &livekit.SignalRequest_UpdateMetadata{}},
		{Message: &livekit.SignalRequest_UpdateAudioTrack{}},
		{Message: &livekit.SignalRequest_UpdateVideoTrack{}},
		{Message: &livekit.SignalRequest_Simulate{}},
		{Message: &livekit.SignalRequest_Leave{}},
	} {
		d := s.join("eve-" + string(rune('a'+i)))
		d.await(t, "join", isJoin)
		d.requests <- nothing
		d.Close(0, "")
	}
	if !s.room.Holds("other") {
		t.Error("the other participant is gone")
	}
	other.Close(0, "")
	s.wg.Wait() // every request has been read
	if n := s.faults.Of(guard.Fault); n > 0 {
		t.Errorf("%d faults of this node", n)
	}
}
