package rtc

import (
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"maille/bench/sim"
	"maille/mesh/identity"
	"maille/relay"
	"maille/relay/link"
	"maille/relay/track"
)

// keep is a TrackLocalWriter that remembers.
type keep struct {
	mu      sync.Mutex // guards packets
	packets []rtp.Packet
}

func (k *keep) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := h.Clone()
	k.packets = append(k.packets, rtp.Packet{Header: c, Payload: slices.Clone(payload)})
	return len(payload), nil
}
func (k *keep) Write([]byte) (int, error) { panic("rtc: raw write") }

func (k *keep) got() []rtp.Packet {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.packets)
}

// askedOf is a relay.Source that remembers what it is asked for.
type askedOf struct {
	mu      sync.Mutex // guards all below
	demand  relay.LayerSet
	resends []uint16
	keys    int
}

func (s *askedOf) Demand(l relay.LayerSet) { s.mu.Lock(); defer s.mu.Unlock(); s.demand = l }
func (s *askedOf) Keyframe(uint8)          { s.mu.Lock(); defer s.mu.Unlock(); s.keys++ }
func (s *askedOf) Resend(_ uint8, seqs []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resends = append(s.resends, seqs...)
}

func (s *askedOf) layers() relay.LayerSet { s.mu.Lock(); defer s.mu.Unlock(); return s.demand }

func (s *askedOf) climbed() []uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.resends)
}

// watch attaches a subscriber without a connection to a track.
func watch(tr *track.Track, d Down, exact bool, now func() int64) (*Subscriber, *keep) {
	p := &Peer{engine: &Engine{now: now}, done: make(chan struct{})}
	p.down.init()
	close(p.done) // nothing reads RTCP
	k := &keep{}
	d.Sid, d.Stream, d.Kind, d.Mime = tr.ID(), "PA_x|TR_X", tr.Kind(), tr.Mime()
	s := newSubscriber(p, d, tr)
	s.out.exact = exact
	s.bound.Store(&binding{writer: k, pt: 96, rtx: 97, ssrc: 1, rtxSSRC: 2, usable: true})
	s.start()
	return s, k
}

// temporal is the layer of each of the pictures of a group of four, in two packets
// each.
var temporal = [4]uint8{0, 2, 1, 2}

// camera makes the packets of a VP8 encoding with three temporal layers.
type camera struct {
	now      func() int64
	seq      uint16
	encoding uint8
	n        int
}

func (c *camera) next() *relay.Packet {
	picture, layer := c.n/2, temporal[c.n/2%4]
	key := picture == 0
	p := relay.NewPacket()
	p.SSRC, p.Seq, p.Timestamp = 7, c.seq, uint32(picture)*3000
	p.Encoding, p.Spatial, p.Temporal = c.encoding, c.encoding, layer
	p.Arrived = c.now()
	p.Marker, p.FrameStart = c.n%2 == 1, c.n%2 == 0
	p.Keyframe, p.SwitchPoint = key && p.FrameStart, p.FrameStart
	descriptor := byte(0x90)
	if !p.FrameStart {
		descriptor = 0x80
	}
	frame := byte(1)
	if key {
		frame = 0
	}
	n := copy(p.Buffer(), []byte{descriptor, 0xe0, 0x80 | byte(picture>>8), byte(picture), byte(picture / 4), layer << 6, frame, byte(c.seq)})
	p.Payload = p.Buffer()[:n]
	c.seq++
	c.n++
	return p
}

func seamless(t *testing.T, packets []rtp.Packet) {
	t.Helper()
	for i := 1; i < len(packets); i++ {
		a, b := packets[i-1], packets[i]
		if b.SequenceNumber != a.SequenceNumber+1 {
			t.Fatalf("packet %d: number %d after %d", i, b.SequenceNumber, a.SequenceNumber)
		}
		if n := pictureID(b) - pictureID(a); n > 1 {
			t.Fatalf("packet %d: picture %d after %d", i, pictureID(b), pictureID(a))
		}
	}
}

func TestDemandIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &askedOf{}
		tr := track.New("TR_V", relay.Video, webrtc.MimeTypeVP8)
		defer tr.Close()
		tr.SetSource(src)
		s, k := watch(tr, Down{MaxSpatial: 0, MaxTemporal: 0}, true, relay.Now)
		if got := src.layers(); got != relay.UpTo(0, 0) {
			t.Errorf("asked for %b", got)
		}
		// Others watch everything: what is not for this one is heard and left out.
		cam := &camera{now: relay.Now, seq: 65000}
		for range 1600 {
			tr.Push(cam.next())
			tick(5 * time.Millisecond)
		}
		if n := len(k.got()); n != 400 {
			t.Errorf("%d packets of the base layer, want 400", n)
		}
		seamless(t, k.got())
		s.Select(0, 2)
		if got := src.layers(); got != relay.UpTo(0, 2) {
			t.Errorf("asked for %b after Select", got)
		}
		s.Pause(true)
		tick(5 * time.Second)
		tr.Push(cam.next())
		if got := src.layers(); got != relay.NoLayers {
			t.Errorf("asked for %b while paused", got)
		}
	})
}

// relayed is a track that crosses a link, inside a bubble.
type relayed struct {
	t            *testing.T
	net          *sim.Network
	a, b         *link.Endpoint
	origin, here *track.Track
	src          *askedOf
}

type serving struct{ tr *track.Track }

func (serving) Up(*link.Session)                                           {}
func (serving) Down(*link.Session, error)                                  {}
func (serving) Message(*link.Session, string, []byte)                      {}
func (h serving) Serve(*link.Session, link.TrackRef) (*track.Track, error) { return h.tr, nil }

func newRelayed(t *testing.T, path sim.Path) *relayed {
	t.Helper()
	r := &relayed{
		t: t, net: sim.New(1), src: &askedOf{},
		origin: track.New("TR_V", relay.Video, webrtc.MimeTypeVP8), here: track.New("TR_V", relay.Video, webrtc.MimeTypeVP8),
	}
	r.origin.SetSource(r.src)
	ca, err := identity.NewCA("test", time.Hour)
	r.check(err)
	listen := func(name, ip string) *link.Endpoint {
		id, err := ca.Issue(name, "", nil, time.Hour)
		r.check(err)
		var conn net.PacketConn
		conn, err = r.net.Host(name, name+"-region", ip).ListenPacket("udp", ip+":7883")
		r.check(err)
		e, err := link.Listen(link.Config{Self: name, Conn: conn, TLS: id, Handler: serving{r.origin}})
		r.check(err)
		return e
	}
	r.a, r.b = listen("a", "10.0.1.1"), listen("b", "10.0.2.1")
	r.net.Path("a", "b", path)
	r.a.Peer("b", "10.0.2.1:7883")
	r.b.Peer("a", "10.0.1.1:7883")
	for range 1000 {
		if s := r.b.Session("a"); s != nil {
			s.Pull(link.TrackRef{Room: "r", ID: "TR_V"}, r.here)
			return r
		}
		tick(5 * time.Millisecond)
	}
	t.Fatal("no session")
	return nil
}

func (r *relayed) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *relayed) close() {
	r.origin.Close()
	r.here.Close()
	r.check(r.a.Close())
	r.check(r.b.Close())
	r.net.Close()
}

// A viewer of fewer layers behind a link sees no gaps, whether they are left out here
// or on the way.
func TestFewerLayersOverALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelayed(t, sim.Path{Delay: 20 * time.Millisecond})
		defer r.close()
		s, k := watch(r.here, Down{MaxSpatial: 0, MaxTemporal: 0}, exactDemand, relay.Now)
		tick(100 * time.Millisecond)
		demand, crossed := relay.Spatial(0), uint64(1600)
		if exactDemand {
			demand, crossed = relay.UpTo(0, 0), 400
		}
		if got := r.src.layers(); got != demand {
			t.Errorf("the origin is asked for %b, want %b", got, demand)
		}
		cam := &camera{now: relay.Now, seq: 65000}
		for range 1600 {
			r.origin.Push(cam.next())
			tick(5 * time.Millisecond)
		}
		tick(100 * time.Millisecond)
		if n := len(k.got()); n != 400 {
			t.Errorf("%d packets of the base layer, want 400: %v", n, s.Stats().Drops)
		}
		seamless(t, k.got())
		if n := r.here.Stats().Encodings[0].Packets; n != crossed {
			t.Errorf("%d packets crossed the link, want %d", n, crossed)
		}
		if climbed := r.src.climbed(); len(climbed) > 0 {
			t.Errorf("packets left out are asked for: %v", climbed)
		}
	})
}
