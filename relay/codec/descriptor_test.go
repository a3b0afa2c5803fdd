package codec

import (
	mathbits "math/bits"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"maille/relay"
)

// bitWriter writes what bits reads.
type bitWriter struct {
	b  []byte
	at int
}

func (w *bitWriter) put(n int, v uint32) {
	for i := n - 1; i >= 0; i-- {
		if w.at%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.at/8] |= byte(v>>i&1) << (7 - w.at%8)
		w.at++
	}
}

func (w *bitWriter) nonSymmetric(n, v uint32) {
	width := mathbits.Len32(n)
	spare := uint32(1)<<width - n
	if v < spare {
		w.put(width-1, v)
		return
	}
	w.put(width, v+spare)
}

// layered writes a structure of spatial x temporal layers, a template and a decode
// target each, as the AV1 RTP spec A.8.3 orders the fields.
func (w *bitWriter) layered(offset uint8, spatial, temporal, chains int, sized bool) {
	n := spatial * temporal
	w.put(6, uint32(offset))
	w.put(5, uint32(n-1))
	for i := range n {
		switch {
		case i == n-1:
			w.put(2, 3)
		case i%temporal == temporal-1:
			w.put(2, 2)
		default:
			w.put(2, 1)
		}
	}
	for template := range n {
		for target := range n {
			w.put(2, uint32(indication(template, target, temporal)))
		}
	}
	for template := range n {
		for range template % 3 {
			w.put(5, 1<<4|5)
		}
		w.put(1, 0)
	}
	w.nonSymmetric(uint32(n+1), uint32(chains))
	if chains > 0 {
		for target := range n {
			w.nonSymmetric(uint32(chains), uint32(target%chains))
		}
		for range n * chains {
			w.put(4, 9)
		}
	}
	if !sized {
		w.put(1, 0)
		return
	}
	w.put(1, 1)
	for s := range spatial {
		w.put(16, uint32(320<<s-1))
		w.put(16, uint32(180<<s-1))
	}
}

// indication says that a frame is there for its own decode target, to switch to, and
// for those above.
func indication(template, target, temporal int) DTI {
	switch {
	case template == target:
		return SwitchTo
	case template/temporal <= target/temporal && template%temporal <= target%temporal:
		return Required
	}
	return NotPresent
}

func TestDescriptorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spatial, temporal := rapid.IntRange(1, 4).Draw(t, "spatial"), rapid.IntRange(1, 8).Draw(t, "temporal")
		n := spatial * temporal
		offset := rapid.Uint8Range(0, 63).Draw(t, "offset")
		template := rapid.IntRange(0, n-1).Draw(t, "template")
		frame := rapid.Uint16().Draw(t, "frame")
		sized := rapid.Bool().Draw(t, "sized")

		var w bitWriter
		w.put(2, 3)
		w.put(6, uint32(offset+uint8(template))%64)
		w.put(16, uint32(frame))
		w.put(5, 0x10) // structure only
		w.layered(offset, spatial, temporal, rapid.IntRange(0, n).Draw(t, "chains"), sized)

		var s Structure
		got, err := ParseDescriptor(w.b, nil, &s)
		if err != nil {
			t.Fatal(err)
		}
		want := Descriptor{
			Start: true, End: true, Frame: frame, Structured: true, Switch: true, HasActive: true,
			Spatial: uint8(template / temporal), Temporal: uint8(template % temporal), Active: uint32(uint64(1)<<n - 1),
		}
		for target := range n {
			if target/temporal == template/temporal && indication(template, target, temporal) == SwitchTo {
				want.Lift |= 1 << (target % temporal)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if top := s.Layers[n-1]; int(top.Spatial) != spatial-1 || int(top.Temporal) != temporal-1 {
			t.Fatalf("highest target %+v", top)
		}
		if sized && (s.Width[spatial-1] != 320<<(spatial-1) || s.Height[0] != 180) {
			t.Fatalf("sizes %v x %v", s.Width, s.Height)
		}

		// A later frame refers to it, with other decode targets and indications.
		var later bitWriter
		later.put(2, 1)
		later.put(6, uint32(offset+uint8(template))%64)
		later.put(16, uint32(frame+1))
		later.put(5, 0x0c) // active targets and custom indications
		later.put(n, 1)
		for range n {
			later.put(2, uint32(Discardable))
		}
		got, err = ParseDescriptor(later.b, &s, new(Structure))
		if err != nil || got.Structured || got.Switch || got.Lift != 0 || got.Active != 1 || got.Spatial != want.Spatial {
			t.Fatalf("later: %+v, %v", got, err)
		}
		for cut := range w.b {
			if _, err := ParseDescriptor(w.b[:cut], nil, new(Structure)); err == nil {
				t.Fatalf("cut to %d of %d bytes and accepted", cut, len(w.b))
			}
		}
	})
}

func TestDescriptorRefused(t *testing.T) {
	var known Structure
	var w bitWriter
	w.layered(0, 1, 2, 0, false)
	if !known.read(&bits{b: w.b}) {
		t.Fatal("structure not read")
	}
	endless := func() []byte {
		var w bitWriter
		w.put(24, 0)
		w.put(5, 0x10)
		w.put(11, 0)
		for range 80 {
			w.put(2, 0)
		}
		return append(w.b, make([]byte, 200)...)
	}
	tooHigh := func(step uint32) []byte {
		var w bitWriter
		w.put(24, 0)
		w.put(5, 0x10)
		w.put(11, 0)
		for range 8 {
			w.put(2, step)
		}
		return append(w.b, 0xff, 0xff, 0xff, 0xff, 0, 0)
	}
	for name, b := range map[string][]byte{
		"empty":                   nil,
		"two bytes":               {0, 0},
		"template beyond":         {2, 0, 0},
		"more than 64 templates":  endless(),
		"fifth spatial layer":     tooHigh(2),
		"ninth temporal layer":    tooHigh(1),
		"structure without bytes": {0, 0, 0, 0x80},
	} {
		if d, err := ParseDescriptor(b, &known, new(Structure)); err == nil {
			t.Errorf("%s: read as %+v", name, d)
		}
	}
	if _, err := ParseDescriptor([]byte{0, 0, 0}, nil, new(Structure)); err == nil {
		t.Error("read without a structure")
	}
}

// A damaged structure does not replace the one in force.
func TestInspectorKeepsItsStructure(t *testing.T) {
	var w bitWriter
	w.put(24, 0xc00001)
	w.put(5, 0x10)
	w.layered(0, 3, 3, 3, true)
	i := NewInspector("video/AV1")
	see := func(b []byte) marks {
		p := relay.NewPacket()
		defer p.Release()
		p.Descriptor, p.Payload = b, []byte{0x10, 0}
		i.Inspect(p)
		return marks{p.Keyframe, p.FrameStart, p.SwitchPoint, p.Spatial, p.Temporal}
	}
	if got := see(w.b); got != (marks{Key: true, Start: true, Switch: true}) {
		t.Fatalf("keyframe: %+v", got)
	}
	see(w.b[:12])
	if got := see([]byte{0x80 | 5, 0, 2}); got != (marks{Switch: true, Spatial: 1, Temporal: 2}) {
		t.Fatalf("template 5 of 3x3: %+v", got)
	}
}
