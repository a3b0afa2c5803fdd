package wire

import (
	"bytes"
	"testing"

	"maille/relay"
)

// FuzzDatagram feeds any bytes to every decoder. What decodes as frames must encode to
// frames that decode alike, and must join and fill without a panic.
func FuzzDatagram(f *testing.F) {
	bundle := NewBundle(make([]byte, 0, MaxDatagram), TypeMedia)
	whole := Frame{Handle: 1, Seq: 5, HasPrev: true, Prev: 2, HasSSRC: true, HasLevel: true, Descriptor: []byte{1}, Payload: []byte("abc")}
	first, second := whole.Split()
	omits, begins := whole, whole
	omits.Omitted = 2
	begins.Omitted, begins.HasPrev = 900, false
	for _, frame := range []*Frame{&whole, &first, &second, &omits, &begins} {
		bundle.Add(frame)
	}
	f.Add(bundle.Seal(1))
	report, _ := AppendReport(nil, 65530, 3, []Arrival{{true, 5}, {}, {true, 1}})
	f.Add(report)
	f.Add(AppendAsk(nil, []Gap{{1, 1, 1, 1}}))
	f.Add(AppendProbe(nil, TypeEcho, 1))

	f.Fuzz(func(t *testing.T, b []byte) {
		switch TypeOf(b) {
		case TypeReport:
			if _, _, got, err := ParseReport(b, nil); err == nil && len(got) > MaxReport {
				t.Fatal("report beyond its bound")
			}
			return
		case TypeAsk:
			_, _ = ParseAsk(b, nil)
			return
		case TypeProbe, TypeEcho:
			_, _ = ParseProbe(b)
			return
		}
		_, rest, err := ParseBundle(b)
		if err != nil {
			return
		}
		var j Joiner
		defer j.Reset()
		p := relay.NewPacket()
		defer p.Release()
		for len(rest) > 0 {
			var frame, again Frame
			if rest, err = frame.Next(rest); err != nil {
				return
			}
			encoded := frame.append(nil, true)
			if tail, err := again.Next(encoded); err != nil || len(tail) != 0 {
				t.Fatalf("does not decode again: %v, %d left", err, len(tail))
			}
			if !bytes.Equal(encoded, again.append(nil, true)) {
				t.Fatal("encodes differently")
			}
			if frame.Part == Whole {
				frame.Fill(p)
			} else if p, _ := j.Add(&frame); p != nil {
				p.Release()
			}
		}
	})
}
