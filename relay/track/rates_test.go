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

// hop is a track that another node sends what is asked for: each picture a packet of
// 1,000 bytes, in an encoding whose every fourth is of the lowest temporal layer and every
// other of the two lowest.
type hop struct {
	*metered
	left   uint16
	n      int
	demand relay.LayerSet
}

func newHop(t *testing.T) *hop {
	h := &hop{metered: newMetered(t)}
	h.SetSource(h)
	return h
}

func (h *hop) Demand(want relay.LayerSet) { h.demand = want }
func (h *hop) Keyframe(uint8)             {}
func (h *hop) Resend(uint8, []uint16)     {}

// pictures sends so many, twenty a second.
func (h *hop) pictures(n int) {
	for range n {
		temporal := [4]uint8{0, 2, 1, 2}[h.n%4]
		if h.n++; h.demand.Has(1, temporal) {
			p := relay.NewPacket()
			p.Seq, p.Encoding, p.Spatial, p.Temporal, p.Arrived, p.Omitted = h.seq, 1, 1, temporal, h.now, h.left
			p.Payload = p.Buffer()[:1000]
			h.Push(p)
			h.left = 0
		} else {
			h.left++
		}
		h.seq++
		h.wait(50 * time.Millisecond)
	}
}

type ignore struct{}

func (ignore) Push(*relay.Packet) {}
func (ignore) Clock(relay.Clock)  {}
func (ignore) Close()             {}

func (h *hop) total() (rate float64, known relay.LayerSet) {
	rates, known := h.Rates()
	for _, r := range rates[1] {
		rate += r
	}
	return rate / (1000 + packetOverhead), known & relay.Spatial(1)
}

// Of a layer that came only with some of its frames, the others are not known, and
// not taken for none.
func TestFramesNotAskedForAreNotKnown(t *testing.T) {
	h := newHop(t)
	tap := h.Attach(ignore{}, relay.UpTo(1, 0))
	h.pictures(100)
	if rate, known := h.total(); math.Abs(rate-5) > .3 || known != relay.UpTo(1, 0) {
		t.Errorf("a quarter of the frames: %.1f pictures a second, known %b", rate, known)
	}
	tap.Want(relay.Spatial(1))
	h.pictures(100)
	if rate, known := h.total(); math.Abs(rate-20) > 1 || known != relay.Spatial(1) {
		t.Errorf("all frames: %.1f pictures a second, known %b", rate, known)
	}
	tap.Want(relay.UpTo(1, 1))
	h.pictures(200)
	if rate, _ := h.total(); math.Abs(rate-20) > 1 {
		t.Errorf("half the frames, after all: %.1f pictures a second", rate)
	}
}

// A layer that is asked for and given up, over and over, keeps the rate that it had while it
// was carried on end: the moments in which it begins and ends tell nothing.
func TestLayerThatComesAndGoesKeepsItsRate(t *testing.T) {
	h := newHop(t)
	tap := h.Attach(ignore{}, relay.Spatial(1))
	h.pictures(100)
	for i := range 100 {
		tap.Want(relay.UpTo(1, uint8(i%3)))
		h.pictures(7)
		tap.Want(relay.NoLayers)
		h.pictures(i % 50)
		if rate, _ := h.total(); math.Abs(rate-20) > 2 {
			t.Fatalf("%.1f pictures a second after %d times", rate, i+1)
		}
	}
}

// Where nothing is left out, what does not come is none, also of what came before.
func TestLayersThatEndedCostNothing(t *testing.T) {
	m := newMetered(t)
	send := func(n int, temporal func(i int) uint8) {
		for i := range n {
			p := relay.NewPacket()
			p.Seq, p.Encoding, p.Spatial, p.Temporal, p.Arrived = m.seq, 1, 1, temporal(i), m.now
			p.Payload = p.Buffer()[:1000]
			m.Push(p)
			m.seq++
			m.wait(50 * time.Millisecond)
		}
	}
	send(100, func(i int) uint8 { return uint8(i % 2) })
	send(400, func(int) uint8 { return 0 })
	rates, known := m.Rates()
	if known != relay.Spatial(1) || rates[1][1] > 100 || rates[1][0] < 19*(1000+packetOverhead) {
		t.Errorf("%v, known %b", rates, known)
	}
}
