package link

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"maille/relay"
	"maille/relay/track"
)

func TestQueueIsFairBetweenRooms(t *testing.T) {
	s, outs := queueOf(make([]relay.Kind, 21)...)
	defer s.queue.release()
	for i, o := range outs {
		o.track = track.New("TR", relay.Video, "")
		o.ref.Room = "greedy"
		if i == 20 {
			o.ref.Room = "modest"
		}
		for seq := range uint16(50) {
			p := fill(seq, 1100)
			s.queue.push(entry{p: p, out: o})
			p.Release()
		}
	}
	modest := 0
	for range 80 {
		e, _ := s.queue.pop(0, nil)
		if e.out == outs[20] {
			modest++
		}
		e.p.Release()
	}
	if modest < 38 {
		t.Errorf("of 80 packets the room with one stream sent %d", modest)
	}
	for _, o := range outs {
		s.queue.forget(o)
	}
	if len(s.queue.rooms) != 0 || s.queue.video != 0 || len(s.queue.active) != 0 {
		t.Errorf("left behind: %d rooms, %d packets", len(s.queue.rooms), s.queue.video)
	}
}

// Two rooms on one link that carries a third of what they offer: the modest one keeps
// its base layers and its audio.
func TestGreedyRoomDoesNotStarveAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 30 * ms, rate: 8e6, queue: 400_000})
		defer p.stop()
		_, sb := p.sessions(t)
		var wg sync.WaitGroup
		var tracks []*track.Track
		const lasts = 15 * time.Second
		begin := relay.Now() + int64(5*time.Second)
		publish := func(room string, kind relay.Kind, every time.Duration, burst, size int) *result {
			id := relay.TrackID(fmt.Sprint(room, len(tracks)))
			origin, here := track.New(id, kind, ""), track.New(id, kind, "")
			tracks = append(tracks, origin, here)
			p.a.mu.Lock()
			p.a.tracks[id] = origin
			p.a.mu.Unlock()
			r := new(result)
			here.Attach(&meter{mu: new(sync.Mutex), r: r, begin: begin, end: begin + int64(lasts)}, relay.AllLayers)
			sb.Pull(TrackRef{Room: room, ID: id}, here)
			wg.Go(func() {
				pass(time.Second)
				for seq := uint16(1); relay.Now() < begin+int64(lasts); pass(every) {
					for range burst {
						pk := relay.NewPacket()
						pk.Seq, pk.SSRC, pk.Arrived = seq, 7, relay.Now()
						pk.Payload = pk.Buffer()[:size]
						stamp(pk)
						if pk.Arrived >= begin && pk.Arrived < begin+int64(lasts) {
							r.sent++
						}
						origin.Push(pk)
						seq++
					}
				}
			})
			return r
		}
		for range 15 {
			publish("greedy", relay.Video, 40*ms, 5, 1150)
		}
		publish("greedy", relay.Video, 2*time.Second, 200, 1150) // keyframes
		base := publish("modest", relay.Video, 40*ms, 1, 600)
		voice := publish("modest", relay.Audio, 20*ms, 1, 80)
		wg.Wait()
		settle(time.Second)
		for _, r := range []*result{base, voice} {
			slices.Sort(r.delay)
			t.Log(r)
		}
		if base.share() < .995 || base.at(.95) > 150*ms {
			t.Errorf("base layer of the modest room %v", base)
		}
		if voice.share() < .999 || voice.at(.99) > 150*ms {
			t.Errorf("audio of the modest room %v", voice)
		}
		for _, tr := range tracks {
			tr.Close()
		}
	})
}

func TestLeastWatchedIsShedFirst(t *testing.T) {
	var d shedder
	layers := []layerLoad{
		{handle: 1, rate: 20, watchers: 1},
		{handle: 1, spatial: 1, rate: 100, watchers: 1},
		{handle: 2, rate: 20, watchers: 9},
		{handle: 2, spatial: 1, rate: 200, watchers: 9},
	}
	d.decide(0, true, false, 320, layers)
	for _, l := range layers {
		if l.shed != (l.handle == 1 && l.spatial == 1) {
			t.Errorf("stream %d layer %d watched by %d: shed %v", l.handle, l.spatial, l.watchers, l.shed)
		}
	}
}

func TestWatchersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 20 * ms})
		defer p.stop()
		sa, sb := p.sessions(t)
		origin, here := track.New("TR_v", relay.Video, ""), track.New("TR_v", relay.Video, "")
		p.a.tracks["TR_v"] = origin
		sb.Pull(TrackRef{Room: "r", ID: "TR_v"}, here)
		var got [3]sink
		told := func() uint32 { return sa.outs.all()[0].watchers.Load() }
		here.Attach(&got[0], relay.AllLayers)
		settle(200 * ms)
		if told() != 1 {
			t.Errorf("one watches, %d told", told())
		}
		here.Attach(&got[1], relay.AllLayers)
		here.Attach(&got[2], relay.AllLayers)
		settle(3 * time.Second)
		if told() != 3 {
			t.Errorf("three watch, %d told", told())
		}
		origin.Close()
		here.Close()
	})
}
