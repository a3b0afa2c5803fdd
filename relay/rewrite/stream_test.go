package rewrite

import (
	"testing"

	"go.uber.org/goleak"

	"maille/relay"
	"maille/relay/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ms     = int64(1e6)
	ticks  = 90 // of the video clock in a millisecond
	period = 33 // ms from picture to picture
)

// stream makes the packets of one VP8 encoding as a browser does: temporal layers 0 2
// 1 2, fifteen-bit picture ids, numbers of its own that wrap soon.
type stream struct {
	encoding  uint8
	ssrc      uint32
	seq       uint16
	timestamp uint32 // at capture time 0
	picture   uint16
	tl0       uint8
	pictures  int
	delay     int64 // ms from capture to arrival
}

func newStream(encoding uint8) *stream {
	return &stream{
		encoding: encoding, ssrc: 1000 + uint32(encoding), seq: 65500 + uint16(encoding)*7,
		timestamp: 1<<32 - 5000 + uint32(encoding)*777777, picture: 32760 - uint16(encoding)*100, tl0: 250 + encoding, delay: 10,
	}
}

// frame returns the packets of the picture captured at the given ms.
func (s *stream) frame(at int64, packets int, keyframe bool) []*relay.Packet {
	temporal := []uint8{0, 2, 1, 2}[s.pictures%4]
	if keyframe {
		s.pictures, temporal = 0, 0
	}
	s.pictures++
	s.picture = (s.picture + 1) & 0x7fff
	if temporal == 0 {
		s.tl0++
	}
	var out []*relay.Packet
	for i := range packets {
		s.seq++
		start, header := byte(0), byte(1)
		if i == 0 {
			start = 0x10
		}
		if keyframe {
			header = 0
		}
		p := relay.NewPacket()
		p.Encoding, p.Spatial, p.SSRC, p.Seq = s.encoding, s.encoding, s.ssrc, s.seq
		p.Timestamp = s.timestamp + uint32(at*ticks)
		p.Arrived = (at + s.delay) * ms
		p.Marker = i == packets-1
		n := copy(p.Buffer(), []byte{0x80 | start, 0xe0, 0x80 | byte(s.picture>>8), byte(s.picture), s.tl0, temporal << 6, header})
		p.Payload = p.Buffer()[:n]
		codec.Inspect("video/VP8", p)
		out = append(out, p)
	}
	return out
}

// clock is a clock pair of the stream at the given ms.
func (s *stream) clock(at int64) relay.Clock {
	return relay.Clock{Spatial: s.encoding, NTP: uint64(1000<<32 + at<<32/1000), RTP: s.timestamp + uint32(at*ticks)}
}

// failer is what the viewer needs of a test, of the standard library or of rapid.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// viewer checks what a subscriber sees in the order it was numbered.
type viewer struct {
	t     failer
	begun bool
	last  Out
}

// inOrder takes a packet that must follow the last one without any gap.
func (v *viewer) inOrder(p *relay.Packet, o Out) {
	v.t.Helper()
	d, ok := codec.ParseVP8(p.Payload)
	if !ok {
		v.t.Fatal("not VP8")
	}
	if v.begun {
		if o.Seq != v.last.Seq+1 {
			v.t.Fatalf("seq %d after %d", o.Seq, v.last.Seq)
		}
		if p.FrameStart {
			if int32(o.Timestamp-v.last.Timestamp) <= 0 {
				v.t.Fatalf("timestamp %d after %d", o.Timestamp, v.last.Timestamp)
			}
			if (o.Picture-v.last.Picture)&0x7fff != 1 {
				v.t.Fatalf("picture %d after %d", o.Picture&0x7fff, v.last.Picture&0x7fff)
			}
			base := uint8(0)
			if d.Temporal == 0 {
				base = 1
			}
			if o.TL0-v.last.TL0 != base {
				v.t.Fatalf("TL0 index %d after %d, temporal layer %d", o.TL0, v.last.TL0, d.Temporal)
			}
		} else if o.Timestamp != v.last.Timestamp || o.Picture != v.last.Picture || o.TL0 != v.last.TL0 {
			v.t.Fatalf("%+v within the picture of %+v", o, v.last)
		}
	}
	v.begun, v.last = true, o
}
