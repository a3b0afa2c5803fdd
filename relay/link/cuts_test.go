package link

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"maille/relay"
	"maille/relay/track"
)

// A link that is cut and comes back a thousand times leaves nothing behind: neither
// goroutines nor memory.
func TestThousandCutsLeaveNothing(t *testing.T) {
	cuts, warm := 1000, 100
	if testing.Short() || raceEnabled {
		cuts, warm = 100, 30
	}
	synctest.Test(t, func(t *testing.T) {
		one := func(c *Config) { c.Lanes, c.MaxLanes = 1, 1 }
		good := conditions{delay: 5 * ms}
		p := newPair(t, good, one)
		defer p.stop()
		origin, here := track.New("TR_v", relay.Video, ""), track.New("TR_v", relay.Video, "")
		p.a.mu.Lock()
		p.a.tracks["TR_v"] = origin
		p.a.mu.Unlock()
		came := 0
		here.Attach(sinkFunc(func(*relay.Packet) { came++ }), relay.AllLayers)
		p.b.mu.Lock()
		p.b.onUp = func(s *Session) {
			s.Pull(TrackRef{Room: "r", ID: "TR_v"}, here)
			if err := s.Send("roster", []byte("snapshot")); err != nil {
				t.Error(err)
			}
		}
		p.b.mu.Unlock()
		seq, served := uint16(0), 0
		count := func() (goroutines int, bytes uint64) {
			p.a.mu.Lock()
			p.b.mu.Lock()
			for _, n := range []*node{p.a, p.b} { // what the test itself keeps
				n.ups, n.downs = nil, nil
				clear(n.messages)
			}
			p.b.mu.Unlock()
			p.a.mu.Unlock()
			settle(15 * time.Second) // QUIC keeps what is left of closed connections for a while
			return runtime.NumGoroutine(), heap()
		}
		var goroutines int
		var bytes uint64
		for i := range cuts {
			if i == warm {
				goroutines, bytes = count()
			}
			p.sessions(t)
			before := came
			for range 5 {
				seq++
				origin.Push(fill(seq, 1000))
				pass(5 * ms)
			}
			settle(50 * ms)
			if came > before {
				served++
			}
			if i%10 == 0 { // most end at once, to save time; some in silence
				p.both(p.a.host, p.b.host, conditions{cut: true})
				settle(1300 * ms)
				p.both(p.a.host, p.b.host, good)
			} else if s := p.b.Session("a"); s != nil {
				s.end(ErrSilent)
			}
		}
		p.sessions(t)
		after, held := count()
		t.Logf("%d cuts: goroutines %d, then %d; heap %d kB, then %d kB", cuts, goroutines, after, bytes>>10, held>>10)
		if after > goroutines+3 {
			t.Errorf("%d goroutines, %d before", after, goroutines)
		}
		if int64(held)-int64(bytes) > 2<<20 {
			t.Errorf("%d kB more on the heap", (held-bytes)>>10)
		}
		if served < cuts*9/10 {
			t.Errorf("packets came in %d of %d sessions", served, cuts)
		}
		origin.Close()
		here.Close()
	})
}

// Law 7: what is encrypted end to end crosses byte for byte, whatever it looks like, in
// order, split or not.
func TestEncryptedPayloadsCrossUnchanged(t *testing.T) {
	for _, c := range []conditions{
		{delay: 20 * ms}, {delay: 20 * ms, loss: .05}, {delay: 20 * ms, mtu: narrowPacket + 28},
	} {
		if raceEnabled && c.loss == 0 {
			continue
		}
		t.Run(fmt.Sprint(c.loss, c.mtu), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, c)
				defer p.stop()
				_, sb := p.sessions(t)
				rng := rand.New(rand.NewPCG(1, 2))
				for _, kind := range []relay.Kind{relay.Video, relay.Audio} {
					id := relay.TrackID(kind.String())
					origin, here := track.New(id, kind, "video/VP8"), track.New(id, kind, "video/VP8")
					p.a.mu.Lock()
					p.a.tracks[id] = origin
					p.a.mu.Unlock()
					got := map[uint16][]byte{}
					here.Attach(sinkFunc(func(p *relay.Packet) {
						got[p.Seq] = slices.Clone(p.Payload)
					}), relay.AllLayers)
					sb.Pull(TrackRef{Room: "r", ID: id}, here)
					settle(5 * time.Second)
					want := map[uint16][]byte{}
					for seq := uint16(1); seq <= 400; seq++ {
						pk := relay.NewPacket()
						pk.Seq, pk.SSRC, pk.Arrived = seq, 7, relay.Now()
						pk.Keyframe, pk.FrameStart, pk.Marker = rng.IntN(9) == 0, rng.IntN(2) == 0, rng.IntN(2) == 0
						size := []int{0, 1, 20, 580, 999, 1100, 1160, 1163, 1186, 1187, 1188, 1200, 1330}[rng.IntN(13)]
						pk.Payload = pk.Buffer()[:size]
						for i := range pk.Payload {
							pk.Payload[i] = byte(rng.Uint32())
						}
						if seq%50 == 0 {
							clear(pk.Payload) // and what looks like padding
						}
						want[seq] = slices.Clone(pk.Payload)
						origin.Push(pk)
						pass(5 * ms)
					}
					settle(time.Second)
					if len(got) < 395 || c.loss == 0 && len(got) != 400 {
						t.Errorf("%v: %d of 400 came", kind, len(got))
					}
					for seq, b := range got {
						if !slices.Equal(b, want[seq]) {
							t.Errorf("%v %d: %d bytes differ from %d", kind, seq, len(b), len(want[seq]))
						}
					}
					origin.Close()
					here.Close()
				}
			})
		})
	}
}

// A peer that reads none of many channels is let go before they hold too much together.
func TestChannelsAreBoundedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.r.enter()
		settle(100 * ms)
		sa := s.m.Session("a")
		msg := make([]byte, maxMessage)
		var err error
		for i := 0; i < 100 && err == nil; i++ {
			err = sa.Send(fmt.Sprint("channel ", i), msg)
			sa.channels.mu.Lock()
			if sa.channels.held > channelsBytes {
				t.Errorf("%d bytes held", sa.channels.held)
			}
			sa.channels.mu.Unlock()
		}
		if !errors.Is(err, ErrFull) {
			t.Error(err)
		}
		s.stop()
	})
}
