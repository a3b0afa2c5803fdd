package room

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"maille/node/signal"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

func publishRequest(handle uint32, name string) *livekit.SignalRequest {
	return &livekit.SignalRequest{Message: &livekit.SignalRequest_PublishDataTrackRequest{
		PublishDataTrackRequest: &livekit.PublishDataTrackRequest{PubHandle: handle, Name: name},
	}}
}

func isPublished(m *livekit.SignalResponse) bool { return m.GetPublishDataTrackResponse() != nil }

func isHandles(n int) func(*livekit.SignalResponse) bool {
	return func(m *livekit.SignalResponse) bool {
		return m.GetDataTrackSubscriberHandles() != nil && len(m.GetDataTrackSubscriberHandles().SubHandles) == n
	}
}

// Whoever asked for all data tracks on joining has them; others ask for each.
func TestDataTracksAreSubscribedAsAsked(t *testing.T) {
	s := newStage(t)
	ann := s.join("ann")
	ann.await(t, "join", isJoin)
	all := s.join("all", func(j *signal.Join) { j.AutoSubscribeData = true })
	all.await(t, "join", isJoin)
	one := s.join("one")
	one.await(t, "join", isJoin)
	ann.requests <- publishRequest(1, "pose")
	sid := ann.await(t, "answer", isPublished).GetPublishDataTrackResponse().Info.Sid
	for _, h := range all.await(t, "handles", isHandles(1)).GetDataTrackSubscriberHandles().SubHandles {
		if h.TrackSid != sid || h.PublisherIdentity != "ann" {
			t.Errorf("handle of %v, want %s of ann", h, sid)
		}
	}
	one.await(t, "news of the track", func(m *livekit.SignalResponse) bool {
		for _, p := range m.GetUpdate().GetParticipants() {
			if p.Identity == "ann" && len(p.DataTracks) == 1 && p.DataTracks[0].Sid == sid {
				return true
			}
		}
		return false
	})
	one.mu.Lock()
	for _, m := range one.said {
		if m.GetDataTrackSubscriberHandles() != nil {
			t.Errorf("unasked: %v", m)
		}
	}
	one.mu.Unlock()
	one.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_UpdateDataSubscription{
		UpdateDataSubscription: &livekit.UpdateDataSubscription{Updates: []*livekit.UpdateDataSubscription_Update{{TrackSid: sid, Subscribe: true}}},
	}}
	one.await(t, "handles", isHandles(1))
}

// A permission taken away ends the data tracks that stood on it.
func TestDataTracksEndWithThePermission(t *testing.T) {
	s := newStage(t)
	ann := s.join("ann")
	ann.await(t, "join", isJoin)
	ann.requests <- publishRequest(1, "pose")
	ann.await(t, "answer", isPublished)
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		now := proto.Clone(p.info.Permission).(*livekit.ParticipantPermission)
		now.CanPublishData = false
		s.room.setPermission(p, now)
		s.room.announce([]*Participant{p})
		if n := len(s.room.roster.Get("ann").Info.DataTracks); n != 0 {
			t.Errorf("%d data tracks in the roster", n)
		}
	})
	ann.await(t, "the end", func(m *livekit.SignalResponse) bool {
		return m.GetUnpublishDataTrackResponse().GetInfo().GetPubHandle() == 1
	})
}

// Someone who came quietly is introduced before what it says.
func TestSenderIsIntroduced(t *testing.T) {
	s := newStage(t)
	one := s.join("one")
	one.await(t, "join", isJoin)
	two := s.join("two")
	two.await(t, "join", isJoin)
	one.await(t, "news of two", isUpdateOf("two", livekit.ParticipantInfo_JOINED))
	three := s.join("three")
	three.await(t, "join", isJoin)
	_ = s.room.call(func() {
		if _, untold := s.room.untold["three"]; !untold {
			t.Error("this test is about news that are held back")
		}
		s.room.route(&linkpb.Data{Reliable: true, Sender: "three", SenderSid: s.room.local["three"].info.Sid})
	})
	one.mu.Lock()
	last := one.said[len(one.said)-1]
	one.mu.Unlock()
	if !isUpdateOf("three", livekit.ParticipantInfo_JOINED)(last) {
		t.Errorf("last said %v", last)
	}
}

// What a client can do with data is told to the others.
func TestCapabilitiesAreMirrored(t *testing.T) {
	s := newStage(t)
	ann := s.join("ann")
	ann.await(t, "join", isJoin)
	s.join("bob", func(j *signal.Join) {
		j.Client = &livekit.ClientInfo{ClientProtocol: 2, Capabilities: []livekit.ClientInfo_Capability{livekit.ClientInfo_CAP_COMPRESSION_DEFLATE_RAW}}
		j.Claims.Kind, j.Claims.KindDetails = "agent", []string{"cloud_agent", "of_tomorrow"}
	})
	kind := []livekit.ParticipantInfo_KindDetail{livekit.ParticipantInfo_CLOUD_AGENT}
	ann.await(t, "bob with his capabilities and kind", func(m *livekit.SignalResponse) bool {
		for _, p := range m.GetUpdate().GetParticipants() {
			if p.Identity == "bob" && p.ClientProtocol == 2 && len(p.Capabilities) == 1 &&
				p.Kind == livekit.ParticipantInfo_AGENT && slices.Equal(p.KindDetails, kind) {
				return true
			}
		}
		return false
	})
}
