package trackinfo

import (
	"slices"
	"strings"

	"maille/proto/livekit"
	"maille/relay"
)

// layered reports whether a codec carries spatial layers within one stream.
func layered(mime string) bool {
	return strings.EqualFold(mime, "video/VP9") || strings.EqualFold(mime, "video/AV1")
}

// LayerMode is how a codec's layers are sent, when the client does not say so.
func LayerMode(mime string) livekit.VideoLayer_Mode {
	if layered(mime) {
		return livekit.VideoLayer_MULTIPLE_SPATIAL_LAYERS_PER_STREAM
	}
	return livekit.VideoLayer_ONE_SPATIAL_LAYER_PER_STREAM
}

// SortedLayers orders layers from small to large.
func SortedLayers(kind livekit.TrackType, layers []*livekit.VideoLayer) []*livekit.VideoLayer {
	out := slices.Clone(layers)
	slices.SortStableFunc(out, func(a, b *livekit.VideoLayer) int { return int(a.Quality) - int(b.Quality) })
	if kind == livekit.TrackType_VIDEO {
		for i, l := range out {
			l.SpatialLayer = int32(i)
		}
	}
	return out
}

// Declared is what a publisher says that a codec's layers take, in bytes per second from
// the smallest, 0 for those that it says nothing of; nil if it does not say which layers there
// are.
func Declared(info *livekit.TrackInfo, codec *livekit.SimulcastCodecInfo) (rates []float64) {
	layers := codec.GetLayers()
	if len(layers) == 0 {
		layers = info.GetLayers()
	}
	for _, l := range layers[:min(len(layers), relay.MaxSpatial)] {
		rates = append(rates, float64(l.GetBitrate())/8)
	}
	return rates
}

// Spatial turns what a subscriber asks of a video track into the highest spatial
// layer to send: by rendered width when given, the smallest that is as wide, else by
// named quality. Codecs whose layers are of no known size (a backup's) are taken to halve
// from layer to layer, as the first codec's do.
func Spatial(info *livekit.TrackInfo, layers []*livekit.VideoLayer, s *livekit.UpdateTrackSettings) uint8 {
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

// Temporal caps the temporal layer by the frame rate asked for (0 = no cap):
// each layer down halves a 30 frames/s picture.
func Temporal(fps uint32) uint8 {
	switch {
	case fps == 0 || fps > 20:
		return relay.MaxTemporal - 1
	case fps > 10:
		return 1
	}
	return 0
}
