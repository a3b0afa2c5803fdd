package link

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"maille/relay"
	"maille/relay/track"
)

func (s *source) wanted() relay.LayerSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.demand
}

func (s *source) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keyframes)
}

// A room that takes long to find its tracks keeps no other room's waiting. What is asked of
// them meanwhile is not forgotten.
func TestRoomThatIsBehindDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 10 * ms})
		defer p.stop()
		_, sb := p.sessions(t)
		slow, fast := new(source), new(source)
		origins := map[relay.TrackID]*source{"TR_slow": slow, "TR_left": new(source), "TR_fast": fast}
		gate := make(chan struct{})
		p.a.mu.Lock()
		p.a.gates = map[string]chan struct{}{"behind": gate}
		for id, src := range origins {
			tr := track.New(id, relay.Video, "")
			tr.SetSource(src)
			p.a.tracks[id] = tr
		}
		p.a.mu.Unlock()
		pull := func(room string, id relay.TrackID) (*track.Track, *Upstream) {
			here := track.New(id, relay.Video, "")
			return here, sb.Pull(TrackRef{Room: room, ID: id}, here)
		}
		here, up := pull("behind", "TR_slow")
		tap := here.Attach(sinkFunc(func(*relay.Packet) {}), relay.AllLayers)
		left, gone := pull("behind", "TR_left")
		left.Attach(sinkFunc(func(*relay.Packet) {}), relay.AllLayers)
		_, none := pull("behind", "TR_none")
		settle(100 * ms)
		tap.Keyframe(1)
		tap.Want(relay.Layer(1, 0))
		gone.Close()
		settle(2 * time.Second) // until less is asked for

		there, _ := pull("other", "TR_fast")
		there.Attach(sinkFunc(func(*relay.Packet) {}), relay.AllLayers)
		settle(100 * ms)
		if got := fast.wanted(); got != relay.AllLayers {
			t.Errorf("the other room's track is asked for %v, want all", got)
		}
		close(gate)
		settle(100 * ms)
		if got := slow.wanted(); got == relay.NoLayers {
			t.Error("the track that took long is not asked for")
		}
		if slow.asked() == 0 {
			t.Error("the keyframe asked for meanwhile is forgotten")
		}
		if got := origins["TR_left"].wanted(); got != relay.NoLayers {
			t.Errorf("a track let go of meanwhile is asked for %v", got)
		}
		if err := none.Err(); !errors.Is(err, ErrRefused) {
			t.Errorf("a track that is not there: %v", err)
		}
		if err := up.Err(); err != nil {
			t.Errorf("the track that took long has ended: %v", err)
		}
		for _, tr := range []*track.Track{here, left, there, p.a.tracks["TR_slow"], p.a.tracks["TR_left"], p.a.tracks["TR_fast"]} {
			tr.Close()
		}
	})
}
