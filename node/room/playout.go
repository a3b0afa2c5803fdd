package room

import (
	"time"

	"maille/node/rtc"
	meshpb "maille/proto/mesh"
)

// playout is what the room's clients are told of the delay of video (LiveKit's
// RoomConfiguration.min_playout_delay and max_playout_delay).
func playout(s *meshpb.RoomSettings) rtc.Playout {
	return rtc.Playout{
		Min: time.Duration(s.GetMinPlayoutDelayMs()) * time.Millisecond,
		Max: time.Duration(s.GetMaxPlayoutDelayMs()) * time.Millisecond,
	}
}
