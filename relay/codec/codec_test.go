package codec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"maille/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// marks is what Inspect says.
type marks struct {
	Key, Start, Switch bool
	Spatial, Temporal  uint8
}

func inspect(mime string, encoding uint8, payload, descriptor []byte) marks {
	p := relay.NewPacket()
	defer p.Release()
	p.Encoding, p.Spatial = encoding, encoding
	p.Payload, p.Descriptor = payload, descriptor
	Inspect(mime, p)
	return marks{p.Keyframe, p.FrameStart, p.SwitchPoint, p.Spatial, p.Temporal}
}

func TestInspect(t *testing.T) {
	for _, tt := range []struct {
		name, mime string
		encoding   uint8
		payload    []byte
		want       marks
	}{
		{name: "opus", mime: "audio/opus", payload: []byte{0xf8}, want: marks{Start: true}},
		{name: "opus padding", mime: "audio/opus"},
		{name: "unknown codec", mime: "video/x", payload: []byte{0x10, 0}},

		{name: "vp8 keyframe", mime: "video/VP8", payload: []byte{0x10, 0x00}, want: marks{Key: true, Start: true, Switch: true}},
		{name: "vp8 delta", mime: "video/vp8", payload: []byte{0x10, 0x01}, want: marks{Start: true, Switch: true}},
		{name: "vp8 keyframe's second packet", mime: "video/VP8", payload: []byte{0x00, 0x00}, want: marks{Switch: true}},
		{name: "vp8 second partition", mime: "video/VP8", payload: []byte{0x11, 0x00}, want: marks{Switch: true}},
		{
			name: "vp8 temporal 2, sync", mime: "video/VP8", payload: []byte{0x90, 0xe0, 0x81, 0x02, 5, 0x80 | 0x20, 1},
			want: marks{Start: true, Switch: true, Temporal: 2},
		},
		{name: "vp8 temporal 1, no sync", mime: "video/VP8", payload: []byte{0x90, 0x20, 0x40, 1}, want: marks{Start: true, Temporal: 1}},
		{
			name: "vp8 keeps its encoding", mime: "video/VP8", encoding: 2, payload: []byte{0x10, 1},
			want: marks{Start: true, Switch: true, Spatial: 2},
		},
		{name: "vp8 descriptor only", mime: "video/VP8", payload: []byte{0x10}},
		{name: "vp8 cut", mime: "video/VP8", payload: []byte{0x90, 0xe0, 0x81}},

		{name: "h264 parameter set", mime: "video/H264", payload: []byte{0x67, 0x42}, want: marks{Key: true, Start: true, Switch: true}},
		{name: "h264 picture parameter set", mime: "video/H264", payload: []byte{0x68, 0x42}},
		{name: "h264 refresh", mime: "video/H264", payload: []byte{0x65, 0x88}, want: marks{Key: true, Start: true, Switch: true}},
		{name: "h264 refresh, second slice", mime: "video/H264", payload: []byte{0x65, 0x40}, want: marks{Key: true, Switch: true}},
		{name: "h264 slice", mime: "video/H264", payload: []byte{0x41, 0x9a}, want: marks{Start: true, Switch: true}},
		{
			name: "h264 aggregate", mime: "video/H264", payload: []byte{0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce},
			want: marks{Key: true, Start: true, Switch: true},
		},
		{name: "h264 aggregate beyond its end", mime: "video/H264", payload: []byte{0x78, 0, 9, 0x67, 0x42}},
		{name: "h264 aggregate of nothing", mime: "video/H264", payload: []byte{0x78, 0, 0, 0, 0}},
		{name: "h264 fragment of a refresh", mime: "video/H264", payload: []byte{0x7c, 0x85, 0x88}, want: marks{Key: true, Start: true, Switch: true}},
		{name: "h264 next fragment", mime: "video/H264", payload: []byte{0x7c, 0x05, 0x88}, want: marks{Key: true}},
		{name: "h264 fragment of a slice", mime: "video/H264", payload: []byte{0x5c, 0x81, 0x9a}, want: marks{Start: true, Switch: true}},

		{name: "vp9 keyframe", mime: "video/VP9", payload: []byte{0x8c, 1, 0xaa}, want: marks{Key: true, Start: true, Switch: true}},
		{name: "vp9 delta", mime: "video/VP9", payload: []byte{0xcc, 1, 0xaa}, want: marks{Start: true, Switch: true}},
		{
			name: "vp9 spatial 1, temporal 2, up", mime: "video/VP9", payload: []byte{0xe8, 1, 2<<5 | 0x10 | 1<<1, 7, 0xaa},
			want: marks{Switch: true, Spatial: 1, Temporal: 2},
		},
		{
			name: "vp9 layers beyond ours", mime: "video/VP9", payload: []byte{0xe8, 1, 7<<5 | 7<<1, 7, 0xaa},
			want: marks{Spatial: 2, Temporal: 3},
		},
		{
			name: "vp9 simulcast keeps its encoding", mime: "video/VP9", encoding: 1, payload: []byte{0xcc, 1, 0xaa},
			want: marks{Start: true, Switch: true, Spatial: 1},
		},
		{name: "vp9 cut", mime: "video/VP9", payload: []byte{0xe8, 1}},

		{name: "h265 parameter set", mime: "video/H265", payload: []byte{0x40, 1, 0x0c}, want: marks{Key: true, Start: true, Switch: true}},
		{name: "h265 picture parameter set", mime: "video/H265", payload: []byte{0x44, 1, 0xc1}},
		{name: "h265 random access", mime: "video/H265", payload: []byte{0x26, 1, 0xaf}, want: marks{Key: true, Start: true, Switch: true}},
		{name: "h265 random access, second slice", mime: "video/H265", payload: []byte{0x26, 1, 0x2f}, want: marks{Key: true, Switch: true}},
		{name: "h265 slice", mime: "video/H265", payload: []byte{0x02, 1, 0xd0}, want: marks{Start: true, Switch: true}},
		{name: "h265 temporal 1", mime: "video/H265", payload: []byte{0x02, 2, 0xd0}, want: marks{Start: true, Temporal: 1}},
		{name: "h265 temporal 1, up", mime: "video/H265", payload: []byte{0x04, 2, 0xd0}, want: marks{Start: true, Switch: true, Temporal: 1}},
		{
			name: "h265 aggregate", mime: "video/H265", payload: []byte{0x60, 1, 0, 3, 0x42, 1, 1, 0, 3, 0x44, 1, 1},
			want: marks{Key: true, Start: true, Switch: true},
		},
		{name: "h265 aggregate beyond its end", mime: "video/H265", payload: []byte{0x60, 1, 0, 9, 0x42, 1, 1}},
		{name: "h265 fragment of a random access", mime: "video/H265", payload: []byte{0x62, 1, 0x93, 0x80}, want: marks{Key: true, Start: true, Switch: true}},
		{name: "h265 next fragment", mime: "video/H265", payload: []byte{0x62, 1, 0x13, 0x80}, want: marks{Key: true, Switch: true}},
		{name: "h265 cut", mime: "video/H265", payload: []byte{0x62, 1}},

		{name: "av1 new sequence", mime: "video/AV1", payload: []byte{0x18, 0x0a}, want: marks{Key: true, Start: true, Switch: true}},
		{name: "av1 other", mime: "video/AV1", payload: []byte{0x10, 0x32}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, inspect(tt.mime, tt.encoding, tt.payload, nil)); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestFrameEnd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		codec  Codec
		p      *relay.Packet
		marker bool
		want   bool
	}{
		{"vp8 by its marker", VP8, &relay.Packet{Marker: true}, true, true},
		{"vp9 by its descriptor", VP9, &relay.Packet{Payload: []byte{0x8c, 1, 0}}, false, true},
		{"vp9 not yet", VP9, &relay.Packet{Payload: []byte{0x88, 1, 0}}, false, false},
		{"av1 by its extension", AV1, &relay.Packet{Descriptor: []byte{0x40, 0, 0}}, false, true},
		{"av1 not yet", AV1, &relay.Packet{Descriptor: []byte{0x80, 0, 0}}, false, false},
	} {
		if got := tt.codec.FrameEnd(tt.p); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestOf(t *testing.T) {
	for mime, want := range map[string]Codec{
		"video/VP8": VP8, "VP9": VP9, "audio/OPUS": Opus, "video/h264": H264, "video/AV1": AV1,
		"audio/red": RED, "video/H265": H265, "video/": Unknown, "": Unknown, "video/rtx": Unknown,
	} {
		if got := Of(mime); got != want {
			t.Errorf("Of(%q) = %v, want %v", mime, got, want)
		}
	}
}

func TestInspectAllocatesNothing(t *testing.T) {
	p := relay.NewPacket()
	p.Payload = []byte{0x90, 0xe0, 0x81, 0x02, 5, 0xa0, 1}
	for _, mime := range []string{"video/VP8", "video/VP9", "video/H264", "video/H265", "audio/opus"} {
		i := NewInspector(mime)
		if got := testing.AllocsPerRun(100, func() { i.Inspect(p) }); got != 0 {
			t.Errorf("%s: %v allocations", mime, got)
		}
	}
}
