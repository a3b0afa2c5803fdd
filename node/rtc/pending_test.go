package rtc

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"pgregory.net/rapid"

	"maille/bench/sim"
	"maille/relay"
	"maille/relay/track"
)

// Whatever comes, the list is bounded, each packet climbs a few times and is answered
// once.
func TestPendingIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q pending
		now := int64(1e9)
		climbed := make(map[uint16]int)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			now += int64(rapid.IntRange(0, 60).Draw(t, "ms")) * 1e6
			origin := uint16(rapid.IntRange(0, 300).Draw(t, "origin"))
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				before := len(q.list)
				q.add(origin+1000, 1, origin, now)
				q.add(origin+1000, 1, origin, now)
				if len(q.list) > before+1 || len(q.list) > maxPending {
					t.Fatalf("%d packets wait after %d", len(q.list), before)
				}
			case 1:
				if seq, ok := q.came(1, origin); ok && seq != origin+1000 {
					t.Fatalf("%d is answered as %d", origin, seq)
				}
				delete(climbed, origin)
				if _, again := q.came(1, origin); again {
					t.Fatal("answered twice")
				}
			case 2:
				for _, m := range q.list {
					if m.due <= now && now < q.next {
						t.Fatalf("due at %d, looked at from %d", m.due, q.next)
					}
				}
				ask := q.due(now)
				for _, o := range ask[1] {
					if climbed[o]++; climbed[o] > 2*climbTries*(maxPending+1) {
						t.Fatalf("%d climbs for ever", o)
					}
				}
				for _, m := range q.list {
					if m.tries > climbTries || m.due <= now {
						t.Fatalf("%+v at %d", m, now)
					}
				}
			}
		}
	})
}

func TestSettled(t *testing.T) {
	var l settled
	l.add(7, 1000e6)
	for _, tt := range []struct {
		seq      uint16
		now, rtt int64
		want     bool
	}{
		{7, 1001e6, 0, true},
		{7, 1049e6, 0, false},
		{8, 1001e6, 0, false},
		{7, 1080e6, 100e6, true},
		{7, 1090e6, 100e6, false},
		{7, 1400e6, 10e9, false},
	} {
		if got := l.crossing(tt.seq, tt.now, tt.rtt); got != tt.want {
			t.Errorf("%d at %d ms with a round trip of %d ms: %t", tt.seq, tt.now/1e6, tt.rtt/1e6, got)
		}
	}
	for i := range 1000 {
		l.add(uint16(100+i), 2e9)
	}
	if len(l.list) != maxSettled || l.crossing(7, 1001e6, 0) || !l.crossing(1099, 2e9, 0) {
		t.Errorf("%d entries", len(l.list))
	}
}

func count(packets []rtp.Packet, seq uint16) (n int) {
	for _, p := range packets {
		if p.PayloadType == 97 { // retransmission format
			if uint16(p.Payload[0])<<8|uint16(p.Payload[1]) == seq {
				n++
			}
		} else if p.SequenceNumber == seq {
			n++
		}
	}
	return n
}

// A packet that is late to this node is sent the moment it comes, once, whatever the
// client asked meanwhile; upstream is left alone until it had time to repair.
func TestLatePacketAnswersItsNack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &askedOf{}
		tr := track.New("TR_V", relay.Video, webrtc.MimeTypeVP8)
		defer tr.Close()
		tr.SetSource(src)
		s, k := watch(tr, Down{MaxSpatial: 0, MaxTemporal: 3}, exactDemand, relay.Now)
		cam := &camera{now: relay.Now, seq: 65530}
		push := func(n int) {
			for range n {
				tr.Push(cam.next())
				tick(5 * time.Millisecond)
			}
		}
		push(10)
		missing := cam.next()
		tr.Push(cam.next())
		gap := k.got()[10].SequenceNumber - 1
		if k.got()[9].SequenceNumber != gap-1 {
			t.Fatal("no number is kept for what is missing")
		}
		nack := func() { s.answer(relay.Now(), []uint16{gap}) }

		nack()
		push(4)
		nack()
		if n := len(src.climbed()); n != 0 {
			t.Errorf("asked upstream %d times within 20 ms", n)
		}
		for range 10 {
			push(4)
			nack()
		}
		if c := src.climbed(); len(c) == 0 || len(c) > 3 || slices.ContainsFunc(c, func(o uint16) bool { return o != missing.Seq }) {
			t.Errorf("asked upstream for %v in 200 ms", c)
		}
		if n := count(k.got(), gap); n != 0 {
			t.Fatalf("%d packets before there is one", n)
		}
		missing.Arrived = relay.Now()
		tr.Push(missing)
		nack() // crosses
		if n := count(k.got(), gap); n != 1 {
			t.Errorf("sent %d times when it came", n)
		}
		if s.Stats().Resent != 0 {
			t.Error("the first time counts as a repair")
		}
		before := len(src.climbed())
		push(40)
		if len(src.climbed()) != before || len(s.pending.list) != 0 {
			t.Error("still asked for after it came")
		}
		nack() // the client did not get it
		if n := count(k.got(), gap); n != 2 {
			t.Errorf("sent %d times", n)
		}
	})
}

// What never comes is not waited for without end.
func TestLostPacketIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &askedOf{}
		tr := track.New("TR_V", relay.Video, webrtc.MimeTypeVP8)
		defer tr.Close()
		tr.SetSource(src)
		s, k := watch(tr, Down{MaxSpatial: 0, MaxTemporal: 3}, exactDemand, relay.Now)
		cam := &camera{now: relay.Now, seq: 1}
		for n := range 2000 {
			p := cam.next()
			if n%20 == 10 {
				p.Release()
				continue
			}
			tr.Push(p)
			if n%20 == 11 {
				out := k.got()
				s.answer(relay.Now(), []uint16{out[len(out)-1].SequenceNumber - 1})
			}
			tick(5 * time.Millisecond)
		}
		for range 4 {
			tick(250 * time.Millisecond)
			s.tick(relay.Now())
		}
		if n := len(src.climbed()); n == 0 || n > 3*100 {
			t.Errorf("%d requests for 100 packets", n)
		}
		if n := len(s.pending.list); n != 0 {
			t.Errorf("%d packets are still waited for", n)
		}
	})
}

// Loss on a link is repaired by the link; a client that asks at once, and again and
// again, makes no traffic of its own and misses nothing.
func TestLossOnALinkMakesNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelayed(t, sim.Path{Delay: 50 * time.Millisecond, Loss: 0.03})
		defer r.close()
		s, k := watch(r.here, Down{MaxSpatial: 0, MaxTemporal: 3}, exactDemand, relay.Now)
		tick(200 * time.Millisecond)
		cam := &camera{now: relay.Now, seq: 65000}
		nacked := 0
		for i := range 3000 {
			r.origin.Push(cam.next())
			tick(4 * time.Millisecond)
			if i%5 == 0 { // as browsers do: everything missing, every 20 ms
				missing := holes(k.got())
				nacked += len(missing)
				s.answer(relay.Now(), missing)
			}
		}
		tick(time.Second)
		out := k.got()
		if missing := holes(out); len(missing) > 3 || len(out) < 2990 {
			t.Errorf("%d packets, %d missing for good", len(out), len(missing))
		}
		again := s.Stats().Resent
		t.Logf("%d packets asked for %d times, resent %d, climbed to the origin's source %d", len(out), nacked, again, len(r.src.climbed()))
		if nacked < 50 {
			t.Fatal("the path lost nothing: the test tests nothing")
		}
		if again > 10 {
			t.Errorf("%d packets resent to a client that lost none", again)
		}
		if n := len(r.src.climbed()); n > 0 {
			t.Errorf("%d requests reach the publisher, who lost none", n)
		}
	})
}

// holes returns what a client misses among the last 300 numbers.
func holes(packets []rtp.Packet) (missing []uint16) {
	seen := make(map[uint16]bool)
	var last uint16
	for _, p := range packets {
		seq := p.SequenceNumber
		if p.PayloadType == 97 {
			seq = uint16(p.Payload[0])<<8 | uint16(p.Payload[1])
		}
		if len(seen) == 0 || int16(seq-last) > 0 {
			last = seq
		}
		seen[seq] = true
	}
	for seq := last - uint16(min(300, len(seen)-1)); len(seen) > 0 && seq != last; seq++ {
		if !seen[seq] {
			missing = append(missing, seq)
		}
	}
	return missing
}
