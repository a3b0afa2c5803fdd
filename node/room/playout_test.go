package room

import (
	"testing"
	"time"

	"maille/node/rtc"
	meshpb "maille/proto/mesh"
)

func TestPlayoutSetting(t *testing.T) {
	for _, tt := range []struct {
		in   *meshpb.RoomSettings
		want rtc.Playout
	}{
		{nil, rtc.Playout{}},
		{new(meshpb.RoomSettings), rtc.Playout{}},
		{&meshpb.RoomSettings{MinPlayoutDelayMs: 100, MaxPlayoutDelayMs: 4e9}, rtc.Playout{Min: 100 * time.Millisecond, Max: 4e6 * time.Second}},
	} {
		if got := playout(tt.in); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.in, got, tt.want)
		}
	}
}
