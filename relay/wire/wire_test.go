package wire

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"maille/relay"
)

func drawFrame(t *rapid.T, maxPayload int) Frame {
	bytesOf := func(name string, n int) []byte {
		b := rapid.SliceOfN(rapid.Byte(), 0, n).Draw(t, name)
		if len(b) == 0 {
			return nil
		}
		return b
	}
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	f := Frame{
		Handle:      rapid.Uint16().Draw(t, "handle"),
		Encoding:    rapid.Uint8Range(0, 2).Draw(t, "encoding"),
		Spatial:     rapid.Uint8Range(0, 2).Draw(t, "spatial"),
		Temporal:    rapid.Uint8Range(0, 3).Draw(t, "temporal"),
		PayloadType: rapid.Uint8Range(0, 127).Draw(t, "pt"),
		Marker:      flag("marker"), Keyframe: flag("key"), FrameStart: flag("start"), SwitchPoint: flag("switch"),
		Seq: rapid.Uint16().Draw(t, "seq"), Timestamp: rapid.Uint32().Draw(t, "ts"),
		Descriptor: bytesOf("descriptor", 100), CaptureTime: bytesOf("capture", 16),
		Payload: bytesOf("payload", maxPayload),
	}
	if flag("prev") {
		f.HasPrev = true
		f.Prev = f.Seq - rapid.OneOf(rapid.Uint16Range(1, 300), rapid.Uint16Min(1)).Draw(t, "back")
	}
	f.Omitted = rapid.OneOf(rapid.Just(uint16(0)), rapid.Uint16()).Draw(t, "omitted")
	if flag("ssrc") {
		f.SSRC, f.HasSSRC = rapid.Uint32().Draw(t, "SSRC"), true
	}
	if flag("level") {
		f.Level, f.Voice, f.HasLevel = rapid.Uint8Range(0, 127).Draw(t, "dBov"), flag("voice"), true
	}
	return f
}

func TestBundleRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seq := rapid.Uint16().Draw(t, "link seq")
		b := NewBundle(make([]byte, 0, MaxDatagram), TypeMedia)
		var want []Frame
		for range rapid.IntRange(1, 20).Draw(t, "frames") {
			f := drawFrame(t, 400)
			if b.Add(&f) {
				want = append(want, f)
			}
		}
		if rapid.Bool().Draw(t, "padded") {
			b.Pad(640)
		}
		dgram := b.Seal(seq)
		if len(dgram) > MaxDatagram || cap(dgram) != MaxDatagram {
			t.Fatalf("datagram of %d bytes, capacity %d", len(dgram), cap(dgram))
		}
		gotSeq, rest, err := ParseBundle(dgram)
		if err != nil || gotSeq != seq {
			t.Fatalf("seq %d, %v, want %d", gotSeq, err, seq)
		}
		var got []Frame
		for len(rest) > 0 {
			var f Frame
			if rest, err = f.Next(rest); err != nil {
				t.Fatal(err)
			}
			got = append(got, f)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A full RTP packet of 1,198 bytes, as Chromium sends it, needs one datagram: with
// no extension at all, and with the four it usually has (header 12, extensions 16).
func TestFullPacketFitsOneDatagram(t *testing.T) {
	for _, c := range []struct {
		name    string
		payload int
		f       Frame
	}{
		{"bare", 1198 - 12, Frame{Seq: 7, Prev: 6, HasPrev: true}},
		{"first of a stream", 1198 - 12, Frame{Seq: 7}},
		{"usual extensions", 1198 - 28, Frame{Seq: 7, Prev: 900, HasPrev: true, SSRC: 1, HasSSRC: true, HasLevel: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.f.Payload = make([]byte, c.payload)
			if n := c.f.Size(true) - c.payload; n+BundleHeader > 26 {
				t.Errorf("header of %d bytes", n+BundleHeader)
			}
			if !c.f.Fits() {
				t.Fatalf("needs %d bytes", BundleHeader+c.f.Size(false))
			}
			b := NewBundle(make([]byte, 0, MaxDatagram), TypeMedia)
			if !b.Add(&c.f) {
				t.Fatal("not added")
			}
		})
	}
}

func TestSplitAndJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var j Joiner
		defer j.Reset()
		payload := bytes.Repeat([]byte{1, 2, 3, 5, 7, 11, 13}, 210)[:rapid.IntRange(1190, 1330).Draw(t, "payload")]
		f := drawFrame(t, 1)
		f.Payload = payload
		a, b := f.Split()
		if !a.Fits() || !b.Fits() {
			t.Fatalf("halves of %d and %d bytes", a.Size(false), b.Size(false))
		}
		if rapid.Bool().Draw(t, "swap") {
			a, b = b, a
		}
		var got *relay.Packet
		for _, half := range []Frame{a, a, b} {
			bundle := NewBundle(make([]byte, 0, MaxDatagram), TypeMedia)
			if !bundle.Add(&half) {
				t.Fatal("half does not fit")
			}
			var dec Frame
			if _, err := dec.Next(bundle.Seal(0)[BundleHeader:]); err != nil {
				t.Fatal(err)
			}
			if p, lost := j.Add(&dec); p != nil || lost != 0 {
				got = p
			}
		}
		if got == nil {
			t.Fatal("not joined")
		}
		defer got.Release()
		var again Frame
		again.From(got, f.Handle)
		again.Prev, again.HasPrev, again.SSRC, again.HasSSRC = f.Prev, f.HasPrev, f.SSRC, f.HasSSRC
		if diff := cmp.Diff(f, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestJoinerIsBounded(t *testing.T) {
	var j Joiner
	defer j.Reset()
	lost := 0
	for i := range 3 * pendingHalves {
		p, n := j.Add(&Frame{Seq: uint16(i), Part: FirstHalf, Payload: []byte{1}})
		if p != nil {
			t.Fatal("joined from one half")
		}
		lost += n
	}
	if lost != 2*pendingHalves {
		t.Errorf("gave up %d, want %d", lost, 2*pendingHalves)
	}
	if p, n := j.Add(&Frame{Seq: 3*pendingHalves - 1, Part: SecondHalf, Offset: 9}); p != nil || n != 1 {
		t.Errorf("halves that do not meet: %v, %d", p, n)
	}
}

func TestReportRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Uint16().Draw(t, "base")
		want := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Arrival {
			if !rapid.Bool().Draw(t, "got") {
				return Arrival{}
			}
			return Arrival{Got: true, At: rapid.Uint32().Draw(t, "at")}
		}), 1, MaxReport).Draw(t, "arrivals")
		late := rapid.Uint16().Draw(t, "late")
		b, n := AppendReport(nil, base, late, want)
		if len(b) > MaxDatagram || n == 0 {
			t.Fatalf("%d bytes for %d entries", len(b), n)
		}
		gotBase, gotLate, got, err := ParseReport(b, nil)
		if err != nil || gotBase != base || gotLate != late {
			t.Fatal(gotBase, err)
		}
		if diff := cmp.Diff(want[:n], got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAskAndProbeRoundTrip(t *testing.T) {
	want := []Gap{{1, 2, 65535, 3}, {9, 0, 4, 1 << 31}}
	got, err := ParseAsk(AppendAsk(nil, want), nil)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	b := AppendProbe(nil, TypeProbe, 77)
	if id, err := ParseProbe(b); TypeOf(b) != TypeProbe || id != 77 || err != nil {
		t.Error(id, err)
	}
}

func TestNothingAllocated(t *testing.T) {
	p := relay.NewPacket()
	defer p.Release()
	p.Payload = p.Buffer()[:1100]
	dst := relay.NewPacket()
	defer dst.Release()
	buf := make([]byte, 0, MaxDatagram)
	var f, g Frame
	if n := testing.AllocsPerRun(100, func() {
		f.From(p, 3)
		f.Prev, f.HasPrev = p.Seq-1, true
		b := NewBundle(buf, TypeMedia)
		b.Add(&f)
		if _, err := g.Next(b.Seal(9)[BundleHeader:]); err != nil {
			t.Fatal(err)
		}
		g.Fill(dst)
	}); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
	if !bytes.Equal(dst.Payload, p.Payload) {
		t.Error("payload changed")
	}
}

func BenchmarkFrame(b *testing.B) {
	p, dst := relay.NewPacket(), relay.NewPacket()
	p.Payload = p.Buffer()[:1100]
	buf := make([]byte, 0, MaxDatagram)
	var f, g Frame
	b.ReportAllocs()
	for b.Loop() {
		f.From(p, 3)
		bundle := NewBundle(buf, TypeMedia)
		bundle.Add(&f)
		if _, err := g.Next(bundle.Seal(9)[BundleHeader:]); err != nil {
			b.Fatal(err)
		}
		g.Fill(dst)
	}
}
