package track

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"maille/relay"
	"maille/relay/audio"
)

// odd says that packets with odd numbers are silent.
type odd struct{ seen int }

func (o *odd) Classify(p *relay.Packet) {
	o.seen++
	p.Temporal = uint8(p.Seq & 1)
}

// Each sink gets the layers it wants, as the classifier sorts them; what nobody wants
// is counted as silence.
func TestClassifier(t *testing.T) {
	tr := New("TR_A", relay.Audio, "audio/opus", WithClock(func() int64 { return 1 }))
	defer tr.Close()
	c := new(odd)
	tr.SetClassifier(c)
	listener, recorder := new(sink), new(sink)
	tr.Attach(listener, relay.Layer(0, audio.Loud))
	tap := tr.Attach(recorder, relay.UpTo(0, audio.Silent))
	for seq := range uint16(4) {
		tr.Push(packet(seq, nil))
	}
	tap.Detach()
	for seq := uint16(4); seq < 8; seq++ {
		tr.Push(packet(seq, nil))
	}
	if diff := cmp.Diff([]uint16{0, 2, 4, 6}, listener.seqs); diff != "" {
		t.Errorf("listener: %s", diff)
	}
	if diff := cmp.Diff([]uint16{0, 1, 2, 3}, recorder.seqs); diff != "" {
		t.Errorf("recorder: %s", diff)
	}
	if diff := cmp.Diff(map[string]uint64{"silent": 2}, tr.Stats().Drops); diff != "" {
		t.Errorf("drops: %s", diff)
	}
	if c.seen != 8 {
		t.Errorf("%d packets classified, want 8", c.seen)
	}
}

// A gate on the way costs no allocation.
func TestPushThroughAGateAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	tr := New("TR_A", relay.Audio, "audio/opus")
	tr.SetSource(quiet{})
	tr.SetClassifier(audio.NewGate(audio.NewRanking(3).Add("a", false), new(audio.Meter)))
	tr.Attach(nothing{}, relay.Layer(0, audio.Loud))
	var seq uint16
	push := func() {
		seq++
		tr.Push(packet(seq, func(p *relay.Packet) {
			p.Arrived, p.HasLevel, p.Level = int64(seq)*20*ms, true, uint8(seq/64)&127
		}))
	}
	for range 2 * audioRing {
		push()
	}
	if got := testing.AllocsPerRun(2000, push); got > 0 {
		t.Errorf("%v allocations", got)
	}
}
