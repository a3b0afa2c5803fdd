package rewrite

import (
	"testing"

	"maille/relay"
	"maille/relay/codec"
)

// Whatever comes in whatever order, nothing panics and no number is given twice.
func FuzzRewriter(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 0, 0, 3, 0, 1, 0, 2, 0, 2, 1, 9, 0, 0, 1, 9, 0})
	f.Add([]byte{0, 0, 1, 0, 4, 255, 255, 200, 0, 128, 0, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := New(Config{Codec: codec.VP8, Seq: 1, History: 64})
		given, total := map[uint16]bool{}, 0
		give := func(o Out, ok bool) {
			if !ok {
				return
			}
			if given[o.Seq] {
				t.Fatalf("%d was given twice", o.Seq)
			}
			given[o.Seq] = true
			if total++; total > 1<<14 {
				clear(given)
			}
		}
		for ; len(b) >= 4; b = b[4:] {
			p := relay.NewPacket()
			p.Encoding = b[0] >> 4 & 3
			p.Seq = uint16(b[1])<<8 | uint16(b[2])
			p.Timestamp, p.Arrived = uint32(b[3])<<24, int64(b[2])*1e8
			p.SSRC = uint32(b[0] >> 7)
			p.Omitted = uint16(b[3])
			p.Payload = p.Buffer()[:copy(p.Buffer(), []byte{0x90, 0xe0, 0x80 | b[2], b[3], b[1], b[3], 0})]
			switch b[0] & 7 {
			case 0, 1, 2:
				give(r.Next(p))
			case 3:
				give(r.Skip(p))
			case 4:
				r.Switch(p.Encoding)
			case 5:
				if encoding, origin, ok := r.Origin(p.Seq); ok {
					p.Encoding, p.Seq = encoding, origin
				}
				r.Again(r.sent.last-uint16(b[3]), p)
			case 6:
				give(r.Pad(p.Arrived), true)
			case 7:
				r.Clock(relay.Clock{Spatial: p.Encoding, NTP: uint64(p.Seq) << 48, RTP: p.Timestamp})
			}
			p.Release()
		}
	})
}
