package livekit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/proto/livekit"
)

// fields is what clients in the field have compiled in: number, name, Go-side type.
// A change here breaks them.
var fields = map[protoreflect.ProtoMessage]string{
	&livekit.SignalRequest{}: `1 offer SessionDescription
2 answer SessionDescription
3 trickle TrickleRequest
4 add_track AddTrackRequest
5 mute MuteTrackRequest
6 subscription UpdateSubscription
7 track_setting UpdateTrackSettings
8 leave LeaveRequest
10 update_layers UpdateVideoLayers
11 subscription_permission SubscriptionPermission
12 sync_state SyncState
13 simulate SimulateScenario
14 ping int64
15 update_metadata UpdateParticipantMetadata
16 ping_req Ping
17 update_audio_track UpdateLocalAudioTrack
18 update_video_track UpdateLocalVideoTrack
19 publish_data_track_request PublishDataTrackRequest
20 unpublish_data_track_request UnpublishDataTrackRequest
21 update_data_subscription UpdateDataSubscription
22 store_data_blob_request StoreDataBlobRequest
23 get_data_blob_request GetDataBlobRequest`,
	&livekit.SignalResponse{}: `1 join JoinResponse
2 answer SessionDescription
3 offer SessionDescription
4 trickle TrickleRequest
5 update ParticipantUpdate
6 track_published TrackPublishedResponse
8 leave LeaveRequest
9 mute MuteTrackRequest
10 speakers_changed SpeakersChanged
11 room_update RoomUpdate
12 connection_quality ConnectionQualityUpdate
13 stream_state_update StreamStateUpdate
14 subscribed_quality_update SubscribedQualityUpdate
15 subscription_permission_update SubscriptionPermissionUpdate
16 refresh_token string
17 track_unpublished TrackUnpublishedResponse
18 pong int64
19 reconnect ReconnectResponse
20 pong_resp Pong
21 subscription_response SubscriptionResponse
22 request_response RequestResponse
23 track_subscribed TrackSubscribed
24 room_moved RoomMovedResponse
25 media_sections_requirement MediaSectionsRequirement
26 subscribed_audio_codec_update SubscribedAudioCodecUpdate
27 publish_data_track_response PublishDataTrackResponse
28 unpublish_data_track_response UnpublishDataTrackResponse
29 data_track_subscriber_handles DataTrackSubscriberHandles
30 store_data_blob_response StoreDataBlobResponse
31 get_data_blob_response GetDataBlobResponse`,
	&livekit.SessionDescription{}: `1 type string
2 sdp string
3 id uint32
4 mid_to_track_id map`,
	&livekit.TrickleRequest{}: `1 candidateInit string
2 target SignalTarget
3 final bool`,
	&livekit.DataPacket{}: `1 kind Kind
2 user UserPacket
3 speaker ActiveSpeakerUpdate
4 participant_identity string
5 destination_identities string
6 sip_dtmf SipDTMF
7 transcription Transcription
8 metrics MetricsBatch
9 chat_message ChatMessage
10 rpc_request RpcRequest
11 rpc_ack RpcAck
12 rpc_response RpcResponse
13 stream_header Header
14 stream_chunk Chunk
15 stream_trailer Trailer
16 sequence uint32
17 participant_sid string
18 encrypted_packet EncryptedPacket`,
	&livekit.SimulcastCodec{}: `1 codec string
2 cid string
4 layers VideoLayer
5 video_layer_mode Mode`,
	&livekit.LeaveRequest{}: `1 can_reconnect bool
2 reason DisconnectReason
3 action Action
4 regions RegionSettings`,
}

func TestFieldNumbers(t *testing.T) {
	for m, want := range fields {
		d := m.ProtoReflect().Descriptor()
		got := map[string]bool{}
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			kind := f.Kind().String()
			switch {
			case f.IsMap():
				kind = "map"
			case f.Message() != nil:
				kind = string(f.Message().Name())
			case f.Enum() != nil:
				kind = string(f.Enum().Name())
			}
			got[fmt.Sprintf("%d %s %s", f.Number(), f.Name(), kind)] = true
		}
		wanted := map[string]bool{}
		for line := range strings.SplitSeq(want, "\n") {
			wanted[line] = true
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s (-clients +ours):\n%s", d.FullName(), diff)
		}
	}
}

// Bytes written by hand from the wire format, so that a consistent mistake in both
// directions cannot pass.
func TestWireBytes(t *testing.T) {
	for name, c := range map[string]struct {
		msg  proto.Message
		want string
	}{
		"ping is member 14": {
			&livekit.SignalRequest{Message: &livekit.SignalRequest_Ping{Ping: 1}},
			"\x70\x01",
		},
		"answer with its offer's id": {
			&livekit.SignalResponse{Message: &livekit.SignalResponse_Answer{
				Answer: &livekit.SessionDescription{Type: "answer", Sdp: "v", Id: 7},
			}},
			"\x12\x0d\x0a\x06answer\x12\x01v\x18\x07",
		},
		"media_sections_requirement is member 25": {
			&livekit.SignalResponse{Message: &livekit.SignalResponse_MediaSectionsRequirement{
				MediaSectionsRequirement: &livekit.MediaSectionsRequirement{NumVideos: 2},
			}},
			"\xca\x01\x02\x10\x02",
		},
		"reliable user packet with sequence": {
			&livekit.DataPacket{
				Value:    &livekit.DataPacket_User{User: &livekit.UserPacket{Payload: []byte("x")}},
				Sequence: 3,
			},
			"\x80\x01\x03\x12\x03\x12\x01x", // members of a oneof are encoded last
		},
	} {
		got, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.msg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if string(got) != c.want {
			t.Errorf("%s: %x, want %x", name, got, c.want)
		}
	}
}

func TestCandidateInitInJSON(t *testing.T) {
	const text = `{"trickle":{"candidateInit":"{\"candidate\":\"\"}","target":"SUBSCRIBER"}}`
	var got livekit.SignalRequest
	if err := protojson.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := &livekit.SignalRequest{Message: &livekit.SignalRequest_Trickle{Trickle: &livekit.TrickleRequest{
		CandidateInit: `{"candidate":""}`, Target: livekit.SignalTarget_SUBSCRIBER,
	}}}
	if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
		t.Fatal(diff)
	}
	out, err := protojson.Marshal(&got)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), `"candidateInit"`) {
		t.Errorf("encoded as %s", out)
	}
}
