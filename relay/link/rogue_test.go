package link

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"maille/relay"
	"maille/relay/track"
	"maille/relay/wire"

	linkpb "maille/proto/link"
)

// rogue is a certified peer, "a", that does not keep to the rules. It talks QUIC itself.
type rogue struct {
	t       testing.TB
	host    *host
	id      *testIdentity
	tr      *quic.Transport
	conn    *quic.Conn
	stream  *quic.Stream
	lane    *quic.Conn
	session uint64
}

// scene is a victim "m", an honest node "b" with a session to it, and a rogue.
type scene struct {
	*network
	m, b   *node
	sm, sb *Session // of m and b, with each other
	r      *rogue
	video  *result
	stop   func()
}

func (r *rogue) dial(kind linkpb.Hello_Kind) (*quic.Conn, *quic.Stream, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	to, _ := resolve(ctx, "10.0.0.9:7883")
	conn, err := r.tr.Dial(ctx, to, r.id.ClientTLS("m", ALPN), quicConfig(narrowPacket))
	if err != nil {
		return nil, nil, err
	}
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, nil, err
	}
	hello := &linkpb.Hello{Kind: kind, VersionMin: version, VersionMax: version, Name: "a", Session: r.session}
	if err := writeMessage(stream, hello); err != nil {
		return nil, nil, err
	}
	_ = stream.SetReadDeadline(time.Now().Add(3 * time.Second))
	return conn, stream, readMessage(stream, maxHello, new(linkpb.Welcome))
}

// enter makes a session with one lane.
func (r *rogue) enter() {
	var err error
	r.session++
	if r.conn, r.stream, err = r.dial(linkpb.Hello_KIND_CONTROL); err != nil {
		r.t.Fatal(err)
	}
	if r.lane, _, err = r.dial(linkpb.Hello_KIND_LANE); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rogue) tell(all ...*linkpb.Control) error {
	for _, c := range all {
		if err := writeMessage(r.stream, c); err != nil {
			return err
		}
	}
	return nil
}

func (r *rogue) send(b []byte) error { return r.lane.SendDatagram(b) }

func wants(handle int, room, id string) *linkpb.Control {
	return &linkpb.Control{Body: &linkpb.Control_Demand{Demand: &linkpb.Demand{
		Handle: uint32(handle), Track: &linkpb.TrackRef{Room: room, Id: id, Path: []string{"a"}}, Layers: uint32(relay.AllLayers),
	}}}
}

// newScene starts everything, with video of 500 packets a second from m to b.
func newScene(t testing.TB) *scene {
	n := newNetwork(1)
	ca := newTestCA(t)
	s := &scene{network: n, video: new(result)}
	s.m = startNode(t, n, ca.issue(t, "m"), "m", "10.0.0.9")
	s.b = startNode(t, n, ca.issue(t, "b"), "b", "10.0.0.2")
	h := n.host("10.0.0.1")
	s.r = &rogue{t: t, host: h, id: ca.issue(t, "a"), tr: &quic.Transport{Conn: h}}
	for _, x := range []*host{h, s.b.host} {
		n.both(x, s.m.host, conditions{delay: 10 * ms})
	}
	s.b.Peer("m", "10.0.0.9:7883")
	settle(500 * ms)
	s.sm, s.sb = s.m.Session("b"), s.b.Session("m")
	origin, here := track.New("TR_v", relay.Video, ""), track.New("TR_v", relay.Video, "")
	s.m.tracks["TR_v"] = origin
	here.Attach(&meter{mu: new(sync.Mutex), r: s.video, end: never}, relay.AllLayers)
	s.sb.Pull(TrackRef{Room: "r", ID: "TR_v"}, here)
	settle(200 * ms)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for seq := uint16(1); ; {
			select {
			case <-done:
				return
			case <-time.After(10 * ms):
			}
			for range 5 {
				p := fill(seq, 1000)
				stamp(p)
				s.video.sent++
				origin.Push(p)
				seq++
			}
		}
	})
	s.stop = func() {
		close(done)
		wg.Wait()
		settle(200 * ms)
		origin.Close()
		here.Close()
		_ = s.r.tr.Close()
		h.Close()
		s.m.stop()
		s.b.stop()
		n.close()
	}
	return s
}

// heap is what is held; pools give back what they hold at the second collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var st runtime.MemStats
	runtime.ReadMemStats(&st)
	return st.HeapAlloc
}

// Whatever one peer does costs itself: the others' sessions stay, lose nothing and are
// not delayed, and memory is bounded.
func TestRogueCostsOnlyItself(t *testing.T) {
	ask := func(gaps int) []byte {
		var all []wire.Gap
		for i := range gaps {
			all = append(all, wire.Gap{Handle: 1, From: uint16(32 * i), Mask: 0xffffffff})
		}
		return wire.AppendAsk(nil, all)
	}
	for _, c := range []struct {
		name string
		do   func(s *scene) // for some seconds
		ends bool           // its session
		said func(Stats) uint64
	}{
		{name: "bad datagrams", do: func(s *scene) {
			for i := range 3000 {
				b := []byte{byte(i % 9), byte(i), byte(i >> 8), byte(i * 7), 0xff, 0xff, 0xff, byte(i)}
				_ = s.r.send(b[:1+i%8])
				pass(ms)
			}
		}, said: func(st Stats) uint64 { return st.Drops["malformed"] }},
		{name: "frames of no stream", do: func(s *scene) {
			f := wire.Frame{Handle: 77, Payload: make([]byte, 5)}
			b := wire.NewBundle(make([]byte, 0, wire.MaxDatagram), wire.TypeMedia)
			for b.Len() < 1000 {
				b.Add(&f)
			}
			for i := range 3000 {
				_ = s.r.send(b.Seal(uint16(i)))
				pass(ms)
			}
		}, said: func(st Stats) uint64 { return st.Drops["unknown"] }},
		{name: "storm of requests", do: func(s *scene) {
			_ = s.r.tell(wants(1, "r", "TR_v"))
			pass(time.Second)
			for range 3000 {
				_ = s.r.send(ask(wire.MaxGaps))
				pass(ms)
			}
		}, said: func(st Stats) uint64 { return st.Excess }},
		{name: "reports that lie", do: func(s *scene) {
			_ = s.r.tell(wants(1, "r", "TR_v"))
			for i := range 3000 {
				b, _ := wire.AppendReport(nil, uint16(i*97), uint16(i*31), slices.Repeat([]wire.Arrival{{Got: i%2 == 0, At: uint32(i) << 20}}, wire.MaxReport))
				_ = s.r.send(b)
				pass(ms)
			}
		}},
		{name: "tracks that are not there", do: func(s *scene) {
			for i := range 5000 {
				_ = s.r.tell(wants(i, "room of nobody", fmt.Sprint("TR_", i)))
			}
			pass(3 * time.Second)
		}, said: func(st Stats) uint64 { return st.Refusals["unknown track"] }},
		{name: "one track a thousand times", do: func(s *scene) {
			for i := range 1000 {
				_ = s.r.tell(wants(i, "r", "TR_v"))
			}
			pass(3 * time.Second)
		}, said: func(st Stats) uint64 { return st.Refusals[errTooMany.Error()] }},
		{name: "demand to and fro", do: func(s *scene) {
			_ = s.r.tell(wants(1, "r", "TR_v"))
			for i := range 6000 {
				d := wants(1, "", "")
				d.GetDemand().Track, d.GetDemand().Layers = nil, uint32(i%2)*uint32(relay.AllLayers)
				_ = s.r.tell(d)
			}
			pass(3 * time.Second)
		}},
		{name: "reads nothing", do: func(s *scene) {
			_ = s.r.tell(wants(1, "r", "TR_v"))
			s.r.stream.CancelRead(0)
			for i := range 30000 {
				_ = s.r.tell(wants(i%60000, "x", "TR_none"))
			}
			pass(3 * time.Second)
		}},
		{name: "a message without end", do: func(s *scene) {
			_, _ = s.r.stream.Write(binary.BigEndian.AppendUint32(nil, 1<<31))
			pass(time.Second)
		}, ends: true},
		{name: "goes silent", do: func(s *scene) {
			s.both(s.r.host, s.m.host, conditions{cut: true})
			pass(2 * time.Second)
		}, ends: true},
		{name: "sessions over and over", do: func(s *scene) {
			var wg sync.WaitGroup
			for range 40 {
				wg.Go(func() {
					if conn, _, err := s.r.dial(linkpb.Hello_KIND_CONTROL); err == nil {
						pass(300 * ms)
						_ = conn.CloseWithError(0, "")
					}
				})
				pass(20 * ms)
			}
			wg.Wait()
		}, ends: true},
		{name: "lanes over and over", do: func(s *scene) {
			for range 2 * maxLanes {
				_, _, _ = s.r.dial(linkpb.Hello_KIND_LANE)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t)
				s.r.enter()
				settle(100 * ms)
				sa := s.m.Session("a")
				before := heap()
				// It answers probes, as one that means harm would.
				go func() {
					for {
						b, err := s.r.conn.ReceiveDatagram(context.Background())
						if err != nil {
							return
						}
						if id, err := wire.ParseProbe(b); err == nil && wire.TypeOf(b) == wire.TypeProbe {
							_ = s.r.conn.SendDatagram(wire.AppendProbe(nil, wire.TypeEcho, id))
						}
					}
				}()
				c.do(s)
				settle(500 * ms)
				if grown := int64(heap()) - int64(before); grown > 48<<20 {
					t.Errorf("%d MB more in use", grown>>20)
				}
				if ended := sa.ctx.Err() != nil; c.ends && !ended {
					t.Error("its session goes on")
				}
				if c.said != nil && c.said(sa.Stats()) == 0 {
					t.Errorf("nothing counted: %+v", sa.Stats())
				}
				if _, downs := s.b.counts(); downs != 0 || s.m.Session("b") != s.sm {
					t.Errorf("%d sessions of another peer ended", downs)
				}
				if lanes := len(sa.lanes.all()); lanes > maxLanes {
					t.Errorf("%d lanes", lanes)
				}
				s.stop()
				slices.Sort(s.video.delay)
				if s.video.share() < 1 || s.video.at(.99) > 15*ms {
					t.Errorf("another peer's video: %v", s.video)
				}
			})
		})
	}
}
