package link

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"maille/relay"
	"maille/relay/track"
)

// Clients ask for what a link has lost long before its repair can be there. What the link
// asks for itself does not climb once more for them.
func TestClientsDoNotAskForWhatTheLinkRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 50 * ms, loss: .02})
		defer p.stop()
		sa, sb := p.sessions(t)
		origin, here := track.New("TR_v", relay.Video, ""), track.New("TR_v", relay.Video, "")
		p.a.mu.Lock()
		p.a.tracks["TR_v"] = origin
		p.a.mu.Unlock()
		got := map[uint16]bool{}
		var newest uint16
		here.Attach(sinkFunc(func(p *relay.Packet) { // a client that asks for all it misses with each packet
			got[p.Seq] = true
			newest = max(newest, p.Seq)
			var missing []uint16
			for q := max(newest, 64) - 63; q < newest; q++ {
				if !got[q] {
					missing = append(missing, q)
				}
			}
			here.Resend(0, missing)
		}), relay.AllLayers)
		sb.Pull(TrackRef{Room: "r", ID: "TR_v"}, here)
		settle(3 * time.Second)
		const packets = 5000
		for seq := uint16(1); seq <= packets; seq++ {
			origin.Push(fill(seq, 1000))
			pass(4 * ms)
		}
		settle(2 * time.Second)
		lost, again := sa.Stats().Lost, sa.Stats().Answered
		t.Logf("%d lost, %d sent again, %d of %d came", lost, again, len(got), packets)
		if again > 4*lost { // answers go twice, to requests that go twice
			t.Errorf("%d packets sent again for %d lost", again, lost)
		}
		if len(got) < packets-3 {
			t.Errorf("%d of %d came", len(got), packets)
		}
		origin.Close()
		here.Close()
	})
}

// What someone behind the link wants climbs when the link gives it up, even if nothing else
// is lost afterwards: the requests of a still picture's last gap are lost here.
func TestWantedClimbsWithoutAnotherGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 50 * ms})
		defer p.stop()
		_, sb := p.sessions(t)
		origin, here := track.New("TR_v", relay.Video, ""), track.New("TR_v", relay.Video, "")
		p.a.mu.Lock()
		p.a.tracks["TR_v"] = origin
		p.a.mu.Unlock()
		var got []uint16
		here.Attach(sinkFunc(func(p *relay.Packet) {
			got = append(got, p.Seq)
			if p.Seq == 4 {
				here.Resend(0, []uint16{3})
			}
		}), relay.AllLayers)
		sb.Pull(TrackRef{Room: "r", ID: "TR_v"}, here)
		settle(3 * time.Second)
		origin.Push(fill(1, 1000))
		origin.Push(fill(2, 1000))
		pass(ms)
		p.set(p.a.host, p.b.host, conditions{delay: 50 * ms, loss: 1})
		origin.Push(fill(3, 1000))
		pass(ms)
		p.set(p.a.host, p.b.host, conditions{delay: 50 * ms})
		p.set(p.b.host, p.a.host, conditions{delay: 50 * ms, loss: 1})
		origin.Push(fill(4, 1000))
		pass(300 * ms) // both requests are lost
		p.set(p.b.host, p.a.host, conditions{delay: 50 * ms})
		settle(2 * time.Second)
		if !slices.Equal(got, []uint16{1, 2, 4, 3}) {
			t.Errorf("%v came, want 3 in the end", got)
		}
		origin.Close()
		here.Close()
	})
}

// What is asked for is counted in packets, as what is answered is: a run that is lost is one
// request.
func TestAskedCountsPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 5 * ms})
		defer p.stop()
		sa, sb := p.sessions(t)
		origin, here := track.New("TR_v", relay.Video, ""), track.New("TR_v", relay.Video, "")
		p.a.mu.Lock()
		p.a.tracks["TR_v"] = origin
		p.a.mu.Unlock()
		here.Attach(sinkFunc(func(*relay.Packet) {}), relay.AllLayers)
		sb.Pull(TrackRef{Room: "r", ID: "TR_v"}, here)
		settle(3 * time.Second)
		for seq := uint16(1); seq <= 22; seq++ {
			switch seq {
			case 11:
				p.set(p.a.host, p.b.host, conditions{delay: 5 * ms, loss: 1})
			case 21:
				p.set(p.a.host, p.b.host, conditions{delay: 5 * ms})
			}
			origin.Push(fill(seq, 1000))
			pass(ms)
		}
		settle(time.Second)
		if asked, answered := sb.Stats().Asked, sa.Stats().Answered; asked < 10 || answered < 10 {
			t.Errorf("%d packets asked for and %d sent again of 10 that were lost", asked, answered)
		}
		origin.Close()
		here.Close()
	})
}

// What the link gives up is asked for once more if someone still wants it, and nothing of
// it is forgotten or asked for twice.
func TestWantedClimbsWhenTheLinkGivesUp(t *testing.T) {
	var c chain
	const rtt = int64(100 * ms)
	s := &Session{nudge: make(chan struct{}, 1)}
	s.outbox.init()
	here := track.New("TR_v", relay.Video, "")
	u := &Upstream{s: s, track: here, done: make(chan struct{})}
	climbed := func(chain *chain) (out []uint32) {
		u.climb(1, chain)
		for _, m := range s.outbox.take() {
			out = append(out, m.GetResend().Seqs...)
		}
		return out
	}
	u.Resend(1, []uint16{7, 7})
	if got := climbed(nil); !slices.Equal(got, []uint32{7}) {
		t.Errorf("%v climbed before anything came", got)
	}
	c.got(1, 0, false, 0)
	c.got(4, 3, true, 0) // 3 is lost, 2 perhaps
	u.Resend(1, []uint16{2, 3, 1, 9})
	if got := climbed(&c); !slices.Equal(got, []uint32{9}) {
		t.Errorf("%v climbed, the link asks for 2 and 3 and has 1", got)
	}
	c.got(2, 1, true, 1)
	for now := int64(0); now < never; {
		_, now = collect(&c, now, rtt)
		u.Resend(1, []uint16{3})
		if got := climbed(&c); now < never && len(got) > 0 {
			t.Errorf("%v climbed while the link asks for it", got)
		} else if now == never && !slices.Equal(got, []uint32{3}) {
			t.Errorf("%v climbed when the link gave up", got)
		}
	}
	if got := climbed(&c); len(got) > 0 {
		t.Errorf("%v climbed again", got)
	}
	u.Resend(1, make([]uint16, 10))
	for q := range uint16(3 * maxResend) {
		u.Resend(1, []uint16{1000 + q})
	}
	if got := climbed(&c); len(got) != maxResend {
		t.Errorf("%d climbed, %d at most", len(got), maxResend)
	}
	u.Resend(relay.MaxSpatial, []uint16{1})
}
