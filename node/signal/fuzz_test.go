package signal

import (
	"encoding/base64"
	"errors"
	"net/url"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"maille/proto/livekit"
)

// checkJoin holds for whatever a client sends: a 400 or 401, or a join that can travel.
func checkJoin(t *testing.T, req *livekit.JoinRequest, err error) {
	var j *Join
	if err == nil {
		claims := alice()
		claims.Video.CanUpdateOwnMetadata = new(true)
		j, err = NewJoin("", claims, req)
	}
	if err != nil {
		if code, _ := status(err); code != 400 {
			t.Fatalf("status %d: %v", code, err)
		}
		return
	}
	fillFromUserAgent(j.Client, j.Client.Os)
	raw, err := proto.Marshal(j.Request)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(raw, new(livekit.JoinRequest)); err != nil {
		t.Fatal(err)
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("auto_subscribe=1&sdk=js&protocol=17&client_protocol=2&adaptive_stream=1")
	f.Add("reconnect=1&sid=PA_x&reconnect_reason=4294967295&os=%ff")
	f.Add("attributes=eyJhIjpudWxsfQ&capabilities=,,cap_unused&publish=")
	f.Fuzz(func(t *testing.T, s string) {
		q, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		_ = regionHint(q)
		req, err := decodeQuery(q)
		checkJoin(t, req, err)
	})
}

func FuzzJoinRequest(f *testing.F) {
	f.Add(wrap(f, &livekit.JoinRequest{}, false))
	f.Add(wrap(f, &livekit.JoinRequest{
		PublisherOffer: &livekit.SessionDescription{Sdp: "v=0"},
		SyncState:      &livekit.SyncState{PublishTracks: []*livekit.TrackPublishedResponse{{}}},
	}, true))
	f.Add([]byte("\x08\x01\x12\x01x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		req, err := decodeJoinRequest(base64.StdEncoding.EncodeToString(b))
		checkJoin(t, req, err)
	})
}

func FuzzFrame(f *testing.F) {
	for _, m := range []*livekit.SignalRequest{
		offer("v=0"),
		{Message: &livekit.SignalRequest_Ping{Ping: -1}},
		{Message: &livekit.SignalRequest_SyncState{SyncState: &livekit.SyncState{Subscription: &livekit.UpdateSubscription{}}}},
		{},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(false, b)
		if b, err = protojson.Marshal(m); err != nil {
			f.Fatal(err)
		}
		f.Add(true, b)
	}
	f.Add(true, []byte(`{"trickle":{"candidateInit":"{}","target":1,"new":[[[{}]]]}}`))
	f.Fuzz(func(t *testing.T, text bool, b []byte) {
		req, err := decode(text, b)
		if err != nil {
			if !errors.Is(err, ErrBadMessage) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if req != nil && req.Message == nil {
			t.Fatal("a request without a message")
		}
		// What was accepted can be carried to another node.
		if _, err := proto.Marshal(req); err != nil {
			t.Fatal(err)
		}
	})
}
