package room

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
	"maille/relay/audio"
)

func TestLoudestSetting(t *testing.T) {
	for _, tc := range []struct {
		settings *meshpb.RoomSettings
		want     int
	}{
		{nil, 3},
		{&meshpb.RoomSettings{}, 3},
		{&meshpb.RoomSettings{Loudest: proto.Uint32(0)}, 0},
		{&meshpb.RoomSettings{Loudest: proto.Uint32(5)}, 5},
		{&meshpb.RoomSettings{Loudest: proto.Uint32(4e9)}, audio.MaxLoudest},
	} {
		if got := loudest(tc.settings); got != tc.want {
			t.Errorf("%v: the loudest %d, want %d", tc.settings, got, tc.want)
		}
	}
}

func TestWhoIsRanked(t *testing.T) {
	r := &Room{voices: audio.NewRanking(3)}
	for _, tc := range []struct {
		kind   livekit.TrackType
		source livekit.TrackSource
		ranked bool
	}{
		{livekit.TrackType_AUDIO, livekit.TrackSource_MICROPHONE, true},
		{livekit.TrackType_AUDIO, livekit.TrackSource_UNKNOWN, true}, // no way around the ranking
		{livekit.TrackType_AUDIO, livekit.TrackSource_SCREEN_SHARE_AUDIO, false},
		{livekit.TrackType_VIDEO, livekit.TrackSource_CAMERA, false},
	} {
		if got := r.voiceOf(&livekit.TrackInfo{Type: tc.kind, Source: tc.source}, "ann", false) != nil; got != tc.ranked {
			t.Errorf("%s %s: ranked %v, want %v", tc.kind, tc.source, got, tc.ranked)
		}
	}
}

func TestWhoHearsAll(t *testing.T) {
	for _, tc := range []struct {
		kind     livekit.ParticipantInfo_Kind
		recorder bool
		want     bool
	}{
		{livekit.ParticipantInfo_STANDARD, false, false},
		{livekit.ParticipantInfo_SIP, false, false},
		{livekit.ParticipantInfo_STANDARD, true, true},
		{livekit.ParticipantInfo_EGRESS, false, true},
		{livekit.ParticipantInfo_AGENT, false, true},
	} {
		p := &Participant{info: &livekit.ParticipantInfo{Kind: tc.kind, Permission: &livekit.ParticipantPermission{Recorder: tc.recorder}}}
		if got := p.hearsAll(); got != tc.want {
			t.Errorf("%s, recorder %v: hears all %v, want %v", tc.kind, tc.recorder, got, tc.want)
		}
	}
}
