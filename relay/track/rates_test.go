package track

import (
	"math"
	"testing"

	"maille/relay"
)

func TestRatesAreMeasuredAndKept(t *testing.T) {
	now := int64(1e9)
	tr := New("TR_x", relay.Video, "video/VP8", WithClock(func() int64 { return now }))
	defer tr.Close()
	tr.Rates()
	for i := range 100 {
		p := relay.NewPacket()
		p.Seq, p.Encoding, p.Spatial, p.Temporal, p.Arrived = uint16(i), 1, 1, 2, now
		p.Payload = p.Buffer()[:1000]
		tr.Push(p)
		now += 10e6
	}
	if got, want := tr.Rates()[1][2], float64(1000+packetOverhead)*100; math.Abs(got-want) > want/50 {
		t.Errorf("%.0f bytes per second, want %.0f", got, want)
	}
	before := tr.Rates()[1][2]
	now += 5e9
	if got := tr.Rates(); got[1][2] != before || got[0][0] != 0 {
		t.Errorf("after a pause %v", got)
	}
}
