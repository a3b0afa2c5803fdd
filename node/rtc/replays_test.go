package rtc

import "testing"

func TestReplaysAreBounded(t *testing.T) {
	var r replays
	now := int64(1e9)
	if !r.take(2*replayBurst, now) {
		t.Error("the first picture is refused")
	}
	if r.take(1000, now) {
		t.Error("more than the burst at once")
	}
	if now += 3e9; !r.take(replayBurst, now) {
		t.Error("refused after a pause")
	}
}
