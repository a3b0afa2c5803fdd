package room

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/node/rtc"
	"maille/node/signal"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/track"
)

func names(codecs []*livekit.Codec) (out []string) {
	for _, c := range codecs {
		out = append(out, shortCodec(c.Mime))
	}
	return out
}

// VP8 comes first: clients fall back to the first codec of video.
func TestPublishableCodecs(t *testing.T) {
	for _, tt := range []struct {
		name   string
		client *livekit.ClientInfo
		want   []string
	}{
		{"a client that says nothing", nil, []string{"vp8", "h264", "vp9", "av1", "h265", "opus", "red"}},
		{"chrome", &livekit.ClientInfo{Browser: "chrome", Os: "linux"}, []string{"vp8", "h264", "vp9", "av1", "h265", "opus", "red"}},
		{"safari", &livekit.ClientInfo{Browser: "Safari", BrowserVersion: "18.3"}, []string{"vp8", "h264", "vp9", "h265", "opus", "red"}},
		{"a later safari", &livekit.ClientInfo{Browser: "safari", BrowserVersion: "18.4.1"}, []string{"vp8", "h264", "h265", "opus", "red"}},
		{"firefox", &livekit.ClientInfo{Browser: "firefox", Os: "windows"}, []string{"vp8", "h264", "vp9", "av1", "opus", "red"}},
		{"firefox on linux", &livekit.ClientInfo{Browser: "firefox", Os: "Linux"}, []string{"vp8", "vp9", "av1", "opus", "red"}},
	} {
		if got := names(publishable(tt.client)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// layers are those of an AddTrackRequest: widths from small to large, in any order.
func layers(widths ...uint32) (out []*livekit.VideoLayer) {
	for i, w := range widths {
		out = append(out, &livekit.VideoLayer{Quality: livekit.VideoQuality(i), Width: w, Height: w * 9 / 16})
	}
	slices.Reverse(out)
	return out
}

func TestTrackInfoOfCodecs(t *testing.T) {
	const one, several = livekit.VideoLayer_ONE_SPATIAL_LAYER_PER_STREAM, livekit.VideoLayer_MULTIPLE_SPATIAL_LAYERS_PER_STREAM
	for _, tt := range []struct {
		name      string
		client    *livekit.ClientInfo
		codecs    []string
		layers    []*livekit.VideoLayer
		mimes     []string
		mode      livekit.VideoLayer_Mode
		simulcast bool
	}{
		{"VP9 with its backup", nil, []string{"vp9", "vp8"}, layers(320, 640, 1280), []string{"video/VP9", "video/VP8"}, several, false},
		{"VP8 simulcast", nil, []string{"video/VP8"}, layers(320, 640), []string{"video/VP8"}, one, true},
		{"H264, one layer", nil, []string{"h264"}, layers(1280), []string{"video/H264"}, one, false},
		{"unknown", nil, []string{"h266", "vp8"}, layers(320, 640), []string{"video/VP8"}, one, true},
		{"not for this browser", &livekit.ClientInfo{Browser: "safari"}, []string{"av1", "vp9"}, layers(320), []string{"video/VP8", "video/VP9"}, one, false},
		{"too many", nil, []string{"vp9", "vp8", "av1", "h264"}, nil, []string{"video/VP9", "video/VP8", "video/AV1"}, several, false},
	} {
		req := &livekit.AddTrackRequest{Cid: "c", Type: livekit.TrackType_VIDEO, Layers: tt.layers}
		for _, c := range tt.codecs {
			req.SimulcastCodecs = append(req.SimulcastCodecs, &livekit.SimulcastCodec{Codec: c})
		}
		info := newTrackInfo("TR_1", req, publishable(tt.client))
		var mimes []string
		for _, c := range info.Codecs {
			mimes = append(mimes, c.MimeType)
		}
		if !slices.Equal(mimes, tt.mimes) || info.MimeType != tt.mimes[0] || info.Codecs[0].VideoLayerMode != tt.mode || info.Simulcast != tt.simulcast {
			t.Errorf("%s: codecs %v, first %s %v, simulcast %t", tt.name, mimes, info.MimeType, info.Codecs[0].VideoLayerMode, info.Simulcast)
		}
		for i, l := range info.Layers {
			if int(l.Quality) != i || int(l.SpatialLayer) != i {
				t.Errorf("%s: layer %d is %v", tt.name, i, l)
			}
		}
	}
}

// A viewer gets the smallest layer that is as wide as its picture.
func TestLayerFollowsTheWidth(t *testing.T) {
	info := &livekit.TrackInfo{Width: 1280, Height: 720}
	known, unknown := sortedLayers(livekit.TrackType_VIDEO, layers(320, 640, 1280)), sortedLayers(livekit.TrackType_VIDEO, layers(0, 0, 0))
	for _, tt := range []struct {
		width, height uint32
		quality       livekit.VideoQuality
		layers        []*livekit.VideoLayer
		want          uint8
	}{
		{160, 90, 0, known, 0},
		{320, 180, 0, known, 0},
		{321, 100, 0, known, 1},
		{400, 180, 0, known, 1},
		{641, 10, 0, known, 2},
		{4000, 2000, 0, known, 2},
		{600, 300, 0, unknown, 1},
		{0, 0, livekit.VideoQuality_LOW, known, 0},
		{0, 0, livekit.VideoQuality_HIGH, known, 2},
		{0, 0, livekit.VideoQuality_HIGH, known[:2], 1},
		{100, 100, 0, known[2:], relay.MaxSpatial - 1},
	} {
		set := &livekit.UpdateTrackSettings{Width: tt.width, Height: tt.height, Quality: tt.quality}
		if got := spatialFor(info, tt.layers, set); got != tt.want {
			t.Errorf("%d x %d, %v of %d layers: layer %d, want %d", tt.width, tt.height, tt.quality, len(tt.layers), got, tt.want)
		}
	}
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
	m := &Member{Tracks: make(map[string]*linkpb.TrackFacts)}
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
	for _, mime := range rtc.Codecs() {
		kind := livekit.TrackType_VIDEO
		if mime[:5] == "audio" {
			kind = livekit.TrackType_AUDIO
		}
		for _, name := range []string{mime, shortCodec(mime)} {
			if got := enabledMime(allCodecs, kind, name); got != mime {
				t.Errorf("%s is taken for %s", name, got)
			}
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
