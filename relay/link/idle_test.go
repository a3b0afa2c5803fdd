package link

import (
	"testing"

	"maille/relay"
	"maille/relay/audio"
	"maille/relay/track"
)

// An encoding that was idle goes on, wherever its numbers are by then, and repair
// works behind it as before.
func TestChainGoesOnAfterSilence(t *testing.T) {
	const second = int64(1e9)
	for _, ahead := range []uint16{1, 500, 20000, 40000, 64700, 65535} {
		c := new(chain)
		for i := range uint16(100) {
			c.got(i, i-1, i > 0, int64(i)*second/50)
		}
		now := 60 * second
		seq := 99 + ahead
		if duplicate, _ := c.got(seq, 99, true, now); duplicate {
			t.Errorf("%d ahead: taken for a duplicate", ahead)
		}
		if len(c.gaps) != 0 {
			t.Errorf("%d ahead: silence is taken for loss", ahead)
		}
		if duplicate, _ := c.got(seq, 99, true, now); !duplicate {
			t.Errorf("%d ahead: a duplicate passes", ahead)
		}
		if _, gapped := c.got(seq+2, seq+1, true, now); !gapped {
			t.Errorf("%d ahead: a loss is not noticed", ahead)
		}
	}
}

// What a peer that wants every layer gets has no gaps on purpose.
func TestOmittedOnlyWhereLeftOut(t *testing.T) {
	o := &outStream{track: track.New("TR_A", relay.Audio, "audio/opus")}
	p := relay.NewPacket()
	defer p.Release()
	p.Omitted = 9
	for _, tc := range []struct {
		layers relay.LayerSet
		want   uint16
	}{{relay.Layer(0, audio.Loud), 9}, {relay.UpTo(0, audio.Silent), 0}} {
		o.layers.Store(uint32(tc.layers))
		if got := o.omitted(p); got != tc.want {
			t.Errorf("layers %b: %d omitted, want %d", tc.layers, got, tc.want)
		}
	}
}
