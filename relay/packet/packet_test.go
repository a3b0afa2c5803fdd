package packet

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"maille/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testIDs = ExtMap{AudioLevel: 1, Descriptor: 2, CaptureTime: 3}

// fixed is a header of version 2 with the given first byte flags, sequence number
// 0x0102, timestamp 0x03040506 and SSRC 0x0708090a.
func fixed(flags byte, rest ...byte) []byte {
	return append([]byte{0x80 | flags, 0xe0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, rest...)
}

func parse(t testing.TB, b []byte, ids ExtMap) (*relay.Packet, error) {
	t.Helper()
	p := relay.NewPacket()
	n := copy(p.Buffer(), b)
	return p, Parse(p, n, ids)
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		want *relay.Packet
		err  error
	}{
		{name: "bare", in: fixed(0, 0xaa), want: &relay.Packet{Payload: []byte{0xaa}}},
		{name: "no payload", in: fixed(0), want: &relay.Packet{}},
		{name: "one contributing source", in: fixed(1, 0, 0, 0, 1, 0xaa), want: &relay.Packet{Payload: []byte{0xaa}}},
		{name: "sources beyond the data", in: fixed(2, 0, 0, 0, 1), err: ErrShort},
		{name: "short", in: fixed(0)[:11], err: ErrShort},
		{name: "empty", in: nil, err: ErrShort},
		{name: "version 1", in: append([]byte{0x40}, fixed(0)[1:]...), err: ErrVersion},

		{name: "padding", in: fixed(0x20, 0xaa, 0, 2), want: &relay.Packet{Payload: []byte{0xaa}}},
		{name: "padding only", in: fixed(0x20, 0, 2), want: &relay.Packet{}},
		{name: "padding of nothing", in: fixed(0x20), err: ErrPadding},
		{name: "padding of zero", in: fixed(0x20, 0xaa, 0), err: ErrPadding},
		{name: "padding beyond the payload", in: fixed(0x20, 0xaa, 3), err: ErrPadding},
		{name: "padding into the extension", in: fixed(0x30, 0xbe, 0xde, 0, 1, 0, 0, 0, 0, 5), err: ErrPadding},

		{
			name: "audio level, voice", in: fixed(0x10, 0xbe, 0xde, 0, 1, 0x10, 0x80|30, 0, 0),
			want: &relay.Packet{HasLevel: true, Voice: true, Level: 30},
		},
		{
			name: "all three after padding bytes",
			in:   fixed(0x10, 0xbe, 0xde, 0, 5, 0, 0x10, 127, 0x22, 9, 8, 7, 0, 0x37, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0),
			want: &relay.Packet{
				HasLevel: true, Level: 127, Descriptor: []byte{9, 8, 7},
				CaptureTime: []byte{1, 2, 3, 4, 5, 6, 7, 8},
			},
		},
		{name: "capture time of another length", in: fixed(0x10, 0xbe, 0xde, 0, 1, 0x31, 1, 2, 0), want: &relay.Packet{}},
		{
			name: "two-byte form", in: fixed(0x10, 0x10, 0x0f, 0, 2, 1, 1, 5, 2, 3, 9, 8, 7),
			want: &relay.Packet{HasLevel: true, Level: 5, Descriptor: []byte{9, 8, 7}},
		},
		{name: "two-byte form, empty level", in: fixed(0x10, 0x10, 0, 0, 1, 1, 0, 0, 0), err: ErrExtension},
		{name: "two-byte form, cut in the head", in: fixed(0x10, 0x10, 0, 0, 1, 0, 0, 0, 2), err: ErrExtension},
		{name: "unknown elements", in: fixed(0x10, 0xbe, 0xde, 0, 1, 0x40, 1, 0x50, 1), want: &relay.Packet{}},
		{name: "another profile", in: fixed(0x10, 0x12, 0x34, 0, 1, 0x10, 1, 2, 3), want: &relay.Packet{}},
		{name: "id 15 ends it", in: fixed(0x10, 0xbe, 0xde, 0, 1, 0xf0, 0, 0x10, 9), want: &relay.Packet{}},
		{name: "id 0 with a length", in: fixed(0x10, 0xbe, 0xde, 0, 1, 0x01, 0, 0, 0), err: ErrExtension},
		{
			name: "element beyond the block", in: fixed(0x10, 0xbe, 0xde, 0, 1, 0x1f, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
			err: ErrExtension,
		},
		{name: "block beyond the packet", in: fixed(0x10, 0xbe, 0xde, 0xff, 0xff, 0, 0, 0, 0), err: ErrExtension},
		{name: "block header cut", in: fixed(0x10, 0xbe, 0xde, 0), err: ErrShort},
		{name: "level twice", in: fixed(0x10, 0xbe, 0xde, 0, 1, 0x10, 1, 0x10, 2), err: ErrTwice},
		{name: "descriptor twice", in: fixed(0x10, 0xbe, 0xde, 0, 1, 0x20, 1, 0x20, 2), err: ErrTwice},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parse(t, tt.in, testIDs)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			want := tt.want
			want.Marker, want.PayloadType, want.Seq = true, 0x60, 0x0102
			want.Timestamp, want.SSRC = 0x03040506, 0x0708090a
			if diff := cmp.Diff(want, p, cmpopts.IgnoreUnexported(relay.Packet{}), cmpopts.EquateEmpty()); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestNothingNegotiatedReadsNothing(t *testing.T) {
	p, err := parse(t, fixed(0x10, 0xbe, 0xde, 0, 1, 0x10, 1, 0x20, 2), ExtMap{})
	if err != nil || p.HasLevel || p.Descriptor != nil {
		t.Fatalf("%v: level %v, descriptor %v", err, p.HasLevel, p.Descriptor)
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	p, err := parse(t, fixed(0x10, 0xbe, 0xde, 0, 1, 0x10, 1, 0, 0, 1, 2, 3), testIDs)
	if err != nil {
		t.Fatal(err)
	}
	n := len(p.Buffer())
	if got := testing.AllocsPerRun(100, func() { err = Parse(p, n, testIDs) }); got != 0 {
		t.Fatalf("%v allocations", got)
	}
}
