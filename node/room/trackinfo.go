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
	// maxTrackBytes bounds all that is said of a track with AddTrack, layers and codecs
	// included, many times what honest clients say.
	maxTrackBytes = 8 << 10
	// maxCodecs bounds the codecs of one track: the first, a backup, and one to spare.
	maxCodecs = 3
)

// newTrackInfo turns an AddTrackRequest into the TrackInfo announced to the room
// (signalling.md 3.6).
func newTrackInfo(sid string, req *livekit.AddTrackRequest, enabled []*livekit.Codec) *livekit.TrackInfo {
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
	if req.Type == livekit.TrackType_AUDIO && info.BackupCodecPolicy != livekit.BackupCodecPolicy_REGRESSION {
		info.BackupCodecPolicy = livekit.BackupCodecPolicy_SIMULCAST
	}
	layers := sortedLayers(req.Type, req.Layers)
	for _, c := range req.SimulcastCodecs {
		mime := enabledMime(enabled, req.Type, c.Codec)
		if codecOf(info, mime) != nil || len(info.Codecs) == maxCodecs {
			continue
		}
		own := sortedLayers(req.Type, c.Layers)
		if len(own) == 0 {
			own = layers
		}
		mode := c.VideoLayerMode
		if mode == livekit.VideoLayer_MODE_UNUSED && req.Type == livekit.TrackType_VIDEO {
			mode = layerMode(mime)
		}
		info.Codecs = append(info.Codecs, &livekit.SimulcastCodecInfo{MimeType: mime, Cid: c.Cid, Layers: own, VideoLayerMode: mode})
	}
	if len(info.Codecs) == 0 {
		info.Codecs = []*livekit.SimulcastCodecInfo{{Cid: req.Cid, Layers: layers}}
	}
	settleInfo(info)
	return info
}

// settleInfo makes what is said of a track what is said of its first codec.
func settleInfo(info *livekit.TrackInfo) {
	first := info.Codecs[0]
	info.MimeType, info.Mid, info.Layers = first.MimeType, first.Mid, first.Layers
	info.Simulcast = info.Type == livekit.TrackType_VIDEO && len(info.Layers) > 1 &&
		first.VideoLayerMode != livekit.VideoLayer_MULTIPLE_SPATIAL_LAYERS_PER_STREAM
}

// codecOf returns what a track says of one of its codecs, nil for one it has not.
func codecOf(info *livekit.TrackInfo, mime string) *livekit.SimulcastCodecInfo {
	for _, c := range info.Codecs {
		if strings.EqualFold(c.MimeType, mime) {
			return c
		}
	}
	return nil
}

// sortedLayers orders layers from small to large.
func sortedLayers(kind livekit.TrackType, layers []*livekit.VideoLayer) []*livekit.VideoLayer {
	out := slices.Clone(layers)
	slices.SortStableFunc(out, func(a, b *livekit.VideoLayer) int { return int(a.Quality) - int(b.Quality) })
	if kind == livekit.TrackType_VIDEO {
		for i, l := range out {
			l.SpatialLayer = int32(i)
		}
	}
	return out
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

// spatialFor turns what a subscriber asks of a video track into the highest spatial
// layer to send: by rendered width when given, the smallest that is as wide, else by
// named quality. Codecs whose layers are of no known size (a backup's) are taken to halve
// from layer to layer, as the first codec's do.
func spatialFor(info *livekit.TrackInfo, layers []*livekit.VideoLayer, s *livekit.UpdateTrackSettings) uint8 {
	n := min(len(layers), relay.MaxSpatial)
	if n <= 1 {
		return relay.MaxSpatial - 1
	}
	best := 0
	if s.Width > 0 {
		for best < n-1 && widthOf(info, layers[:n], best) < s.Width {
			best++
		}
		return uint8(best)
	}
	for i, l := range layers[:n] {
		if l.Quality <= s.Quality {
			best = i
		}
	}
	return uint8(best)
}

func widthOf(info *livekit.TrackInfo, layers []*livekit.VideoLayer, i int) uint32 {
	if w := layers[i].Width; w > 0 {
		return w
	}
	return info.Width >> (len(layers) - 1 - i)
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
