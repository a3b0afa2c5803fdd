package room

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/track"
)

// A node gets a restricted track only for someone there who may have it.
func TestOriginRefusesANodeOfTheUninvited(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	tr := track.New("TR_1", relay.Audio, "audio/opus")
	t.Cleanup(func() { tr.Close() })
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		info := &livekit.TrackInfo{Sid: "TR_1", Type: livekit.TrackType_AUDIO, Codecs: []*livekit.SimulcastCodecInfo{{MimeType: "audio/opus"}}}
		p.published["TR_1"] = &publication{info: info, cid: "c", mime: "audio/opus", track: tr}
		s.room.mu.Lock()
		s.room.origins["TR_1"] = origin{track: tr}
		s.room.mu.Unlock()
		s.room.announce([]*Participant{p})
	})
	eve, err := proto.Marshal(&livekit.ParticipantInfo{
		Identity: "eve", Sid: "PA_eve", Permission: &livekit.ParticipantPermission{CanSubscribe: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	said, err := proto.Marshal(&linkpb.RoomMessage{RoomSid: "RM_1", Epoch: 1, Body: &linkpb.RoomMessage_Snapshot{
		Snapshot: &linkpb.Roster{Version: 1, Members: []*linkpb.Member{{Info: eve, Version: 1, JoinedNs: 1}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.room.Serve("lyon", "TR_1"); !errors.Is(err, ErrNotServing) {
		t.Errorf("served to a node that does not serve the room: %v", err)
	}
	s.room.Receive("lyon", said)
	_ = s.room.call(func() {}) // what was received is done
	permit := func(p *livekit.SubscriptionPermission) {
		_ = s.room.call(func() { s.room.permit(s.room.local["ann"], p) })
	}
	if _, err := s.room.Serve("lyon", "TR_1"); err != nil {
		t.Fatalf("open to all, yet refused: %v", err)
	}
	permit(&livekit.SubscriptionPermission{TrackPermissions: []*livekit.TrackPermission{{ParticipantIdentity: "bob", AllTracks: true}}})
	if _, err := s.room.Serve("lyon", "TR_1"); !errors.Is(err, ErrNotFromHere) {
		t.Errorf("served to a node where nobody may have it: %v", err)
	}
	permit(&livekit.SubscriptionPermission{TrackPermissions: []*livekit.TrackPermission{{ParticipantSid: "PA_eve", TrackSids: []string{"TR_1"}}}})
	if _, err := s.room.Serve("lyon", "TR_1"); err != nil {
		t.Errorf("refused although eve may have it: %v", err)
	}
}
