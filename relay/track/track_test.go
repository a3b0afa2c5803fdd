package track

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"maille/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = int64(1e6)

// sink records what it is given.
type sink struct {
	mu     sync.Mutex
	seqs   []uint16
	clocks []relay.Clock
	closed int
	onPush func(*relay.Packet)
}

func (s *sink) Push(p *relay.Packet) {
	s.mu.Lock()
	s.seqs = append(s.seqs, p.Seq)
	s.mu.Unlock()
	if s.onPush != nil {
		s.onPush(p)
	}
}
func (s *sink) Clock(c relay.Clock) { s.clocks = append(s.clocks, c) }
func (s *sink) Close()              { s.closed++ }

// source records what climbs.
type source struct {
	demands   []relay.LayerSet
	keyframes []uint8
	resends   [][]uint16
	onDemand  func(relay.LayerSet)
}

func (s *source) Demand(d relay.LayerSet) {
	s.demands = append(s.demands, d)
	if s.onDemand != nil {
		s.onDemand(d)
	}
}
func (s *source) Keyframe(spatial uint8)          { s.keyframes = append(s.keyframes, spatial) }
func (s *source) Resend(_ uint8, missed []uint16) { s.resends = append(s.resends, missed) }

func packet(seq uint16, change func(*relay.Packet)) *relay.Packet {
	p := relay.NewPacket()
	p.Seq, p.Arrived = seq, 1
	p.Payload = p.Buffer()[12:100]
	if change != nil {
		change(p)
	}
	return p
}

func onLayer(spatial, temporal uint8) func(*relay.Packet) {
	return func(p *relay.Packet) { p.Encoding, p.Spatial, p.Temporal = spatial, spatial, temporal }
}

func newTrack(t testing.TB, options ...Option) *Track {
	track := New("TR_a", relay.Video, "video/VP8", options...)
	t.Cleanup(track.Close)
	return track
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func TestPushReachesSinksThatWantTheLayer(t *testing.T) {
	track := newTrack(t)
	low, none, listening := &sink{}, &sink{}, &sink{}
	track.Attach(low, relay.UpTo(0, 0))
	track.Attach(none, relay.NoLayers)
	track.Attach(listening, relay.UpTo(0, 0)).Hear(relay.Spatial(0))
	for i := range uint8(8) {
		track.Push(packet(uint16(i), onLayer(i%2, i/4)))
	}
	equal(t, "low", low.seqs, []uint16{0, 2})
	equal(t, "none", none.seqs, nil)
	equal(t, "listening", listening.seqs, []uint16{0, 2, 4, 6})
	equal(t, "demand", track.Demand(), relay.UpTo(0, 0))
	equal(t, "drops", track.Stats().Drops, map[string]uint64{"not_wanted": 4})
}

func TestDuplicatesStopHereAndLatePacketsPass(t *testing.T) {
	track := newTrack(t)
	got := &sink{}
	track.Attach(got, relay.AllLayers)
	for _, seq := range []uint16{65534, 65535, 2, 2, 1, 65534, 0, 1, 3, 10} {
		track.Push(packet(seq, nil))
	}
	equal(t, "sink", got.seqs, []uint16{65534, 65535, 2, 1, 0, 3, 10})
	equal(t, "stats", track.Stats().Encodings[0],
		EncodingStats{Packets: 7, Bytes: 7 * 88, Duplicates: 3, Lost: 6})
	equal(t, "drops", track.Stats().Drops, map[string]uint64{"duplicate": 3})
}

func TestPacketsBeyondBoundsAreDropped(t *testing.T) {
	track := newTrack(t)
	got := &sink{}
	track.Attach(got, relay.AllLayers)
	track.Push(packet(1, func(p *relay.Packet) { p.Encoding = relay.MaxSpatial }))
	track.Push(packet(2, func(p *relay.Packet) { p.Spatial = relay.MaxSpatial }))
	track.Push(packet(3, func(p *relay.Packet) { p.Temporal = relay.MaxTemporal }))
	track.Clock(relay.Clock{Spatial: relay.MaxSpatial})
	if track.Lookup(relay.MaxSpatial, 1) != nil {
		t.Fatal("found a packet of no encoding")
	}
	if _, ok := track.LastClock(relay.MaxSpatial); ok {
		t.Fatal("found a clock of no encoding")
	}
	track.Resend(relay.MaxSpatial, []uint16{1})
	equal(t, "drops", track.Stats().Drops, map[string]uint64{"malformed": 4})
	equal(t, "sink", got.seqs, nil)
}

func TestLookup(t *testing.T) {
	track := newTrack(t)
	track.Push(packet(7, onLayer(1, 0)))
	if p := track.Lookup(0, 7); p != nil {
		t.Fatal("encodings share no numbers")
	}
	p := track.Lookup(1, 7)
	if p == nil || p.Seq != 7 {
		t.Fatalf("got %+v", p)
	}
	p.Release()
}

func TestClocks(t *testing.T) {
	track := newTrack(t)
	got := &sink{}
	track.Attach(got, relay.NoLayers)
	c := relay.Clock{Spatial: 1, NTP: 1 << 32, RTP: 90000, Arrived: 5}
	track.Clock(c)
	last, ok := track.LastClock(1)
	if _, other := track.LastClock(0); !ok || other {
		t.Fatal("a clock belongs to its encoding")
	}
	equal(t, "last", last, c)
	equal(t, "sink", got.clocks, []relay.Clock{c})
}

// A publisher that floods with sender reports does not make links do so.
func TestClocksArePaced(t *testing.T) {
	track := newTrack(t)
	got := &sink{}
	track.Attach(got, relay.NoLayers)
	for i := range int64(1000) {
		track.Clock(relay.Clock{Arrived: i * ms})
		track.Clock(relay.Clock{Spatial: 1, Arrived: i * ms})
	}
	equal(t, "passed in a second", len(got.clocks), 2*10)
	last, _ := track.LastClock(0)
	equal(t, "the last that passed", last.Arrived, int64(900*ms))
}

func TestLive(t *testing.T) {
	now := int64(0)
	track := newTrack(t, WithClock(func() int64 { return now }))
	equal(t, "at first", track.Live(), relay.NoLayers)
	arrive := func(seq uint16, spatial, temporal uint8, at int64) {
		track.Push(packet(seq, func(p *relay.Packet) { onLayer(spatial, temporal)(p); p.Arrived = at }))
	}
	arrive(1, 0, 0, 100*ms)
	arrive(1, 2, 1, 800*ms)
	now = 1000 * ms
	equal(t, "both", track.Live(), relay.Layer(0, 0)|relay.Layer(2, 1))
	now = 1500 * ms
	equal(t, "one fell silent", track.Live(), relay.Layer(2, 1))
}

func TestCloseEndsSinksOnce(t *testing.T) {
	track := New("TR_a", relay.Audio, "audio/opus")
	src, kept, left := &source{}, &sink{}, &sink{}
	track.SetSource(src)
	track.Attach(kept, relay.AllLayers)
	tap := track.Attach(left, relay.AllLayers)
	tap.Detach()
	tap.Detach()
	track.Push(packet(1, nil))
	track.Close()
	track.Close()
	late := &sink{}
	track.Attach(late, relay.AllLayers).Detach()
	track.Push(packet(2, nil))
	equal(t, "closed", []int{kept.closed, left.closed, late.closed}, []int{1, 0, 1})
	equal(t, "pushed", kept.seqs, []uint16{1})
	equal(t, "demand at last", src.demands[len(src.demands)-1], relay.NoLayers)
	if track.Lookup(0, 1) != nil {
		t.Fatal("a closed track keeps packets")
	}
}

// What a sink may do from within a Push: everything but Push and Replay.
func TestSinkActsWithinPush(t *testing.T) {
	track := newTrack(t)
	track.SetSource(&source{})
	got := &sink{}
	tap := track.Attach(got, relay.AllLayers)
	got.onPush = func(p *relay.Packet) {
		tap.Want(relay.Spatial(0))
		tap.Keyframe(1)
		track.Resend(0, []uint16{p.Seq - 1})
		if same := track.Lookup(p.Encoding, p.Seq); same == nil {
			t.Error("a packet is in the ring before it is given to sinks")
		} else {
			same.Release()
		}
		track.Stats()
		tap.Detach()
	}
	track.Push(packet(1, nil))
	track.Push(packet(2, nil))
	equal(t, "until it left", got.seqs, []uint16{1})
}

// Many pushers, sinks that come, go and change their minds, a source replaced, and an
// end in the middle of it: for the race detector, and no packet may be lost to a sink
// that stays.
func TestConcurrentUse(t *testing.T) {
	const packets = 500
	track := newTrack(t)
	var stayed atomic.Int64
	track.Attach(counter{&stayed}, relay.AllLayers)
	var wg sync.WaitGroup
	for encoding := range uint8(relay.MaxSpatial) {
		wg.Go(func() {
			for seq := range uint16(packets) {
				track.Push(packet(seq, onLayer(encoding, 0)))
			}
		})
		wg.Go(func() {
			for i := range packets {
				tap := track.Attach(counter{new(atomic.Int64)}, relay.Spatial(encoding))
				tap.Want(relay.AllLayers)
				tap.Keyframe(encoding)
				tap.Replay(encoding)
				track.Resend(encoding, []uint16{uint16(i)})
				if p := track.Lookup(encoding, uint16(i)); p != nil {
					p.Release()
				}
				track.SetSource(quiet{})
				track.Clock(relay.Clock{Spatial: encoding})
				tap.Detach()
			}
		})
	}
	wg.Wait()
	equal(t, "the one that stayed", stayed.Load(), int64(packets*relay.MaxSpatial))
	track.Close()
}

type counter struct{ n *atomic.Int64 }

func (c counter) Push(*relay.Packet) { c.n.Add(1) }
func (c counter) Clock(relay.Clock)  {}
func (c counter) Close()             {}

type quiet struct{}

func (quiet) Demand(relay.LayerSet)  {}
func (quiet) Keyframe(uint8)         {}
func (quiet) Resend(uint8, []uint16) {}
