package codec

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestPrimary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b, body []byte
		for range rapid.IntRange(0, 4).Draw(t, "redundant blocks") {
			older := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "older")
			b = append(b, 0x80|111, 0x12, byte(len(older)>>8)|0x54, byte(len(older)))
			body = append(body, older...)
		}
		newest := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "newest")
		b = append(append(b, 111), body...)
		cut := b[:len(b)-rapid.IntRange(0, len(body)).Draw(t, "cut")]
		b = append(b, newest...)
		pt, got, ok := Primary(b)
		if !ok || pt != 111 || !bytes.Equal(got, newest) {
			t.Fatalf("%d %x %v", pt, got, ok)
		}
		if !REDOf(b, 111) || REDOf(b, 109) {
			t.Fatal("not known by its payload type")
		}
		if _, _, ok := Primary(cut); ok && len(cut) < len(b)-len(newest) {
			t.Fatal("a block beyond the payload was accepted")
		}
	})
	for name, b := range map[string][]byte{"empty": nil, "headers only": {0x80 | 111, 0, 0, 0}, "header cut": {0x80 | 111, 0}} {
		if _, _, ok := Primary(b); ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzPrimary(f *testing.F) {
	f.Add([]byte{0x80 | 111, 0x12, 0x54, 2, 111, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		pt, block, ok := Primary(b)
		if ok && len(block) >= len(b) {
			t.Fatalf("%d bytes out of %d", len(block), len(b))
		}
		if ok && REDOf(b, pt^1) {
			t.Fatalf("%x is of payload type %d, not %d", b, pt, pt^1)
		}
	})
}
