package room

import (
	"slices"
	"strings"

	"maille/proto/livekit"
	"maille/relay"
)

// Limits of what one participant may announce.
const (
	// maxPending bounds tracks announced but not yet sent (LiveKit's own limit).
	maxPending = 20
	// maxTracks bounds tracks published at once by one participant: camera, screen and
	// their audio, with room for several screens.
	maxTracks = 32
	// maxTrackName bounds names that every client of the room receives.
	maxTrackName = 256
)

// enabledCodecs lists what clients may publish, most preferred first; video comes
// first because clients take the first video entry as the fallback.
var enabledCodecs = []*livekit.Codec{
	{Mime: "video/VP8"},
	{Mime: "video/H264"},
	{Mime: "audio/opus"},
}

// newTrackInfo turns an AddTrackRequest into the TrackInfo announced to the room
// (signalling.md 3.6).
func newTrackInfo(sid string, req *livekit.AddTrackRequest) *livekit.TrackInfo {
	info := &livekit.TrackInfo{
		Sid: sid, Type: req.Type, Name: req.Name, Muted: req.Muted,
		Width: req.Width, Height: req.Height, DisableDtx: req.DisableDtx,
		Source: req.Source, Stereo: req.Stereo, DisableRed: req.DisableRed,
		Encryption: req.Encryption, Stream: req.Stream,
		AudioFeatures: req.AudioFeatures, BackupCodecPolicy: req.BackupCodecPolicy,
		PacketTrailerFeatures: req.PacketTrailerFeatures,
	}
	if info.Stream == "" {
		info.Stream = streamOf(req.Source)
	}
	layers := slices.Clone(req.Layers)
	slices.SortFunc(layers, func(a, b *livekit.VideoLayer) int { return int(a.Quality) - int(b.Quality) })
	if req.Type == livekit.TrackType_VIDEO {
		for i, l := range layers {
			l.SpatialLayer = int32(i)
		}
	}
	for _, c := range req.SimulcastCodecs {
		mime := enabledMime(req.Type, c.Codec)
		if slices.ContainsFunc(info.Codecs, func(o *livekit.SimulcastCodecInfo) bool { return o.MimeType == mime }) {
			continue
		}
		own := c.Layers
		if len(own) == 0 {
			own = layers
		}
		info.Codecs = append(info.Codecs, &livekit.SimulcastCodecInfo{
			MimeType: mime, Cid: c.Cid, Layers: own,
			VideoLayerMode: livekit.VideoLayer_ONE_SPATIAL_LAYER_PER_STREAM,
		})
	}
	if len(info.Codecs) == 0 {
		info.Codecs = []*livekit.SimulcastCodecInfo{{Cid: req.Cid, Layers: layers}}
	}
	info.MimeType = info.Codecs[0].MimeType
	info.Layers = info.Codecs[0].Layers
	info.Simulcast = req.Type == livekit.TrackType_VIDEO && len(info.Layers) > 1
	return info
}

func streamOf(source livekit.TrackSource) string {
	switch source {
	case livekit.TrackSource_CAMERA, livekit.TrackSource_MICROPHONE:
		return "camera"
	case livekit.TrackSource_SCREEN_SHARE, livekit.TrackSource_SCREEN_SHARE_AUDIO:
		return "screen"
	}
	return "unknown"
}

// enabledMime maps what the client asked for ("vp9", "video/VP8") to an enabled
// codec, falling back to the first of its kind.
func enabledMime(kind livekit.TrackType, codec string) string {
	prefix := "video/"
	if kind == livekit.TrackType_AUDIO {
		prefix = "audio/"
	}
	if !strings.Contains(codec, "/") {
		codec = prefix + codec
	}
	first := ""
	for _, c := range enabledCodecs {
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

// spatialFor turns what a subscriber asks of a video track into the highest spatial
// layer to send: by rendered size when given, else by named quality.
func spatialFor(info *livekit.TrackInfo, s *livekit.UpdateTrackSettings) uint8 {
	n := len(info.Layers)
	if n <= 1 {
		return relay.MaxSpatial - 1
	}
	if s.Width > 0 && s.Height > 0 {
		for i, l := range info.Layers {
			if l.Width >= s.Width || l.Height >= s.Height {
				return uint8(min(i, relay.MaxSpatial-1))
			}
		}
		return uint8(min(n, relay.MaxSpatial) - 1)
	}
	best := 0
	for i, l := range info.Layers {
		if l.Quality <= s.Quality {
			best = i
		}
	}
	return uint8(min(best, relay.MaxSpatial-1))
}

// temporalFor caps the temporal layer by the frame rate asked for (0 = no cap):
// each layer down halves a 30 frames/s picture.
func temporalFor(fps uint32) uint8 {
	switch {
	case fps == 0 || fps > 20:
		return relay.MaxTemporal - 1
	case fps > 10:
		return 1
	}
	return 0
}
