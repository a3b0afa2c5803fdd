package room

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/node/signal"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/track"
)

// publish makes a track one of a participant's, as if it had been negotiated.
func (s *stage) publish(identity string, info *livekit.TrackInfo) *publication {
	s.t.Helper()
	if len(info.Codecs) == 0 {
		info.Codecs = []*livekit.SimulcastCodecInfo{{MimeType: info.MimeType}}
	}
	kind := relay.Video
	if info.Type == livekit.TrackType_AUDIO {
		kind = relay.Audio
	}
	tr := track.New(relay.TrackID(info.Sid), kind, info.MimeType)
	s.t.Cleanup(tr.Close)
	pub := &publication{info: info, cid: "cid-" + info.Sid, mime: info.MimeType, track: tr}
	_ = s.room.call(func() {
		p := s.room.local[identity]
		pub.order, p.publications = p.publications, p.publications+1
		p.published[relay.TrackID(info.Sid)] = pub
		s.room.mu.Lock()
		s.room.origins[relay.TrackID(info.Sid)] = origin{track: tr}
		s.room.mu.Unlock()
		s.room.announce([]*Participant{p})
	})
	return pub
}

// What is told as changes only may have been missed by who resumes, so it is told again.
func TestResumeIsToldAgain(t *testing.T) {
	s := newStage(t)
	first := s.join("ann")
	ann := sidAt(t, first)
	bob := sidAt(t, s.join("bob"))
	carol := sidAt(t, s.join("carol"))
	for _, info := range []*livekit.TrackInfo{
		{Sid: "TR_held", Type: livekit.TrackType_VIDEO, MimeType: "video/VP8"},
		{Sid: "TR_shown", Type: livekit.TrackType_VIDEO, MimeType: "video/VP8"},
		{Sid: "TR_voice", Type: livekit.TrackType_AUDIO, MimeType: "audio/opus"},
		{Sid: "TR_denied", Type: livekit.TrackType_VIDEO, MimeType: "video/VP8"},
		{Sid: "TR_again", Type: livekit.TrackType_VIDEO, MimeType: "video/VP8"},
	} {
		s.publish("bob", info)
	}
	s.publish("carol", &livekit.TrackInfo{Sid: "TR_hum", Type: livekit.TrackType_AUDIO, MimeType: "audio/opus"})
	mine := s.publish("ann", &livekit.TrackInfo{Sid: "TR_mine", Type: livekit.TrackType_VIDEO, MimeType: "video/VP8"})
	s.publish("ann", &livekit.TrackInfo{Sid: "TR_mic", Type: livekit.TrackType_AUDIO, MimeType: "audio/opus"})
	permit := func(sids ...string) {
		_ = s.room.call(func() {
			s.room.permit(s.room.local["bob"], &livekit.SubscriptionPermission{
				TrackPermissions: []*livekit.TrackPermission{{ParticipantIdentity: "ann", TrackSids: sids}},
			})
		})
	}
	permit("TR_held", "TR_shown", "TR_voice")
	first.await(t, "refusal", func(m *livekit.SignalResponse) bool {
		u := m.GetSubscriptionPermissionUpdate()
		return u.GetTrackSid() == "TR_again" && !u.Allowed
	})
	// Now her socket hears nothing more.
	first.Close(0, "")
	permit("TR_held", "TR_shown", "TR_voice", "TR_again")
	mute, err := proto.Marshal(&livekit.MuteTrackRequest{Sid: "TR_mic", Muted: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		s.room.streamHeld(p, "TR_held", true)
		s.room.heard("lyon", &linkpb.Levels{Levels: []*linkpb.Levels_Level{{ParticipantSid: bob, Level: 0.5, Active: true}}})
		s.room.obey(&linkpb.Order{Identity: "ann", Mute: mute})
		mine.want = relay.UpTo(0, 3)
		p.demanded("TR_mine", mine.want)
		mine.repeats = 0
	})

	d := s.resume("ann", ann)
	d.await(t, "its tracks' quality", func(m *livekit.SignalResponse) bool {
		u := m.GetSubscribedQualityUpdate()
		return u.GetTrackSid() == "TR_mine" && u.SubscribedCodecs[0].Qualities[0].Enabled
	})
	states := d.await(t, "stream states", func(m *livekit.SignalResponse) bool { return m.GetStreamStateUpdate() != nil }).GetStreamStateUpdate()
	got := make(map[string]livekit.StreamState)
	for _, s := range states.StreamStates {
		if s.ParticipantSid != bob {
			t.Errorf("a track of %s", s.ParticipantSid)
		}
		got[s.TrackSid] = s.State
	}
	if got["TR_held"] != livekit.StreamState_PAUSED || got["TR_shown"] != livekit.StreamState_ACTIVE || len(got) != 3 {
		t.Errorf("stream states %v", got)
	}
	speakers := d.await(t, "speakers", func(m *livekit.SignalResponse) bool { return m.GetSpeakersChanged() != nil }).GetSpeakersChanged()
	want := []*livekit.SpeakerInfo{{Sid: bob, Level: 0.5, Active: true}, {Sid: ann}, {Sid: carol}}
	if want[1].Sid > want[2].Sid {
		want[1], want[2] = want[2], want[1]
	}
	if diff := cmp.Diff(want, speakers.Speakers, protocmp.Transform()); diff != "" {
		t.Error("speakers:", diff)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	allowed := make(map[string]bool)
	muted, own := -1, -1
	for i, m := range d.said {
		if u := m.GetSubscriptionPermissionUpdate(); u != nil {
			allowed[u.TrackSid] = u.Allowed
		}
		if m.GetMute().GetSid() == "TR_mic" && m.GetMute().Muted {
			muted = i
		}
		if own < 0 && m.GetUpdate() != nil {
			own = i
		}
	}
	if yes, told := allowed["TR_denied"]; yes || !told {
		t.Errorf("TR_denied: allowed %v, told %v", yes, told)
	}
	if !allowed["TR_again"] || len(allowed) != 2 {
		t.Errorf("TR_again is allowed again, told %v", allowed)
	}
	if muted != 1 || own < muted {
		t.Errorf("the mute is message %d, the first update %d: a client that hears the update first takes the mute back", muted, own)
	}
}

// Some clients send their state with the resume itself.
func TestSyncStateThatComesWithTheResume(t *testing.T) {
	s := newStage(t)
	sid := sidAt(t, s.join("ann", single))
	d := s.join("ann", single, func(j *signal.Join) {
		j.Reconnect, j.ParticipantSid = true, sid
		j.SyncState = &livekit.SyncState{
			Subscription:      &livekit.UpdateSubscription{TrackSids: []string{"TR_x"}},
			TrackSidsDisabled: []string{"TR_y"},
		}
	})
	d.await(t, "reconnect", func(m *livekit.SignalResponse) bool { return m.GetReconnect() != nil })
	_ = s.room.call(func() {
		p := s.room.local["ann"]
		if chosen, ok := p.choices["TR_x"]; chosen || !ok || !p.settings["TR_y"].GetDisabled() {
			t.Errorf("choices %v, settings %v", p.choices, p.settings)
		}
	})
	d = s.join("ann", single, func(j *signal.Join) {
		j.Reconnect, j.ParticipantSid = true, sid
		j.SyncState = &livekit.SyncState{PublishTracks: []*livekit.TrackPublishedResponse{{Cid: "c", Track: &livekit.TrackInfo{Sid: "TR_unknown"}}}}
	})
	d.await(t, "leave", isLeave(livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT))
}
