package track

import (
	"math"
	"testing"
	"time"

	"maille/relay"
)

// metered is a track whose layer is fed with packets on a scripted clock, and measured
// as often as it may be.
type metered struct {
	*Track
	now int64
	seq uint16
}

func newMetered(t *testing.T) *metered {
	m := &metered{now: 1e9}
	m.Track = New("TR_x", relay.Video, "video/VP8", WithClock(func() int64 { return m.now }))
	t.Cleanup(m.Close)
	return m
}

// frame sends a picture of so many packets of 1,000 bytes.
func (m *metered) frame(packets int) {
	for range packets {
		p := relay.NewPacket()
		p.Seq, p.Encoding, p.Spatial, p.Temporal, p.Arrived = m.seq, 1, 1, 2, m.now
		p.Payload = p.Buffer()[:1000]
		m.Push(p)
		m.seq++
	}
}

// wait lets time pass.
func (m *metered) wait(d time.Duration) {
	for end := m.now + int64(d); m.now < end; m.now += 10e6 {
		_, _ = m.Rates()
	}
}

func (m *metered) check(t *testing.T, what string, packetsPerSecond, tolerance float64) {
	t.Helper()
	rates, _ := m.Rates()
	if got, want := rates[1][2], (1000+packetOverhead)*packetsPerSecond; math.Abs(got-want) > want*tolerance {
		t.Errorf("%s: %.0f bytes per second, want %.0f", what, got, want)
	}
}

func TestRatesAreMeasuredAndKept(t *testing.T) {
	m := newMetered(t)
	for range 300 {
		m.frame(1)
		m.wait(10 * time.Millisecond)
	}
	m.check(t, "steady", 100, .02)
	before, _ := m.Rates()
	m.wait(5 * time.Second)
	if got, _ := m.Rates(); got[1][2] != before[1][2] || got[0][0] != 0 {
		t.Errorf("after a pause %v", got)
	}
}

// The keyframe that a layer begins with is not what it costs, the first time and each
// time it is asked for again.
func TestFirstKeyframeIsNoRate(t *testing.T) {
	m := newMetered(t)
	for range 2 {
		m.frame(30)
		for range 30 {
			m.wait(100 * time.Millisecond)
			m.frame(2)
		}
		m.check(t, "after a keyframe", 20, .1)
		m.wait(5 * time.Second)
	}
}

// A picture a second is no burst of one.
func TestRareFrames(t *testing.T) {
	m := newMetered(t)
	for range 20 {
		m.frame(10)
		m.wait(time.Second)
	}
	m.check(t, "slides", 10, .1)
}

// While something is left out on the way, a layer that does not come may cost anything.
func TestLayersLeftOutAreOpen(t *testing.T) {
	m := newMetered(t)
	for i := range 60 {
		p := relay.NewPacket()
		p.Seq, p.Encoding, p.Spatial, p.Arrived = m.seq, 1, 1, m.now
		if i < 30 {
			p.Omitted = 1
		}
		p.Payload = p.Buffer()[:1000]
		m.Push(p)
		m.seq += 1 + p.Omitted
		m.wait(100 * time.Millisecond)
		_, open := m.Rates()
		if left := i < 30; open.Has(1, 2) != left && i > 5 && (left || i > 55) {
			t.Fatalf("after %d pictures: what is left out is open: %v", i, !left)
		}
		if open.HasSpatial(0) {
			t.Fatalf("open after %d pictures: %b", i, open)
		}
	}
}
