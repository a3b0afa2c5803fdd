package trackinfo

import (
	"slices"
	"testing"

	"go.uber.org/goleak"

	"maille/proto/livekit"
	"maille/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// all is what a node forwards.
var all = []*livekit.Codec{
	{Mime: "video/VP8"},
	{Mime: "video/H264"},
	{Mime: "video/VP9"},
	{Mime: "video/AV1"},
	{Mime: "video/H265"},
	{Mime: "audio/opus"},
	{Mime: "audio/red"},
}

func names(codecs []*livekit.Codec) (out []string) {
	for _, c := range codecs {
		out = append(out, Short(c.Mime))
	}
	return out
}

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
		if got := names(Publishable(all, tt.client)); !slices.Equal(got, tt.want) {
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
		info := New("TR_1", req, Publishable(all, tt.client))
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
	known, unknown := SortedLayers(livekit.TrackType_VIDEO, layers(320, 640, 1280)), SortedLayers(livekit.TrackType_VIDEO, layers(0, 0, 0))
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
		if got := Spatial(info, tt.layers, set); got != tt.want {
			t.Errorf("%d x %d, %v of %d layers: layer %d, want %d", tt.width, tt.height, tt.quality, len(tt.layers), got, tt.want)
		}
	}
}
