package audio

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"maille/relay"
)

// stream pushes packets of one track through its gate.
type stream struct {
	gate *Gate
	seq  uint16
	now  int64
}

func (s *stream) push(change func(*relay.Packet)) (layer uint8, omitted uint16) {
	p := relay.NewPacket()
	defer p.Release()
	s.seq++
	s.now += frame
	p.Seq, p.Arrived, p.SSRC, p.HasLevel, p.Level = s.seq, s.now, 1, true, 30
	if change != nil {
		change(p)
	}
	s.gate.Classify(p)
	return p.Temporal, p.Omitted
}

func quiet(p *relay.Packet) { p.Level = silence }

func newStream() *stream {
	return &stream{gate: NewGate(NewRanking(1).Add("a", false), new(Meter)), seq: 65500, now: 1e12}
}

// fall lets the stream fall silent, and returns how many packets that are silent came.
func (s *stream) fall(n int) (silent int) {
	for range n {
		if layer, _ := s.push(quiet); layer == Silent {
			silent++
		}
	}
	return silent
}

// What is left out between two packets that pass is told with the second, whatever was
// lost among it.
func TestOmittedCoversSilence(t *testing.T) {
	for _, tc := range []struct {
		name   string
		lose   func(*stream)
		extra  uint16
		silent bool
	}{
		{"nothing lost", func(*stream) {}, 0, true},
		{"lost in silence", func(s *stream) { s.seq += 3; s.fall(1) }, 4, true},
		{"lost at the onset", func(s *stream) { s.seq += 2 }, 2, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStream()
			if layer, omitted := s.push(nil); layer != Loud || omitted != 0 {
				t.Fatalf("first: layer %d, %d omitted", layer, omitted)
			}
			silent := s.fall(100)
			if silent == 0 || silent == 100 {
				t.Fatalf("%d of 100 silent packets do not pass", silent)
			}
			tc.lose(s)
			if layer, omitted := s.push(nil); layer != Loud || omitted != uint16(silent)+tc.extra {
				t.Errorf("layer %d, %d omitted; want layer 0, %d", layer, omitted, uint16(silent)+tc.extra)
			}
			if _, omitted := s.push(nil); omitted != 0 {
				t.Errorf("%d omitted right after a packet that passed", omitted)
			}
		})
	}
}

// A loss between packets that pass is none of the gate's business.
func TestLossIsNotOmitted(t *testing.T) {
	s := newStream()
	s.push(nil)
	s.seq += 5
	if _, omitted := s.push(nil); omitted != 0 {
		t.Errorf("%d omitted, want a gap", omitted)
	}
}

// What upstream left out is passed on, together with what is left out here.
func TestOmittedUpstream(t *testing.T) {
	s := newStream()
	s.push(nil)
	s.seq += 7
	if _, omitted := s.push(func(p *relay.Packet) { p.Omitted = 7 }); omitted != 7 {
		t.Errorf("%d omitted, want upstream's 7", omitted)
	}
	silent := s.fall(100)
	s.seq += 20
	if _, omitted := s.push(func(p *relay.Packet) { p.Omitted = 20 }); int(omitted) != silent+20 {
		t.Errorf("%d omitted, want %d here and 20 upstream", omitted, silent)
	}
}

// Late packets, duplicates and packets without level say nothing: they pass if their
// neighbours do.
func TestPacketsThatSayNothing(t *testing.T) {
	s := newStream()
	s.push(nil)
	late := func(p *relay.Packet) { p.Seq, p.Level = s.seq-1, silence; s.seq-- }
	bare := func(p *relay.Packet) { p.HasLevel = false }
	for name, change := range map[string]func(*relay.Packet){"late": late, "bare": bare} {
		if layer, _ := s.push(change); layer != Loud {
			t.Errorf("%s packet of a loud track: layer %d", name, layer)
		}
	}
	s.fall(100)
	loudLate := func(p *relay.Packet) { p.Seq = s.seq - 1; s.seq-- }
	for name, change := range map[string]func(*relay.Packet){"late": loudLate, "bare": bare} {
		if layer, _ := s.push(change); layer != Silent {
			t.Errorf("%s packet of a silent track: layer %d", name, layer)
		}
	}
}

func TestExempt(t *testing.T) {
	bare := func(p *relay.Packet) { p.HasLevel = false }
	s := newStream()
	for range 200 {
		if layer, _ := s.push(bare); layer != Loud {
			t.Fatal("a track without levels cannot be ranked")
		}
	}
	s = &stream{gate: NewGate(nil, nil), now: 1e12}
	for range 200 {
		if layer, _ := s.push(quiet); layer != Loud {
			t.Fatal("a track without a voice is not ranked")
		}
	}
}

// What came silent stays silent, and does not keep a slot.
func TestSilentUpstreamStaysSilent(t *testing.T) {
	s := newStream()
	for range 200 {
		if layer, _ := s.push(func(p *relay.Packet) { p.Temporal = Silent }); layer != Silent {
			t.Fatal("passes here, but not where it comes from")
		}
	}
	if s.gate.voice.inside.Load() {
		t.Error("holds a slot")
	}
}

// A meter measures what is new, whether it passes or not.
func TestGateMeasures(t *testing.T) {
	s := newStream()
	for range 3 {
		s.push(nil)
		s.seq--
	}
	s.push(nil)
	s.fall(4)
	if got := s.gate.meter.total.Load(); got != 5 {
		t.Errorf("%d packets measured, want 5", got)
	}
}

// However the stream is lost and reordered, a packet that passes never
// claims packets that passed before it.
func TestOmittedNeverCoversWhatPassed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStream()
		passed, any := uint16(0), false
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			level := rapid.SampledFrom([]uint8{30, silence}).Draw(t, "level")
			skip := rapid.SampledFrom([]uint16{0, 0, 0, 1, 5, 65535, 65533}).Draw(t, "skip")
			s.now += rapid.SampledFrom([]int64{0, 0, 0, 1e9, 3e9}).Draw(t, "pause")
			s.seq += skip
			layer, omitted := s.push(func(p *relay.Packet) { p.Level = level })
			if layer != Loud {
				continue
			}
			if ahead := int16(s.seq - passed); any && ahead > 0 && int(omitted) >= int(ahead) {
				t.Fatalf("%d omitted, %d since the last that passed", omitted, ahead)
			}
			if int16(s.seq-passed) > 0 || !any {
				passed, any = s.seq, true
			}
		}
	})
}

func TestClassifyAllocatesNothing(t *testing.T) {
	s := newStream()
	p := relay.NewPacket()
	defer p.Release()
	p.HasLevel = true
	got := testing.AllocsPerRun(1000, func() {
		p.Seq++
		p.Arrived += frame
		p.Temporal, p.Level = 0, uint8(p.Seq)&127
		s.gate.Classify(p)
	})
	if diff := cmp.Diff(0.0, got); diff != "" {
		t.Errorf("allocations: %s", diff)
	}
}

// What is sent while muted is as silence: it goes nowhere, is missed by nobody, and does
// not keep others out of the loudest.
func TestMutedIsSilent(t *testing.T) {
	r := NewRanking(1)
	other := r.Add("b", false)
	s := &stream{gate: NewGate(r.Add("a", false), nil), now: 1e12}
	s.push(nil)
	s.gate.Mute(true)
	for range 100 {
		if layer, _ := s.push(nil); layer != Silent {
			t.Fatal("heard while muted")
		}
	}
	if !other.Hear(s.now, 60) {
		t.Error("one who is muted is among the loudest")
	}
	s.gate.Mute(false)
	s.now += second // the other has fallen silent
	var omitted uint16
	heard := false
	for i := 0; i < 50 && !heard; i++ {
		var layer uint8
		layer, omitted = s.push(nil)
		heard = layer == Loud
	}
	if !heard || omitted < 100 {
		t.Errorf("heard again %v, %d packets left out", heard, omitted)
	}
}
