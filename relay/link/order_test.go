package link

import (
	"testing"
	"testing/synctest"
	"time"

	"maille/relay"
	"maille/relay/track"
)

// Browsers take a packet that was overtaken for lost and ask for it.
func TestLanesKeepOrder(t *testing.T) {
	for _, c := range []struct {
		name string
		load load
	}{
		{"cameras", load{videos: 20, videoPPS: 125, size: 1198, audios: 3, warm: time.Second, measured: 4 * time.Second}},
		{"one burst a picture", load{videos: 2, videoPPS: 1250, size: 1198, audios: 3, warm: time.Second, measured: 4 * time.Second}},
		{"simulcast", load{videos: 12, videoPPS: 150, size: 1198, simulcast: true, audios: 3, warm: time.Second, measured: 4 * time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := deliver(t, conditions{delay: 20 * ms}, c.load, nil)
				x.log(t)
				if x.a.Lost != 0 {
					t.Errorf("%d taken for lost on a path that loses nothing", x.a.Lost)
				}
				for _, r := range []*result{&x.video, &x.lower, &x.audio} {
					if r.disordered() >= .001 {
						t.Errorf("%.3f%% out of order", 100*r.disordered())
					}
				}
			})
		})
	}
}

// A repair leaves on another lane than the one its stream is on, while one has room.
func TestRepairsTakeAnotherLane(t *testing.T) {
	s := bareSession(t)
	tr := track.New("TR_v", relay.Video, "")
	defer tr.Close()
	o := &outStream{s: s, track: tr}
	now := relay.Now()
	lanes := []*lane{newLane(s, nil), newLane(s, nil), newLane(s, nil)}
	for _, l := range lanes {
		l.polled, l.window, l.most = now+int64(time.Hour), 100*fullPacket, 100*fullPacket
		l.bucket.set(1e9, 1e6, now)
	}
	s.lanes.list.Store(&lanes)
	s.heard.Store(now) // or the path would be taken for cut
	b := &bundler{s: s}
	defer b.release()
	sent := func() *lane {
		b.step(now)
		var on *lane
		for _, l := range lanes {
			for len(l.out) > 0 {
				freeDatagram(<-l.out)
				on = l
			}
		}
		return on
	}
	for seq := range uint16(20) {
		p := fill(seq, 1000)
		s.queue.push(entry{p: p, out: o, at: now})
		first := sent()
		s.queue.push(entry{p: p, out: o, at: now, repair: true})
		if again := sent(); first == nil || again == nil || again == first {
			t.Errorf("packet %d left on lane %p, and again on %p", seq, first, again)
		}
		p.Release()
	}
	for _, l := range lanes[1:] {
		l.gone.Store(true)
	}
	s.queue.push(entry{p: fill(20, 1000), out: o, at: now, repair: true})
	if sent() != lanes[0] {
		t.Error("a repair waits although a lane has room")
	}
}
