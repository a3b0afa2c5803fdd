package room

import (
	"crypto/rand"
	"math/big"

	"maille/proto/livekit"
)

// Sid prefixes of the LiveKit protocol (signalling.md 3.6); clients test for some.
const (
	RoomPrefix        = "RM_"
	ParticipantPrefix = "PA_"
	TrackPrefix       = "TR_"
)

const (
	sidAlphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	sidLength   = 12 // 57^12 values: no collision in a cluster's life
)

// NewSid returns a fresh random sid with a prefix.
func NewSid(prefix string) string {
	b := make([]byte, sidLength)
	for i := range b {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(sidAlphabet))))
		if err != nil {
			panic("room: no randomness: " + err.Error())
		}
		b[i] = sidAlphabet[n.Int64()]
	}
	return prefix + string(b)
}

// trackPrefix carries kind and source, as operators of LiveKit read them in logs.
func trackPrefix(kind livekit.TrackType, source livekit.TrackSource) string {
	k := "V"
	if kind == livekit.TrackType_AUDIO {
		k = "A"
	}
	s := ""
	switch source {
	case livekit.TrackSource_CAMERA:
		s = "C"
	case livekit.TrackSource_MICROPHONE:
		s = "M"
	case livekit.TrackSource_SCREEN_SHARE:
		s = "S"
	case livekit.TrackSource_SCREEN_SHARE_AUDIO:
		s = "s"
	}
	return TrackPrefix + k + s
}
