package room

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"maille/node/signal"
	"maille/proto/livekit"
)

func TestAddTrackRefusals(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	s.publish("ann", &livekit.TrackInfo{Sid: "TR_voice", Type: livekit.TrackType_AUDIO, MimeType: "audio/opus"})
	s.publish("ann", &livekit.TrackInfo{Sid: "TR_cam", Type: livekit.TrackType_VIDEO, MimeType: "video/VP9"})
	vp8 := []*livekit.SimulcastCodec{{Codec: "vp8"}}
	for name, c := range map[string]struct {
		req *livekit.AddTrackRequest
		why livekit.RequestResponse_Reason
	}{
		"data":           {&livekit.AddTrackRequest{Cid: "a", Type: livekit.TrackType_DATA}, livekit.RequestResponse_UNSUPPORTED_TYPE},
		"unknown type":   {&livekit.AddTrackRequest{Cid: "b", Type: 9}, livekit.RequestResponse_UNSUPPORTED_TYPE},
		"no cid":         {&livekit.AddTrackRequest{Name: "c", Type: livekit.TrackType_VIDEO}, livekit.RequestResponse_INVALID_REQUEST},
		"codec of none":  {&livekit.AddTrackRequest{Cid: "d", Sid: "TR_x", Type: livekit.TrackType_VIDEO, SimulcastCodecs: vp8}, livekit.RequestResponse_NOT_FOUND},
		"of other type":  {&livekit.AddTrackRequest{Cid: "e", Sid: "TR_voice", Type: livekit.TrackType_VIDEO, SimulcastCodecs: vp8}, livekit.RequestResponse_NOT_FOUND},
		"codec unnamed":  {&livekit.AddTrackRequest{Cid: "f", Sid: "TR_cam", Type: livekit.TrackType_VIDEO}, livekit.RequestResponse_INVALID_REQUEST},
		"the same codec": {&livekit.AddTrackRequest{Cid: "g", Sid: "TR_cam", Type: livekit.TrackType_VIDEO, SimulcastCodecs: []*livekit.SimulcastCodec{{Codec: "vp9"}}}, livekit.RequestResponse_INVALID_REQUEST},
	} {
		d.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: c.req}}
		got := d.await(t, name, func(m *livekit.SignalResponse) bool { return proto.Equal(m.GetRequestResponse().GetAddTrack(), c.req) })
		if why := got.GetRequestResponse().Reason; why != c.why || got.GetRequestResponse().Message == "" {
			t.Errorf("%s: refused with %v %q, want %v", name, why, got.GetRequestResponse().Message, c.why)
		}
	}
}

// What is said of a sound in older words is said in newer ones too, and the reverse; what
// clients say that a node does not use reaches the others all the same.
func TestWordsOfATrack(t *testing.T) {
	const stereo, full, gain = livekit.AudioTrackFeature_TF_STEREO, livekit.AudioTrackFeature_TF_NO_DTX, livekit.AudioTrackFeature_TF_AUTO_GAIN_CONTROL
	trailer := []livekit.PacketTrailerFeature{livekit.PacketTrailerFeature_PTF_FRAME_ID}
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	for _, tt := range []struct {
		req      *livekit.AddTrackRequest
		features []livekit.AudioTrackFeature
		stereo   bool
		noDTX    bool
	}{
		{&livekit.AddTrackRequest{Cid: "old", Stereo: true, DisableDtx: true}, []livekit.AudioTrackFeature{stereo, full}, true, true},
		{&livekit.AddTrackRequest{Cid: "new", AudioFeatures: []livekit.AudioTrackFeature{full, stereo, full}}, []livekit.AudioTrackFeature{stereo, full}, true, true},
		{&livekit.AddTrackRequest{Cid: "voice", AudioFeatures: []livekit.AudioTrackFeature{gain}}, []livekit.AudioTrackFeature{gain}, false, false},
	} {
		tt.req.Type, tt.req.PacketTrailerFeatures = livekit.TrackType_AUDIO, trailer
		d.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: tt.req}}
		info := d.await(t, tt.req.Cid, func(m *livekit.SignalResponse) bool { return m.GetTrackPublished().GetCid() == tt.req.Cid }).GetTrackPublished().Track
		if !slices.Equal(info.AudioFeatures, tt.features) || info.Stereo != tt.stereo || info.DisableDtx != tt.noDTX || !slices.Equal(info.PacketTrailerFeatures, trailer) {
			t.Errorf("%s: %v", tt.req.Cid, info)
		}
	}
}

// Clients of before protocol 15 take an answer for a failure: they hear of failures only.
func TestResultsForOldClients(t *testing.T) {
	update := func(id uint32, name string) *livekit.SignalRequest {
		return &livekit.SignalRequest{Message: &livekit.SignalRequest_UpdateMetadata{
			UpdateMetadata: &livekit.UpdateParticipantMetadata{RequestId: id, Name: name},
		}}
	}
	fine := func(m *livekit.SignalResponse) bool {
		return m.GetRequestResponse() != nil && isRefusal(livekit.RequestResponse_OK)(m)
	}
	for protocol, want := range map[int32]int{14: 0, 15: 1} {
		s := newStage(t)
		d := s.join("ann", func(j *signal.Join) {
			j.Client, j.Claims.Video.CanUpdateOwnMetadata = &livekit.ClientInfo{Protocol: protocol}, new(true)
		})
		sidAt(t, d)
		d.requests <- update(1, "Ann")
		d.requests <- update(2, strings.Repeat("n", maxName+1))
		d.await(t, "the failure", isRefusal(livekit.RequestResponse_LIMIT_EXCEEDED))
		if n := d.count(fine); n != want {
			t.Errorf("protocol %d: told %d times that all is well, want %d", protocol, n, want)
		}
	}
}

// Asked for twice, a track is one.
func TestTrackAddedTwice(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	published := func(m *livekit.SignalResponse) bool { return m.GetTrackPublished() != nil }
	for range 2 {
		d.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: &livekit.AddTrackRequest{
			Cid: "c", Type: livekit.TrackType_AUDIO, Source: livekit.TrackSource_MICROPHONE,
		}}}
	}
	for d.count(published) < 2 {
		d.mu.Lock()
		wake := d.wake
		d.mu.Unlock()
		if d.count(published) < 2 {
			<-wake
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var sids []string
	for _, m := range d.said {
		if published(m) {
			sids = append(sids, m.GetTrackPublished().Track.Sid)
		}
	}
	if len(slices.Compact(sids)) != 1 {
		t.Errorf("published as %v", sids)
	}
}

// What a client says of its own tracks reaches the others.
func TestLocalTracksAreDescribedAnew(t *testing.T) {
	s := newStage(t)
	ann, bob := s.join("ann"), s.join("bob")
	sidAt(t, ann)
	sidAt(t, bob)
	s.publish("ann", &livekit.TrackInfo{Sid: "TR_voice", Type: livekit.TrackType_AUDIO, MimeType: "audio/opus"})
	s.publish("ann", &livekit.TrackInfo{Sid: "TR_cam", Type: livekit.TrackType_VIDEO, MimeType: "video/VP8"})
	features := []livekit.AudioTrackFeature{livekit.AudioTrackFeature_TF_NOISE_SUPPRESSION}
	ann.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_UpdateAudioTrack{
		UpdateAudioTrack: &livekit.UpdateLocalAudioTrack{TrackSid: "TR_voice", Features: features},
	}}
	ann.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_UpdateVideoTrack{
		UpdateVideoTrack: &livekit.UpdateLocalVideoTrack{TrackSid: "TR_cam", Width: 640, Height: 360},
	}}
	bob.await(t, "both", func(m *livekit.SignalResponse) bool {
		for _, p := range m.GetUpdate().GetParticipants() {
			if p.Identity == "ann" && len(p.Tracks) == 2 && slices.Equal(p.Tracks[0].AudioFeatures, features) &&
				p.Tracks[1].Width == 640 && p.Tracks[1].Height == 360 {
				return true
			}
		}
		return false
	})
}
