package room

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/node/room/roster"
	"maille/node/room/trackinfo"
	"maille/node/rtc"
	"maille/node/signal"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/track"
)

// layers are those of an AddTrackRequest: widths from small to large, in any order.
func layers(widths ...uint32) (out []*livekit.VideoLayer) {
	for i, w := range widths {
		out = append(out, &livekit.VideoLayer{Quality: livekit.VideoQuality(i), Width: w, Height: w * 9 / 16})
	}
	slices.Reverse(out)
	return out
}

// What a publisher is told names every codec with every quality (signalling.md 4.7).
func TestSubscribedQualityUpdate(t *testing.T) {
	info := &livekit.TrackInfo{Sid: "TR_1", Type: livekit.TrackType_VIDEO, Codecs: []*livekit.SimulcastCodecInfo{
		{MimeType: "video/VP9", Layers: layers(320, 640, 1280)}, {MimeType: "video/VP8"},
	}}
	backup := &further{info: info.Codecs[1], track: track.New("TR_1:vp8", relay.Video, "video/VP8")}
	pub := &publication{info: info, mime: "video/VP9", further: []*further{backup}}
	pub.want = relay.UpTo(0, 1) | relay.UpTo(1, 1)
	check := func(want string) {
		t.Helper()
		msg := new(livekit.SubscribedQualityUpdate)
		if err := protojson.Unmarshal([]byte(want), msg); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(msg, pub.watch(), protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
	off := `[{"quality":"LOW"},{"quality":"MEDIUM"},{"quality":"HIGH"}]`
	mid := `[{"quality":"LOW","enabled":true},{"quality":"MEDIUM","enabled":true},{"quality":"HIGH"}]`
	all := `[{"quality":"LOW","enabled":true},{"quality":"MEDIUM","enabled":true},{"quality":"HIGH","enabled":true}]`
	check(`{"trackSid":"TR_1","subscribedQualities":` + mid + `,"subscribedCodecs":[{"codec":"vp9","qualities":` + mid + `},{"codec":"vp8","qualities":` + off + `}]}`)
	pub.want, backup.want = relay.NoLayers, relay.UpTo(0, 3)
	check(`{"trackSid":"TR_1","subscribedQualities":` + off + `,"subscribedCodecs":[{"codec":"vp9","qualities":` + off + `},{"codec":"vp8","qualities":` + all + `}]}`)
}

func TestCodecForAViewer(t *testing.T) {
	sid := "TR_1"
	m := &roster.Member{Tracks: make(map[string]*linkpb.TrackFacts)}
	info := &livekit.TrackInfo{Sid: sid}
	for i, mime := range []string{"video/AV1", "video/VP8"} {
		id := sid
		if i > 0 {
			id = string(codecID(sid, mime))
		}
		info.Codecs = append(info.Codecs, &livekit.SimulcastCodecInfo{MimeType: mime, Layers: layers(320, 640)})
		m.Tracks[id] = &linkpb.TrackFacts{Sid: id, Mime: mime}
	}
	for _, tt := range []struct {
		name    string
		refused []string
		join    signal.Join
		alone   bool // no backup is listed
		want    relay.TrackID
		spatial uint8
	}{
		{name: "the first", want: "TR_1", spatial: 2},
		{name: "refused", refused: []string{"video/av1"}, want: "TR_1:vp8", spatial: 2},
		{name: "both refused", refused: []string{"video/av1", "video/vp8"}},
		{name: "layers that it cannot tell", join: signal.Join{SinglePC: true}, want: "TR_1:vp8", spatial: 2},
		{name: "only the lowest of them", join: signal.Join{SinglePC: true}, alone: true, want: "TR_1"},
		{name: "not a browser's library", join: signal.Join{SinglePC: true, Client: &livekit.ClientInfo{Sdk: livekit.ClientInfo_GO}}, want: "TR_1", spatial: 2},
	} {
		p := &Participant{join: &tt.join, refused: make(map[string]bool)}
		for _, mime := range tt.refused {
			p.refused[mime] = true
		}
		listed := info
		if tt.alone {
			listed = &livekit.TrackInfo{Sid: sid, Codecs: info.Codecs[:1]}
		}
		id, codec := p.codecFor(m, listed)
		if id != tt.want || (codec == nil) != (tt.want == "") {
			t.Errorf("%s: %q %v, want %q", tt.name, id, codec, tt.want)
			continue
		}
		if spatial, _ := p.layersFor(listed, codec, nil); codec != nil && spatial != tt.spatial {
			t.Errorf("%s: up to layer %d, want %d", tt.name, spatial, tt.spatial)
		}
	}
}

// Everything that is announced can be asked for by name.
func TestEnabledMime(t *testing.T) {
	if allCodecs[0].Mime != "video/VP8" {
		t.Errorf("clients fall back to %s", allCodecs[0].Mime)
	}
	for _, mime := range rtc.Codecs() {
		kind := livekit.TrackType_VIDEO
		if mime[:5] == "audio" {
			kind = livekit.TrackType_AUDIO
		}
		for _, name := range []string{mime, trackinfo.Short(mime)} {
			if got := trackinfo.Enabled(allCodecs, kind, name); got != mime {
				t.Errorf("%s is taken for %s", name, got)
			}
		}
	}
}

func TestHearsByPacket(t *testing.T) {
	for _, tt := range []struct {
		client *livekit.ClientInfo
		want   bool
	}{
		{&livekit.ClientInfo{Sdk: livekit.ClientInfo_GO}, true},
		{&livekit.ClientInfo{}, true},
		{nil, true},
		{&livekit.ClientInfo{Browser: "firefox"}, false},
		{&livekit.ClientInfo{Sdk: livekit.ClientInfo_JS, Browser: "chrome"}, false},
		{&livekit.ClientInfo{Sdk: livekit.ClientInfo_RUST}, false},
	} {
		if got := hearsByPacket(tt.client); got != tt.want {
			t.Errorf("%v: %v", tt.client, got)
		}
	}
}

// The trailer is one for the whole room, whatever node tells it, and another's differs.
func TestSifTrailer(t *testing.T) {
	a := newStage(t).join("ann").await(t, "join", isJoin).GetJoin()
	b := newStage(t).join("bob").await(t, "join", isJoin).GetJoin()
	if len(a.SifTrailer) < 16 || !slices.Equal(a.SifTrailer, b.SifTrailer) || a.Room.Sid != b.Room.Sid {
		t.Errorf("trailers %x and %x of %s and %s", a.SifTrailer, b.SifTrailer, a.Room.Sid, b.Room.Sid)
	}
	if slices.Equal(a.SifTrailer, sifTrailer("RM_other")) {
		t.Error("two rooms have the same trailer")
	}
}
