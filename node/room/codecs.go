package room

import (
	"strconv"
	"strings"

	"maille/node/rtc"
	"maille/proto/livekit"
)

// allCodecs lists what this node forwards, in the order that clients are told: they take
// the first of video as the fallback.
var allCodecs = func() (out []*livekit.Codec) {
	for _, mime := range rtc.Codecs() {
		out = append(out, &livekit.Codec{Mime: mime})
	}
	return out
}()

// publishable lists what a client may publish (signalling.md 3.6). Some browsers offer
// codecs that they encode badly or not at all.
func publishable(c *livekit.ClientInfo) []*livekit.Codec {
	var out []*livekit.Codec
	for _, codec := range allCodecs {
		if !keptFrom(c, codec.Mime) {
			out = append(out, codec)
		}
	}
	return out
}

// isGecko reports whether a client is Firefox with its own engine: that of iOS is Safari's.
func isGecko(c *livekit.ClientInfo) bool {
	return strings.EqualFold(c.GetBrowser(), "firefox") && !strings.EqualFold(c.GetOs(), "ios")
}

// lastSafariVP9 is the last version of Safari whose VP9 encoder others can decode.
const lastSafariVP9 = 18.3

func keptFrom(c *livekit.ClientInfo, mime string) bool {
	browser, os := strings.ToLower(c.GetBrowser()), strings.ToLower(c.GetOs())
	safari := browser == "safari" || os == "ios" && browser != "" // every browser of iOS is one
	switch strings.ToLower(mime) {
	case "video/av1":
		return safari
	case "video/vp9":
		return browser == "safari" && version(c.GetBrowserVersion()) > lastSafariVP9
	case "video/h264":
		return browser == "firefox" && (os == "linux" || os == "android")
	case "video/h265":
		return browser == "firefox"
	}
	return false
}

// version reads "18.3.1" as 18.3; 0 when it is none.
func version(s string) float64 {
	major, rest, _ := strings.Cut(s, ".")
	minor, _, _ := strings.Cut(rest, ".")
	if minor == "" {
		minor = "0"
	}
	v, err := strconv.ParseFloat(major+"."+minor, 64)
	if err != nil {
		return 0
	}
	return v
}

// layered reports whether a codec carries spatial layers within one stream.
func layered(mime string) bool {
	return strings.EqualFold(mime, "video/VP9") || strings.EqualFold(mime, "video/AV1")
}

// layerMode is how a codec's layers are sent, when the client does not say so.
func layerMode(mime string) livekit.VideoLayer_Mode {
	if layered(mime) {
		return livekit.VideoLayer_MULTIPLE_SPATIAL_LAYERS_PER_STREAM
	}
	return livekit.VideoLayer_ONE_SPATIAL_LAYER_PER_STREAM
}

// enabledMime maps what the client asked for ("vp9", "video/VP8") to an enabled codec,
// falling back to the first of its kind.
func enabledMime(enabled []*livekit.Codec, kind livekit.TrackType, codec string) string {
	prefix := "video/"
	if kind == livekit.TrackType_AUDIO {
		prefix = "audio/"
	}
	if !strings.Contains(codec, "/") {
		codec = prefix + codec
	}
	first := ""
	for _, c := range enabled {
		if !strings.HasPrefix(c.Mime, prefix) {
			continue
		}
		if strings.EqualFold(c.Mime, codec) {
			return c.Mime
		}
		if first == "" {
			first = c.Mime
		}
	}
	return first
}

func shortCodec(mime string) string {
	_, codec, _ := strings.Cut(mime, "/")
	return strings.ToLower(codec)
}
