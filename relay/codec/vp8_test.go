package codec

import (
	"bytes"
	"slices"
	"testing"

	"github.com/pion/rtp/codecs"
	"pgregory.net/rapid"

	"maille/relay"
)

// vp8 builds a descriptor by RFC 7741 section 4.2, and the numbers it holds.
func vp8(t *rapid.T) ([]byte, VP8Descriptor) {
	d := VP8Descriptor{
		Start:       rapid.Bool().Draw(t, "start"),
		NonRef:      rapid.Bool().Draw(t, "non-reference"),
		Partition:   rapid.Uint8Range(0, 7).Draw(t, "partition"),
		HasPicture:  rapid.Bool().Draw(t, "has picture"),
		HasTL0:      rapid.Bool().Draw(t, "has tl0"),
		HasTemporal: rapid.Bool().Draw(t, "has temporal"),
	}
	keyIndex := rapid.Bool().Draw(t, "has key index")
	b := []byte{d.Partition, 0}
	set := func(i int, bit byte, yes bool) {
		if yes {
			b[i] |= bit
		}
	}
	set(0, 0x10, d.Start)
	set(0, 0x20, d.NonRef)
	set(1, 0x80, d.HasPicture)
	set(1, 0x40, d.HasTL0)
	set(1, 0x20, d.HasTemporal)
	set(1, 0x10, keyIndex)
	if d.HasPicture {
		if d.Wide = rapid.Bool().Draw(t, "wide"); d.Wide {
			d.Picture = rapid.Uint16Range(0, 1<<15-1).Draw(t, "picture")
			b = append(b, 0x80|byte(d.Picture>>8), byte(d.Picture))
		} else {
			d.Picture = rapid.Uint16Range(0, 127).Draw(t, "picture")
			b = append(b, byte(d.Picture))
		}
	}
	if d.HasTL0 {
		d.TL0 = rapid.Byte().Draw(t, "tl0")
		b = append(b, d.TL0)
	}
	if d.HasTemporal || keyIndex {
		v := rapid.Uint8Range(0, 31).Draw(t, "key index")
		if d.HasTemporal {
			d.Temporal, d.Sync = rapid.Uint8Range(0, 3).Draw(t, "temporal"), rapid.Bool().Draw(t, "sync")
			v |= d.Temporal << 6
			if d.Sync {
				v |= 0x20
			}
		}
		b = append(b, v)
	}
	if b[1] == 0 && rapid.Bool().Draw(t, "short form") {
		b = b[:1]
	} else {
		b[0] |= 0x80
	}
	d.Size = len(b)
	return append(b, rapid.SliceOfN(rapid.Byte(), 1, 4).Draw(t, "frame")...), d
}

func TestVP8RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, want := vp8(t)
		got, ok := ParseVP8(b)
		want.pictureAt, want.tl0From = got.pictureAt, got.tl0From
		if !ok || got != want {
			t.Fatalf("read %+v (%v), want %+v", got, ok, want)
		}
		if _, ok := ParseVP8(b[:want.Size-1]); ok {
			t.Fatal("a cut descriptor was accepted")
		}
	})
}

// Rewriting changes only the two numbers, and an independent reader sees the new ones.
func TestVP8Rewrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, d := vp8(t)
		picture, tl0 := rapid.Uint16().Draw(t, "new picture"), rapid.Byte().Draw(t, "new tl0")
		out := slices.Clone(b)
		d, _ = ParseVP8(b)
		d.Rewrite(out, picture, tl0)
		if !bytes.Equal(out[d.Size:], b[d.Size:]) {
			t.Fatal("the frame changed")
		}
		var got codecs.VP8Packet
		if _, err := got.Unmarshal(out); err != nil {
			t.Fatal(err)
		}
		mask := uint16(0x7f)
		if d.Wide {
			mask = 0x7fff
		}
		if d.HasPicture && got.PictureID != picture&mask || d.HasTL0 && got.TL0PICIDX != tl0 ||
			d.HasTemporal && got.TID != d.Temporal {
			t.Fatalf("wrote %x, pion reads %+v", out, got)
		}
		again, _ := ParseVP8(out)
		d.Rewrite(out, d.Picture, d.TL0)
		if again.Size != d.Size || !bytes.Equal(out, b) {
			t.Fatalf("undone to %x, want %x", out, b)
		}
	})
}

func TestVP8FrameSize(t *testing.T) {
	frame := []byte{0x50, 0x2d, 0x01, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x42}
	if w, h, ok := VP8FrameSize(frame); !ok || w != 1280 || h != 720 {
		t.Fatalf("%dx%d, %v", w, h, ok)
	}
	if _, _, ok := VP8FrameSize(frame[:9]); ok {
		t.Fatal("nine bytes were enough")
	}
	frame[0] |= 1
	if _, _, ok := VP8FrameSize(frame); ok {
		t.Fatal("a delta frame has a size")
	}
}

// What Chromium 156 sends of VP8 in three temporal layers when it may tell them by
// dependency descriptor: payload descriptors of one byte, and the layer in the other only.
func TestVP8LayersByDependencyDescriptor(t *testing.T) {
	const structure = "\xc0\x00\x39\x80\x02\x04\x4e\xaa\xaf\x28\x60\x41\x4d\x34\x53\x8a\x09\x40\x40\x9f\xc0\x59\xc0"
	i := NewInspector("video/VP8")
	var got []uint8
	var up []bool // a decoder may move up here: it says so of the keyframe and of every other lowest picture
	for n, at := range []struct{ payload, descriptor string }{
		{"\x10\x90\x35\x00\x9d\x01\x2a\x80", structure},
		{"\x30\x51\x15", "\xc5\x00\x3b\x12\x20"},
		{"\x10\x71\x06", "\xc3\x00\x3d\x12\x60"},
		{"\x30\x91\x07", "\xc5\x00\x3f\x12\x20"},
		{"\x10\x11\x16", "\xc2\x00\x41\x12\xe0"},
		{"\x30\x31\x0a", "\xc5\x00\x43\x12\xa8\x80"},
		{"\x10\xb1\x09", "\xc4\x00\x45\x12\xe9\x80"},
		{"\x30\x11\x0b", "\xc5\x00\x47\x12\x20"},
		{"\x10\x71\x0a", "\xc0\x00\x49\x12\xe0"},
	} {
		p := relay.NewPacket()
		p.Encoding, p.Spatial = 1, 1
		p.Payload, p.Descriptor = []byte(at.payload), []byte(at.descriptor)
		i.Inspect(p)
		if p.Keyframe != (n == 0) || !p.FrameStart || p.Spatial != 1 {
			t.Errorf("packet %d: %+v", n, marks{p.Keyframe, p.FrameStart, p.SwitchPoint, p.Spatial, p.Temporal})
		}
		got, up = append(got, p.Temporal), append(up, p.SwitchPoint)
		p.Release()
	}
	if want := []bool{true, true, true, false, true, false, false, false, true}; !slices.Equal(up, want) {
		t.Errorf("up at %v, want %v", up, want)
	}
	if want := []uint8{0, 2, 1, 2, 0, 2, 1, 2, 0}; !slices.Equal(got, want) {
		t.Errorf("temporal layers %v, want %v", got, want)
	}
}
