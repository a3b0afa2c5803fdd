package trackinfo

import (
	"slices"
	"strings"

	"maille/proto/livekit"
)

// MaxCodecs bounds the codecs of one track: the first, a backup, and one to spare.
const MaxCodecs = 3

// New turns an AddTrackRequest into the TrackInfo announced to the room
// (signalling.md 3.6); enabled are the codecs that the client may send.
func New(sid string, req *livekit.AddTrackRequest, enabled []*livekit.Codec) *livekit.TrackInfo {
	info := &livekit.TrackInfo{
		Sid: sid, Type: req.Type, Name: req.Name, Muted: req.Muted,
		Width: req.Width, Height: req.Height, DisableDtx: req.DisableDtx,
		Source: req.Source, Stereo: req.Stereo, DisableRed: req.DisableRed,
		Encryption: req.Encryption, Stream: req.Stream,
		BackupCodecPolicy:     req.BackupCodecPolicy,
		PacketTrailerFeatures: req.PacketTrailerFeatures,
	}
	SetFeatures(info, req.AudioFeatures)
	if info.Stream == "" {
		info.Stream = streamOf(req.Source)
	}
	if req.Type == livekit.TrackType_AUDIO && info.BackupCodecPolicy != livekit.BackupCodecPolicy_REGRESSION {
		info.BackupCodecPolicy = livekit.BackupCodecPolicy_SIMULCAST
	}
	layers := SortedLayers(req.Type, req.Layers)
	for _, c := range req.SimulcastCodecs {
		mime := Enabled(enabled, req.Type, c.Codec)
		if CodecOf(info, mime) != nil || len(info.Codecs) == MaxCodecs {
			continue
		}
		own := SortedLayers(req.Type, c.Layers)
		if len(own) == 0 {
			own = layers
		}
		mode := c.VideoLayerMode
		if mode == livekit.VideoLayer_MODE_UNUSED && req.Type == livekit.TrackType_VIDEO {
			mode = LayerMode(mime)
		}
		info.Codecs = append(info.Codecs, &livekit.SimulcastCodecInfo{MimeType: mime, Cid: c.Cid, Layers: own, VideoLayerMode: mode})
	}
	if len(info.Codecs) == 0 {
		info.Codecs = []*livekit.SimulcastCodecInfo{{Cid: req.Cid, Layers: layers}}
	}
	Settle(info)
	return info
}

// SetFeatures notes how a track's sound is processed. Two channels and silence that is
// sent in full have two words each, of which clients use either.
func SetFeatures(info *livekit.TrackInfo, features []livekit.AudioTrackFeature) {
	if info.Type != livekit.TrackType_AUDIO {
		return
	}
	info.AudioFeatures = slices.Compact(slices.Sorted(slices.Values(features)))
	add := func(f livekit.AudioTrackFeature, older *bool) {
		switch listed := slices.Contains(info.AudioFeatures, f); {
		case listed:
			*older = true
		case *older:
			info.AudioFeatures = append(info.AudioFeatures, f)
		}
	}
	add(livekit.AudioTrackFeature_TF_STEREO, &info.Stereo)
	add(livekit.AudioTrackFeature_TF_NO_DTX, &info.DisableDtx)
}

// Settle makes what is said of a track what is said of its first codec.
func Settle(info *livekit.TrackInfo) {
	first := info.Codecs[0]
	info.MimeType, info.Mid, info.Layers = first.MimeType, first.Mid, first.Layers
	info.Simulcast = info.Type == livekit.TrackType_VIDEO && len(info.Layers) > 1 &&
		first.VideoLayerMode != livekit.VideoLayer_MULTIPLE_SPATIAL_LAYERS_PER_STREAM
}

// CodecOf returns what a track says of one of its codecs, nil for one it has not.
func CodecOf(info *livekit.TrackInfo, mime string) *livekit.SimulcastCodecInfo {
	for _, c := range info.Codecs {
		if strings.EqualFold(c.MimeType, mime) {
			return c
		}
	}
	return nil
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
