package rtc

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"maille/bench/sim"
	"maille/relay"
	"maille/relay/track"
)

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
		if len(src.climbed()) != before || s.pending.Len() != 0 {
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
		if n := s.pending.Len(); n != 0 {
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
