package link

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"maille/relay"
	"maille/relay/track"
)

const ms = time.Millisecond

func TestTrackCrossesWithItsMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 20 * ms})
		defer p.stop()
		sb, _ := func() (*Session, *Session) { a, b := p.sessions(t); return b, a }()

		src := &source{}
		origin := track.New("TR_v", relay.Video, "video/VP8")
		origin.SetSource(src)
		p.a.tracks["TR_v"] = origin
		origin.Clock(relay.Clock{Spatial: 1, NTP: 7, RTP: 9})

		here := track.New("TR_v", relay.Video, "video/VP8")
		var got sink
		here.Attach(&got, relay.AllLayers)
		up := sb.Pull(TrackRef{Room: "r", ID: "TR_v"}, here)
		settle(200 * ms)
		if src.demand != relay.AllLayers {
			t.Errorf("source was asked for %b", src.demand)
		}

		var want []*relay.Packet
		for i := range 100 {
			size := 1198 - 28
			if i%10 == 3 {
				size = 1300 // needs two datagrams
			}
			if i%10 == 4 {
				size = 30
			}
			pk := fill(uint16(65500+i), size)
			pk.Encoding, pk.Spatial, pk.Temporal = 1, 1, uint8(i%3)
			pk.Marker, pk.Keyframe, pk.FrameStart, pk.SwitchPoint = i%2 == 0, i == 0, i%3 == 0, i%5 == 0
			pk.Level, pk.Voice, pk.HasLevel = uint8(i), true, i%4 == 0
			buf := pk.Buffer()
			if i%7 == 0 {
				pk.Descriptor = append(buf[1400:1400], 1, 2, byte(i))
				pk.CaptureTime = append(buf[1450:1450], 1, 2, 3, 4, 5, 6, 7, 8)
			}
			pk.Retain()
			want = append(want, pk)
			origin.Push(pk)
			settle(5 * ms)
		}
		settle(200 * ms)
		if got.len() != len(want) {
			t.Fatalf("got %d packets, want %d", got.len(), len(want))
		}
		for i, w := range want {
			g := got.packets[i]
			if err := same(w, g); err != nil {
				t.Errorf("packet %d: %v", i, err)
			}
			g.Release()
			w.Release()
		}
		if len(got.clocks) != 1 || got.clocks[0].NTP != 7 || got.clocks[0].RTP != 9 || got.clocks[0].Spatial != 1 {
			t.Errorf("clocks %+v", got.clocks)
		}
		if st := sb.Stats(); len(st.Streams) != 1 || st.Streams[0].Packets != 100 || st.Streams[0].Lost != 0 {
			t.Errorf("stats %+v", st.Streams)
		}
		up.Close()
		settle(10 * time.Second) // demand falls late, and with a packet that comes
		origin.Push(fill(200, 10))
		settle(200 * ms)
		if src.demand != relay.NoLayers {
			t.Errorf("after Close the source is asked for %b", src.demand)
		}
		origin.Close()
		here.Close()
	})
}

func same(a, b *relay.Packet) error {
	type header struct {
		Seq                                     uint16
		TS, SSRC                                uint32
		PT, Sp, Te, En, Level                   uint8
		Marker, Key, Start, Switch, Voice, HasL bool
		Desc, Capture                           string
	}
	of := func(p *relay.Packet) header {
		return header{
			p.Seq, p.Timestamp, p.SSRC, p.PayloadType, p.Spatial, p.Temporal, p.Encoding, p.Level,
			p.Marker, p.Keyframe, p.FrameStart, p.SwitchPoint, p.Voice, p.HasLevel, string(p.Descriptor), string(p.CaptureTime),
		}
	}
	wa, wb := of(a), of(b)
	if !a.HasLevel {
		wa.Level, wa.Voice, wb.Level, wb.Voice = 0, false, 0, false
	}
	if wa != wb {
		return fmt.Errorf("header\n got %+v\nwant %+v", wb, wa)
	}
	if !bytes.Equal(a.Payload, b.Payload) {
		return fmt.Errorf("payload of %d bytes differs from %d", len(b.Payload), len(a.Payload))
	}
	return nil
}

func TestDemandKeyframeRefusalAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 20 * ms})
		defer p.stop()
		_, sb := p.sessions(t)
		src := &source{}
		origin := track.New("TR_v", relay.Video, "video/VP8")
		origin.SetSource(src)
		p.a.tracks["TR_v"] = origin

		here := track.New("TR_v", relay.Video, "video/VP8")
		var got sink
		tap := here.Attach(&got, relay.UpTo(0, 0))
		up := sb.Pull(TrackRef{ID: "TR_v"}, here)
		push := func(from, to uint16) {
			for i := from; i < to; i++ {
				pk := fill(i, 500)
				pk.Temporal = uint8(i % 2)
				origin.Push(pk)
				settle(10 * ms)
			}
			settle(100 * ms)
		}
		settle(100 * ms)
		push(1, 21)
		if n := got.len(); n != 10 {
			t.Errorf("base layer: %d packets, want 10", n)
		}
		if st := sb.Stats().Streams[0]; st.Lost != 0 {
			t.Errorf("layers not asked for count as lost: %d", st.Lost)
		}
		tap.Want(relay.AllLayers)
		settle(100 * ms)
		push(21, 30) // 30 was lost before us
		push(31, 42)
		if n := got.len(); n != 30 {
			t.Errorf("all layers: %d packets, want 30", n)
		}
		tap.Keyframe(0)
		settle(100 * ms)
		if len(src.keyframes) != 1 || src.keyframes[0] != 0 {
			t.Errorf("keyframe requests %v", src.keyframes)
		}
		here.Resend(0, []uint16{5, 30})
		settle(100 * ms)
		if len(src.resends) != 1 || src.resends[0] != 30 {
			t.Errorf("resends that climb: %v, want the one the ring lacks", src.resends)
		}
		tap.Want(relay.NoLayers)
		settle(100 * ms)
		push(42, 61)
		if n := got.len(); n > 31 {
			t.Errorf("%d packets though nothing is wanted", n)
		}
		if up.Err() != nil {
			t.Error("upstream ended without cause:", up.Err())
		}
		origin.Close()
		<-up.Done()
		if !errors.Is(up.Err(), ErrEnded) {
			t.Error("end of the track:", up.Err())
		}

		for name, ref := range map[string]TrackRef{
			"unknown": {ID: "TR_x"}, "loop": {ID: "TR_v", Path: []string{"a"}},
			"far": {ID: "TR_v", Path: []string{"x", "y", "z", "q"}},
		} {
			other := track.New(ref.ID, relay.Video, "video/VP8")
			refused := sb.Pull(ref, other)
			<-refused.Done()
			if !errors.Is(refused.Err(), ErrRefused) {
				t.Errorf("%s: %v", name, refused.Err())
			}
			other.Close()
		}
		here.Close()
		for _, pk := range got.packets {
			pk.Release()
		}
	})
}

func TestStatsSayWhatTheLinkDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ld := load{videos: 4, videoPPS: 125, size: 1198, audios: 2, warm: time.Second, measured: 5 * time.Second}
		var demand float64
		x := deliver(t, conditions{delay: 50 * ms, loss: .05}, ld, func(p *pair, at time.Duration) {
			if at.Truncate(100*ms) == 4*time.Second {
				demand = p.a.Session("b").Stats().Demand
			}
		})
		if want := 500*1198.0 + 100*80; demand < .8*want || demand > 1.2*want {
			t.Errorf("demand %.0f bytes a second, want about %.0f", demand, want)
		}
		// Requests name a packet or two here, of which a twentieth is lost on its way; at
		// this loss answers go twice.
		if x.b.Asked < 50 || x.a.Answered < x.b.Asked/2 || x.a.Answered > 4*x.b.Asked {
			t.Errorf("asked %d, answered %d, late %d", x.b.Asked, x.a.Answered, x.b.RepairsLate)
		}
	})
}

func TestChannelsKeepOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 20 * ms, loss: 0.05})
		defer p.stop()
		sa, sb := p.sessions(t)
		for i := range 300 {
			for _, s := range []*Session{sa, sb} {
				for _, ch := range []string{"x", "y"} {
					if err := s.Send(ch, fmt.Append(nil, i)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		settle(5 * time.Second)
		for _, n := range []*node{p.a, p.b} {
			n.mu.Lock()
			for _, ch := range []string{"x", "y"} {
				if len(n.messages[ch]) != 300 {
					t.Errorf("%s got %d messages on %s", n.name, len(n.messages[ch]), ch)
				}
				for i, m := range n.messages[ch] {
					if m != fmt.Sprint(i) {
						t.Fatalf("%s: message %d on %s is %q", n.name, i, ch, m)
					}
				}
			}
			n.mu.Unlock()
		}
		if err := sa.Send("z", make([]byte, maxMessage+1)); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
	})
}

func TestCutIsSeenAndHeals(t *testing.T) {
	for _, c := range []struct {
		name   string
		cut    func(p *pair, cut bool)
		within time.Duration
	}{
		{"both ways", func(p *pair, cut bool) { p.both(p.a.host, p.b.host, conditions{delay: 20 * ms, cut: cut}) }, 1300 * ms},
		{"one way", func(p *pair, cut bool) { p.set(p.a.host, p.b.host, conditions{delay: 20 * ms, cut: cut}) }, 1300 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, conditions{delay: 20 * ms})
				defer p.stop()
				_, sb := p.sessions(t)
				origin := track.New("TR_v", relay.Video, "video/VP8")
				p.a.tracks["TR_v"] = origin
				here := track.New("TR_v", relay.Video, "video/VP8")
				up := sb.Pull(TrackRef{ID: "TR_v"}, here)
				settle(time.Second)

				c.cut(p, true)
				began := time.Now()
				<-up.Done()
				if took := time.Since(began); took > c.within {
					t.Errorf("upstream ended after %v", took)
				}
				settle(c.within - time.Since(began))
				for _, n := range []*node{p.a, p.b} {
					if ups, downs := n.counts(); ups != 1 || downs != 1 {
						t.Errorf("%s: %d ups, %d downs", n.name, ups, downs)
					}
				}
				settle(10 * time.Second)
				c.cut(p, false)
				began = time.Now()
				p.sessions(t)
				if took := time.Since(began); took > redialMax+handshakeAfter {
					t.Errorf("up again after %v", took)
				}
				origin.Close()
				here.Close()
			})
		})
	}
}

func TestStrangersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(1)
		ca, other := newTestCA(t), newTestCA(t)
		b := startNode(t, n, ca.issue(t, "b"), "b", "10.0.0.2")
		// trusting trusts the cluster's CA but shows a certificate that the cluster does not.
		trusting := func(name string, cert *testIdentity) *testIdentity {
			return &testIdentity{ca: ca, cert: cert.cert}
		}
		strangers := []*node{
			startNode(t, n, other.issue(t, "a"), "a", "10.0.0.3"),
			startNode(t, n, trusting("a", other.issue(t, "a")), "a", "10.0.0.4"),
			startNode(t, n, &testIdentity{ca: ca}, "a", "10.0.0.5"),
			startNode(t, n, ca.issue(t, "aa"), "a", "10.0.0.6"), // another node's name
		}
		for _, s := range strangers {
			s.Peer("b", "10.0.0.2:7883")
		}
		settle(3 * time.Second)
		if ups, _ := b.counts(); ups != 0 {
			t.Errorf("%d sessions with strangers", ups)
		}
		if r := b.Refused(); r["handshake"] == 0 || r["name"] == 0 {
			t.Errorf("refusals %v", r)
		}
		// A certified node behind the address of another is not what was asked for.
		c := startNode(t, n, ca.issue(t, "a"), "a", "10.0.0.7")
		c.Peer("d", "10.0.0.2:7883")
		settle(3 * time.Second)
		if ups, _ := c.counts(); ups != 0 {
			t.Error("session with the wrong peer")
		}
		for _, s := range append(strangers, b, c) {
			s.stop()
		}
		n.close()
	})
}

func TestSecondSessionReplacesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(1)
		ca := newTestCA(t)
		b := startNode(t, n, ca.issue(t, "b"), "b", "10.0.0.2")
		a := startNode(t, n, ca.issue(t, "a"), "a", "10.0.0.1")
		a.Peer("b", "10.0.0.2:7883")
		settle(time.Second)
		// The same node comes back from elsewhere before its old session was missed.
		n.both(a.host, b.host, conditions{cut: true})
		a2 := startNode(t, n, ca.issue(t, "a"), "a", "10.0.0.3")
		a2.Peer("b", "10.0.0.2:7883")
		settle(300 * ms)
		b.mu.Lock()
		if len(b.ups) != 2 || len(b.downs) != 1 || !errors.Is(b.downs[0], ErrReplaced) {
			t.Errorf("ups %d, downs %v", len(b.ups), b.downs)
		}
		b.mu.Unlock()
		if len(b.Sessions()) != 1 || len(a2.Sessions()) != 1 {
			t.Error("not exactly one session")
		}
		for _, x := range []*node{a, a2, b} {
			x.stop()
		}
		n.close()
	})
}

func TestPeerThatDoesNotDrainLosesItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 20 * ms})
		defer p.stop()
		sa, _ := p.sessions(t)
		var err error
		for range 3 * channelQueue {
			if err = sa.Send("x", []byte("m")); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		settle(2 * time.Second)
		if ups, downs := p.a.counts(); ups != 2 || downs != 1 {
			t.Errorf("%d ups, %d downs; want a new session", ups, downs)
		}
	})
}
