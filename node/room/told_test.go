package room

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"maille/node/signal"
	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
	"maille/relay"
)

// nobody is a sink that takes anything.
type nobody struct{}

func (nobody) Push(*relay.Packet) {}
func (nobody) Clock(relay.Clock)  {}
func (nobody) Close()             {}

// cut ends a client's socket and waits until the room knows.
func (s *stage) cut(identity string, d *desk) {
	d.Close(0, "")
	for lost := false; !lost; {
		_ = s.room.call(func() { lost = s.room.local[identity].conn == nil })
	}
}

// count returns how many messages a client was told that are what the test looks for.
func (d *desk) count(is func(*livekit.SignalResponse) bool) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.said {
		if is(m) {
			n++
		}
	}
	return n
}

// A publisher is told once that someone watches, if need be when it is back.
func TestPublisherHearsOfItsFirstWatcher(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sid := sidAt(t, d)
	watched := func(of string) func(*livekit.SignalResponse) bool {
		return func(m *livekit.SignalResponse) bool { return m.GetTrackSubscribed().GetTrackSid() == of }
	}
	tell := func() {
		_ = s.room.call(s.room.tellFirstWatchers)
	}
	first := s.publish("ann", &livekit.TrackInfo{Sid: "TR_1", Type: livekit.TrackType_VIDEO, MimeType: "video/VP8"})
	tell()
	if n := d.count(watched("TR_1")); n != 0 {
		t.Fatal("told before anyone watched")
	}
	for range 2 {
		first.track.Attach(nobody{}, relay.AllLayers)
		tell()
	}
	if n := d.count(watched("TR_1")); n != 1 {
		t.Errorf("told %d times of the first watcher", n)
	}
	second := s.publish("ann", &livekit.TrackInfo{Sid: "TR_2", Type: livekit.TrackType_AUDIO, MimeType: "audio/opus"})
	s.cut("ann", d)
	second.track.Attach(nobody{}, relay.AllLayers)
	tell()
	s.resume("ann", sid).await(t, "news of the watcher that came meanwhile", watched("TR_2"))
}

// A track that nobody publishes is reported missing, not one whose news is on its way.
func TestMissingTrackIsReported(t *testing.T) {
	s := newStage(t)
	ann, bob := s.join("ann"), s.join("bob")
	sidAt(t, ann)
	sidAt(t, bob)
	bob.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_Subscription{
		Subscription: &livekit.UpdateSubscription{TrackSids: []string{"TR_never", "TR_late"}, Subscribe: true},
	}}
	bob.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_Subscription{
		Subscription: &livekit.UpdateSubscription{TrackSids: []string{"TR_unwanted"}},
	}}
	for asked := 0; asked < 2; {
		_ = s.room.call(func() { asked = len(s.room.local["bob"].missing) })
	}
	missing := func(m *livekit.SignalResponse) bool { return m.GetSubscriptionResponse() != nil }
	_ = s.room.call(s.room.tellMissing)
	if n := bob.count(missing); n != 0 {
		t.Fatal("reported at once: the news of it may be on its way")
	}
	s.publish("ann", &livekit.TrackInfo{Sid: "TR_late", Type: livekit.TrackType_AUDIO, MimeType: "audio/opus"})
	_ = s.room.call(func() {
		for sid := range s.room.local["bob"].missing {
			s.room.local["bob"].missing[sid] = time.Now().Add(-missingAfter)
		}
		s.room.tellMissing()
		s.room.tellMissing()
	})
	got := bob.await(t, "report", missing).GetSubscriptionResponse()
	if got.TrackSid != "TR_never" || got.Err != livekit.SubscriptionError_SE_TRACK_NOTFOUND || bob.count(missing) != 1 {
		t.Errorf("reported %v, %d in all", got, bob.count(missing))
	}
}

// A client that is there, and answers no offer, has another view of what is sent.
func TestOfferWithoutAnswer(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	d.await(t, "offer", func(m *livekit.SignalResponse) bool { return m.GetOffer() != nil })
	later := func(lost time.Duration) {
		_ = s.room.call(func() {
			s.room.local["ann"].offeredAt = time.Now().Add(-lost)
			s.room.expire()
		})
	}
	later(answerWithin - time.Second)
	if !s.room.Holds("ann") {
		t.Fatal("let go before its time")
	}
	later(answerWithin + time.Second)
	d.await(t, "leave", isLeave(livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT))
}

// An offer that is made, and on its way to the loop while that looks for those without an
// answer, is not the one of long ago.
func TestOfferThatIsBeingTold(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		for p.sub.Waiting() == 0 {
			runtime.Gosched() // what it posts waits for this loop
		}
		p.offerID, p.offeredAt = 0, s.room.env.Now().Add(-time.Hour)
		s.room.expire()
		if p.gone {
			t.Error("removed for an offer that it could not know of")
		}
	})
}

// Without a socket a client cannot answer: its media goes on.
func TestOfferWhileTheSocketIsLost(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	d.await(t, "offer", func(m *livekit.SignalResponse) bool { return m.GetOffer() != nil })
	s.cut("ann", d)
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		p.connected, p.offeredAt = true, time.Now().Add(-time.Hour)
		s.room.expire()
	})
	if !s.room.Holds("ann") {
		t.Error("let go")
	}
}

// With sync_streams a camera and its microphone are one stream, to clients that find
// tracks by more than that.
func TestStreamsThatBelongTogether(t *testing.T) {
	for name, c := range map[string]struct {
		protocol int32
		sync     bool
		want     string
	}{
		"together": {17, true, "camera"}, "apart": {17, false, "TR_1"}, "an old client": {9, true, "TR_1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			_ = s.room.call(func() { s.room.record.Settings.SyncStreams = c.sync })
			bob := sidAt(t, s.join("bob"))
			s.publish("bob", &livekit.TrackInfo{Sid: "TR_1", Type: livekit.TrackType_AUDIO, MimeType: "audio/opus", Stream: "camera"})
			ann := s.join("ann", func(j *signal.Join) { j.Client = &livekit.ClientInfo{Protocol: c.protocol} })
			offer := ann.await(t, "offer", func(m *livekit.SignalResponse) bool { return strings.Contains(m.GetOffer().GetSdp(), "m=audio") })
			if want := "a=msid:" + bob + "|" + c.want + " TR_1\r\n"; !strings.Contains(offer.GetOffer().Sdp, want) {
				t.Errorf("no %q in %s", want, offer.GetOffer().Sdp)
			}
		})
	}
}

// Clients hear at once of a recording and of the room's metadata.
func TestRoomUpdates(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	recording := func(yes bool) func(*livekit.SignalResponse) bool {
		return func(m *livekit.SignalResponse) bool {
			return m.GetRoomUpdate() != nil && m.GetRoomUpdate().Room.ActiveRecording == yes
		}
	}
	rec := s.join("rec", func(j *signal.Join) { j.Claims.Kind, j.Claims.Video.Hidden = "egress", true })
	sidAt(t, rec)
	d.await(t, "recording", recording(true))
	rec.leave()
	d.await(t, "its end", recording(false))
	s.room.Place(&meshpb.Room{Name: "standup", Sid: "RM_1", Epoch: 1, Settings: &meshpb.RoomSettings{Metadata: "{}"}})
	got := d.await(t, "metadata", func(m *livekit.SignalResponse) bool { return m.GetRoomUpdate().GetRoom().GetMetadata() == "{}" })
	if room := got.GetRoomUpdate().Room; room.Sid != "RM_1" || room.NumParticipants != 1 {
		t.Errorf("told %v", room)
	}
	bob := s.join("bob")
	sidAt(t, bob)
	_ = s.room.call(s.room.countsChanged)
	d.await(t, "the count", func(m *livekit.SignalResponse) bool { return m.GetRoomUpdate().GetRoom().GetNumParticipants() == 2 })
}

// People who publish nothing come in few messages, those who publish at once; of oneself
// one hears at once.
func TestListenersComeTogether(t *testing.T) {
	s := newStage(t)
	ann := s.join("ann")
	sidAt(t, ann)
	about := func(m *livekit.SignalResponse) bool {
		return len(m.GetUpdate().GetParticipants()) > 0 && strings.HasPrefix(m.GetUpdate().Participants[0].Identity, "l")
	}
	_ = s.room.call(func() { s.room.quietAt = time.Now().Add(time.Hour) }) // no time passes
	const listeners = 20
	for i := range listeners {
		l := s.join("l" + string(rune('a'+i)))
		sidAt(t, l)
		l.await(t, "own update", isUpdateOf("l"+string(rune('a'+i)), livekit.ParticipantInfo_JOINED))
	}
	if n := ann.count(about); n > 0 {
		t.Errorf("%d updates of listeners at once", n)
	}
	s.publish("la", &livekit.TrackInfo{Sid: "TR_1", Type: livekit.TrackType_AUDIO, MimeType: "audio/opus"})
	if n := ann.count(about); n != 1 {
		t.Errorf("%d updates of one who publishes", n)
	}
	_ = s.room.call(func() {
		s.room.quietAt = time.Now().Add(-quietInterval)
		s.room.spreadQuiet()
	})
	known := ann.view()
	if n := ann.count(about); n != 2 || len(known) != listeners+1 { // herself among them
		t.Errorf("%d updates of %d people", n, len(known))
	}
}

// One message never holds more than clients take in at once.
func TestLongUpdatesAreSplit(t *testing.T) {
	s := newStage(t)
	for i := range 5 {
		s.join("p"+string(rune('a'+i)), func(j *signal.Join) { j.Claims.Metadata = strings.Repeat("m", maxMetadata) })
	}
	d := s.join("ann")
	sid := sidAt(t, d)
	for people := 0; people < 6; {
		_ = s.room.call(func() { people = len(s.room.local) })
	}
	back := s.resume("ann", sid)
	back.await(t, "room update", func(m *livekit.SignalResponse) bool { return m.GetRoomUpdate() != nil })
	for _, p := range []string{"ann", "pa", "pb", "pc", "pd", "pe"} {
		if back.view()[p] == "" {
			t.Errorf("%s is not told of", p)
		}
	}
	back.mu.Lock()
	defer back.mu.Unlock()
	for _, m := range back.said {
		if n := proto.Size(m); m.GetUpdate() != nil && n > maxUpdateBytes {
			t.Errorf("an update of %d bytes", n)
		}
	}
}

// A client that knows people by sid hears that the earlier session ended, others only
// the new one.
func TestEarlierSessionEndsForOldClients(t *testing.T) {
	for protocol, want := range map[int32]int{11: 1, 12: 0} {
		s := newStage(t)
		d := s.join("ann", func(j *signal.Join) { j.Client = &livekit.ClientInfo{Protocol: protocol} })
		sidAt(t, d)
		sidAt(t, s.join("bob"))
		s.publish("bob", &livekit.TrackInfo{Sid: "TR_1", Type: livekit.TrackType_AUDIO, MimeType: "audio/opus"})
		second := sidAt(t, s.join("bob"))
		d.await(t, "the later session", func(m *livekit.SignalResponse) bool {
			for _, p := range m.GetUpdate().GetParticipants() {
				if p.Sid == second {
					return true
				}
			}
			return false
		})
		if n := d.count(isUpdateOf("bob", livekit.ParticipantInfo_DISCONNECTED)); n != want {
			t.Errorf("protocol %d: told %d times that bob left, want %d", protocol, n, want)
		}
	}
}
