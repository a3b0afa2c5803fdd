package codec

import (
	"testing"

	"github.com/pion/rtp/codecs"

	"maille/relay"
)

var mimes = []string{"audio/opus", "audio/red", "video/VP8", "video/VP9", "video/H264", "video/AV1", "video/H265"}

// Whatever the bytes, nothing panics and layers stay within bounds, packet after
// packet of one stream.
func FuzzInspect(f *testing.F) {
	f.Add(uint8(2), []byte{0x90, 0xe0, 0x81, 0x02, 5, 0xa0, 1}, []byte{})
	f.Add(uint8(3), []byte{0xea, 1, 0x51, 7, 0x18, 0, 1, 0, 1, 1, 4, 3}, []byte{})
	f.Add(uint8(4), []byte{0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce}, []byte{})
	f.Add(uint8(6), []byte{0x60, 1, 0, 4, 0x42, 1, 1, 1, 0, 3, 0x26, 1, 0xaf}, []byte{})
	f.Add(uint8(6), []byte{0x62, 1, 0x93, 0x80}, []byte{})
	var w bitWriter
	w.put(24, 0xc00001)
	w.put(5, 0x10)
	w.layered(0, 3, 3, 3, true)
	f.Add(uint8(5), []byte{0x18, 0x0a}, w.b)
	f.Fuzz(func(t *testing.T, which uint8, payload, descriptor []byte) {
		i := NewInspector(mimes[int(which)%len(mimes)])
		for range 2 {
			p := relay.NewPacket()
			p.Payload, p.Descriptor = payload, descriptor
			i.Inspect(p)
			Of(mimes[int(which)%len(mimes)]).FrameEnd(p)
			if p.Spatial >= relay.MaxSpatial || p.Temporal >= relay.MaxTemporal {
				t.Fatalf("layer %d/%d", p.Spatial, p.Temporal)
			}
			p.Release()
		}
	})
}

func FuzzVP8(f *testing.F) {
	f.Add([]byte{0x90, 0xe0, 0x81, 0x02, 5, 0xa0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, ok := ParseVP8(b)
		if !ok {
			return
		}
		var want codecs.VP8Packet
		if _, err := want.Unmarshal(b); err == nil &&
			(want.PictureID != d.Picture || want.TL0PICIDX != d.TL0 || want.TID != d.Temporal) {
			t.Fatalf("%x: %+v, pion %+v", b, d, want)
		}
		d.Rewrite(b, 0xffff, 0xff)
	})
}

func FuzzVP9(f *testing.F) {
	f.Add([]byte{0xea, 1, 0x51, 7, 0x18, 0, 1, 0, 1, 1, 4, 3})
	f.Add([]byte{0xf8, 0x81, 2, 0x51, 3, 5, 2, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, ok := ParseVP9(b)
		if !ok {
			return
		}
		var want codecs.VP9Packet
		if rest, err := want.Unmarshal(b); err == nil &&
			(want.PictureID != d.Picture || want.SID != d.Spatial || want.TID != d.Temporal ||
				want.TL0PICIDX != d.TL0 || len(rest) != len(b)-d.Size) {
			t.Fatalf("%x: %+v, pion %+v", b, d, want)
		}
		d.Rewrite(b, 0xffff, 0xff)
	})
}

func FuzzDescriptor(f *testing.F) {
	var w bitWriter
	w.put(24, 0xc00001)
	w.put(5, 0x10)
	w.layered(0, 3, 3, 3, true)
	f.Add(w.b, []byte{0x85, 0, 2, 0x28, 0xff})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var s, next Structure
		if _, err := ParseDescriptor(first, nil, &s); err != nil {
			return
		}
		if d, err := ParseDescriptor(second, &s, &next); err == nil &&
			(d.Spatial >= maxSpatialIDs || d.Temporal >= maxTemporalIDs) {
			t.Fatalf("%+v", d)
		}
	})
}
