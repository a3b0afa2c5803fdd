package trackinfo

import (
	"strconv"
	"strings"

	"maille/proto/livekit"
)

// Publishable lists what of all codecs a client may publish (signalling.md 3.6). Some
// browsers offer codecs that they encode badly or not at all.
func Publishable(all []*livekit.Codec, c *livekit.ClientInfo) []*livekit.Codec {
	var out []*livekit.Codec
	for _, codec := range all {
		if !keptFrom(c, codec.Mime) {
			out = append(out, codec)
		}
	}
	return out
}

// lastSafariVP9 is the last version of Safari whose VP9 encoder others can decode.
const lastSafariVP9 = 18.3

// keptFrom reports whether a client must not publish a codec.
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

// Enabled maps what the client asked for ("vp9", "video/VP8") to an enabled codec,
// falling back to the first of its kind.
func Enabled(enabled []*livekit.Codec, kind livekit.TrackType, codec string) string {
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

// Short is the codec of a mime type, as clients name it ("vp8").
func Short(mime string) string {
	_, codec, _ := strings.Cut(mime, "/")
	return strings.ToLower(codec)
}
