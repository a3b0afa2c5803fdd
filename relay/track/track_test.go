package track

import (
	"testing"

	"go.uber.org/goleak"

	"maille/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink records what it is given, retained when keep is set.
type sink struct {
	seqs   []uint16
	clocks int
	closed int
}

func (s *sink) Push(p *relay.Packet) { s.seqs = append(s.seqs, p.Seq) }
func (s *sink) Clock(relay.Clock)    { s.clocks++ }
func (s *sink) Close()               { s.closed++ }

type source struct {
	demands   []relay.LayerSet
	keyframes []uint8
	resends   [][]uint16
}

func (s *source) Demand(d relay.LayerSet)         { s.demands = append(s.demands, d) }
func (s *source) Keyframe(spatial uint8)          { s.keyframes = append(s.keyframes, spatial) }
func (s *source) Resend(_ uint8, missed []uint16) { s.resends = append(s.resends, missed) }

func packet(seq uint16, at int64) *relay.Packet {
	p := relay.NewPacket()
	p.Seq, p.Arrived = seq, at
	p.Payload = p.Buffer()[12:100]
	return p
}

func TestPushReachesSinksThatWantTheLayer(t *testing.T) {
	track := New("TR_a", relay.Video, "video/VP8")
	defer track.Close()
	low, none := &sink{}, &sink{}
	track.Attach(low, relay.Spatial(0))
	track.Attach(none, relay.NoLayers)
	for seq := range uint16(4) {
		p := packet(seq, 1)
		p.Encoding, p.Spatial = uint8(seq%2), uint8(seq%2)
		track.Push(p)
	}
	if len(low.seqs) != 2 || len(none.seqs) != 0 {
		t.Fatalf("low got %v, none got %v", low.seqs, none.seqs)
	}
	if got := track.Stats().Drops["not_wanted"]; got != 2 {
		t.Fatalf("not wanted: %d", got)
	}
}
