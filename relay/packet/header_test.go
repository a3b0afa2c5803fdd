package packet

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pion/rtp"
	"pgregory.net/rapid"

	"maille/relay"
)

// distinct draws ids as SDP would: different, or 0 for what is not negotiated.
func distinct(t *rapid.T, highest int) ExtMap {
	ids := rapid.SliceOfNDistinct(rapid.IntRange(1, highest), 7, 7, rapid.ID).Draw(t, "ids")
	used := rapid.SliceOfN(rapid.Bool(), 7, 7).Draw(t, "used")
	at := func(i int) uint8 {
		if !used[i] {
			return 0
		}
		return uint8(ids[i])
	}
	return ExtMap{at(0), at(1), at(2), at(3), at(4), at(5), at(6)}
}

func draw(t *rapid.T) (Header, ExtMap) {
	ids := distinct(t, rapid.SampledFrom([]int{14, 255}).Draw(t, "highest"))
	h := Header{
		PayloadType:  rapid.Uint8Range(0, 127).Draw(t, "pt"),
		Marker:       rapid.Bool().Draw(t, "marker"),
		Seq:          rapid.Uint16().Draw(t, "seq"),
		Timestamp:    rapid.Uint32().Draw(t, "timestamp"),
		SSRC:         rapid.Uint32().Draw(t, "ssrc"),
		Descriptor:   rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "descriptor"),
		Mid:          rapid.StringMatching("[a-z0-9]{0,20}").Draw(t, "mid"),
		TransportCC:  rapid.Uint16().Draw(t, "twcc"),
		AbsSendTime:  rapid.Uint32Range(0, 1<<24-1).Draw(t, "send time"),
		PlayoutDelay: rapid.Uint32Range(0, 1<<24-1).Draw(t, "playout"),
	}
	if rapid.Bool().Draw(t, "has level") {
		h.HasLevel, h.Level, h.Voice = true, rapid.Uint8Range(0, 127).Draw(t, "level"), rapid.Bool().Draw(t, "voice")
	}
	h.CaptureTime = rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "capture")
	if len(h.CaptureTime) > 0 {
		h.CaptureTime = make([]byte, 8*len(h.CaptureTime))
	}
	return h, ids
}

func TestHeaderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, ids := draw(t)
		payload := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "payload")
		b := append(AppendHeader(nil, &h, &ids), payload...)
		p := relay.NewPacket()
		if err := Parse(p, copy(p.Buffer(), b), ids); err != nil {
			t.Fatal(err)
		}
		want := &relay.Packet{
			Marker: h.Marker, PayloadType: h.PayloadType, Seq: h.Seq, Timestamp: h.Timestamp, SSRC: h.SSRC,
			Payload: payload,
		}
		if ids.AudioLevel != 0 {
			want.Level, want.Voice, want.HasLevel = h.Level, h.Voice, h.HasLevel
		}
		if ids.Descriptor != 0 {
			want.Descriptor = h.Descriptor
		}
		if ids.CaptureTime != 0 {
			want.CaptureTime = h.CaptureTime
		}
		if diff := cmp.Diff(want, p, cmpopts.IgnoreUnexported(relay.Packet{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// An independent reader finds what we wrote.
func TestHeaderAgainstPion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, ids := draw(t)
		var got rtp.Packet
		if err := got.Unmarshal(append(AppendHeader(nil, &h, &ids), 0xaa)); err != nil {
			t.Fatal(err)
		}
		if got.SequenceNumber != h.Seq || got.Timestamp != h.Timestamp || got.SSRC != h.SSRC ||
			got.PayloadType != h.PayloadType || got.Marker != h.Marker || len(got.Payload) != 1 {
			t.Fatalf("read %+v", got.Header)
		}
		find := func(id uint8) []byte {
			if id == 0 {
				return nil
			}
			return got.GetExtension(id)
		}
		if ids.Mid != 0 && string(find(ids.Mid)) != h.Mid {
			t.Fatalf("mid %q", find(ids.Mid))
		}
		if b := find(ids.TransportCC); ids.TransportCC != 0 && (len(b) != 2 || uint16(b[0])<<8|uint16(b[1]) != h.TransportCC) {
			t.Fatalf("transport-cc %x", b)
		}
		for id, want := range map[uint8]uint32{ids.AbsSendTime: h.AbsSendTime, ids.PlayoutDelay: h.PlayoutDelay} {
			if b := find(id); id != 0 && (len(b) != 3 || uint32(b[0])<<16|uint32(b[1])<<8|uint32(b[2]) != want) {
				t.Fatalf("id %d: %x, want %x", id, b, want)
			}
		}
	})
}

func TestAppendHeaderAllocatesNothing(t *testing.T) {
	h := Header{HasLevel: true, Level: 3, Mid: "0", Descriptor: make([]byte, 30)}
	ids := ExtMap{AudioLevel: 1, Descriptor: 2, Mid: 4, TransportCC: 5, AbsSendTime: 6}
	buf := make([]byte, 0, relay.BufferSize)
	if got := testing.AllocsPerRun(100, func() { AppendHeader(buf, &h, &ids) }); got != 0 {
		t.Fatalf("%v allocations", got)
	}
}

func TestMaxHeader(t *testing.T) {
	long := make([]byte, 255)
	h := Header{HasLevel: true, Descriptor: long, CaptureTime: long, Mid: string(long)}
	ids := ExtMap{1, 2, 3, 4, 5, 6, 7}
	if n := len(AppendHeader(nil, &h, &ids)); n > MaxHeader {
		t.Fatalf("%d bytes, MaxHeader says %d", n, MaxHeader)
	}
}
