package link

import (
	"math"
	"testing"

	"maille/relay"
	"maille/relay/track"
)

func TestRoomInALaneWakesAStalledBundler(t *testing.T) {
	var q queue
	q.init()
	woken := func() bool {
		select {
		case <-q.ready:
			return true
		default:
			return false
		}
	}
	if q.roomier(); woken() {
		t.Error("woken although nothing waits for a lane")
	}
	q.stalled.Store(true)
	if q.roomier(); !woken() {
		t.Error("not woken")
	}
	if q.roomier(); woken() {
		t.Error("woken twice for one wait")
	}
}

func TestAudioWaitsForAStuckLaneButNotForLong(t *testing.T) {
	s := &Session{}
	tr := track.New("TR_a", relay.Audio, "")
	defer tr.Close()
	b := &bundler{s: s}
	e := entry{p: relay.NewPacket(), out: &outStream{s: s, track: tr}, at: 1}
	if wait, more := b.hold(e, e.at+maxAudioHeld); more || wait != stuckWait || b.nextAudio().p != e.p {
		t.Fatal("audio is not kept")
	}
	if _, more := b.hold(e, e.at+maxAudioHeld+1); !more || b.audio.p != nil || s.counters.drops[relay.DropSend].Load() != 1 {
		t.Error("audio that is too late is kept")
	}
}

func TestRepairsGoTwiceOnlyWhereThatHelps(t *testing.T) {
	s := &Session{}
	for _, c := range []struct {
		loss, cap float64
		want      bool
	}{{.001, 0, false}, {.01, 0, true}, {.05, 0, true}, {.05, 1e6, false}, {.2, 0, false}} {
		s.sent.lost.Store(math.Float64bits(c.loss))
		s.sent.cap.Store(math.Float64bits(c.cap))
		if got := s.repairsTwice(relay.Video); got != c.want {
			t.Errorf("loss %v cap %v: %v", c.loss, c.cap, got)
		}
	}
}
