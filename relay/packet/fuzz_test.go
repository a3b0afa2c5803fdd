package packet

import (
	"testing"

	"github.com/pion/rtp"

	"maille/relay"
)

// What we accept, an independent parser accepts and reads the same; we never read
// outside the datagram.
func FuzzParse(f *testing.F) {
	f.Add(fixed(0, 0xaa))
	f.Add(fixed(0x20, 0xaa, 0, 2))
	f.Add(fixed(0x10, 0xbe, 0xde, 0, 1, 0x10, 0x80|30, 0, 0))
	f.Add(fixed(0x10, 0x10, 0x0f, 0, 2, 1, 1, 5, 2, 3, 9, 8, 7))
	f.Add(fixed(0x12, 0xbe, 0xde, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > relay.BufferSize {
			t.Skip()
		}
		p, err := parse(t, b, testIDs)
		defer p.Release()
		if err != nil {
			return
		}
		if len(p.Payload) > len(b) || cap(p.Payload) > len(b) {
			t.Fatalf("payload of %d bytes, capacity %d, from %d", len(p.Payload), cap(p.Payload), len(b))
		}
		var want rtp.Packet
		if err := want.Unmarshal(b); err != nil {
			t.Fatalf("accepted what pion refuses: %v", err)
		}
		if want.SequenceNumber != p.Seq || want.Timestamp != p.Timestamp || want.SSRC != p.SSRC ||
			want.Marker != p.Marker || string(want.Payload) != string(p.Payload) {
			t.Fatalf("read %+v, pion %+v", p, want)
		}
		if want.ExtensionProfile&0xfff0 == 0x1000 && want.ExtensionProfile != 0x1000 {
			return // pion does not read the two-byte form with appbits
		}
		if level := want.GetExtension(testIDs.AudioLevel); p.HasLevel && (len(level) < 1 || level[0]&0x7f != p.Level) {
			t.Fatalf("level %d, pion %x", p.Level, level)
		}
	})
}
