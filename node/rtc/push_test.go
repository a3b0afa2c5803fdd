package rtc

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"maille/relay"
	"maille/relay/codec"
	"maille/relay/packet"
	"maille/relay/track"
)

// sinkWriter stands in for SRTP and the socket.
type sinkWriter struct{ n, bytes int }

func (w *sinkWriter) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	w.n++
	w.bytes += h.MarshalSize() + len(payload)
	return len(payload), nil
}
func (w *sinkWriter) Write(b []byte) (int, error) { panic("rtc: raw write") }

func bench(kind relay.Kind, mime string) (*Subscriber, *track.Track, *sinkWriter) {
	e := &Engine{now: func() int64 { return 1e9 }}
	p := &Peer{engine: e}
	p.down.init()
	tr := track.New("TR_X", kind, mime, track.WithClock(e.now))
	s := newSubscriber(p, Down{Sid: "TR_X", Stream: "PA_x|TR_X", Kind: kind, Mime: mime, MaxSpatial: 2, MaxTemporal: 3}, tr)
	w := &sinkWriter{}
	b := &binding{
		writer: w, pt: 96, rtx: 97, ssrc: 1, rtxSSRC: 2, usable: true,
		ids: packet.ExtMap{TransportCC: 1, Descriptor: 2, CaptureTime: 3},
	}
	p.hear(s, b)
	s.bound.Store(b)
	s.tap = tr.Attach(s, relay.AllLayers)
	return s, tr, w
}

// feed pushes one full packet into the track, the way a reader does.
type packetFeed struct {
	seq  uint16
	raw  []byte
	look *codec.Inspector
	at   int64
	key  bool // the next packet begins a keyframe
}

func newPacketFeed(mime string, size int) *packetFeed {
	raw := make([]byte, 12+size)
	raw[0] = 0x80
	// VP8 with a picture id; the first byte of a frame is a keyframe's.
	copy(raw[12:], []byte{0x90, 0x80, 0x80, 1, 0})
	return &packetFeed{raw: raw, look: codec.NewInspector(mime), at: 1e9}
}

func (f *packetFeed) push(tr *track.Track) {
	p := relay.NewPacket()
	f.seq++
	f.at += 1e6
	binary.BigEndian.PutUint16(f.raw[2:], f.seq)
	binary.BigEndian.PutUint32(f.raw[4:], uint32(f.seq)*3000)
	binary.BigEndian.PutUint16(f.raw[14:], 0x8000|f.seq&0x7fff)
	f.raw[16] = 0
	if f.seq > 1 && !f.key {
		f.raw[16] = 1
	}
	f.key = false
	n := copy(p.Buffer(), f.raw)
	if err := packet.Parse(p, n, packet.ExtMap{}); err != nil {
		panic(err)
	}
	p.Arrived = f.at
	p.Spatial, p.Encoding = 0, 0
	f.look.Inspect(p)
	tr.Push(p)
}

// Everything of ours between a parsed packet and the SRTP writer is free of
// allocations.
func TestPushAllocatesNothing(t *testing.T) {
	for _, tt := range []struct {
		kind relay.Kind
		mime string
		size int
	}{{relay.Video, webrtc.MimeTypeVP8, 1150}, {relay.Audio, webrtc.MimeTypeOpus, 80}, {relay.Video, webrtc.MimeTypeH264, 1150}} {
		s, tr, w := bench(tt.kind, tt.mime)
		f := newPacketFeed(tt.mime, tt.size)
		if tt.mime == webrtc.MimeTypeH264 {
			f.raw[12] = 0x65 // an IDR slice
		}
		for range 3000 {
			f.push(tr)
		}
		if w.n < 2900 {
			t.Fatalf("%s: %d packets sent, %v", tt.mime, w.n, s.drops.Snapshot())
		}
		if n := testing.AllocsPerRun(2000, func() { f.push(tr) }); n > 0 {
			t.Errorf("%s: %v allocations a packet", tt.mime, n)
		}
	}
}

func TestAnswerAllocatesLittle(t *testing.T) {
	s, tr, _ := bench(relay.Video, webrtc.MimeTypeVP8)
	f := newPacketFeed(webrtc.MimeTypeVP8, 1000)
	for range 2000 {
		f.push(tr)
	}
	first, ok := lastSent(s)
	if !ok {
		t.Fatal("nothing sent")
	}
	seq := first - 300
	list := make([]uint16, 1)
	if n := testing.AllocsPerRun(200, func() {
		seq++
		list[0] = seq
		s.answer(f.at, list)
	}); n > 0 {
		t.Errorf("%v allocations a repair", n)
	}
	if s.resent.Load() < 200 {
		t.Errorf("%d packets resent", s.resent.Load())
	}
}

func lastSent(s *Subscriber) (uint16, bool) {
	for seq := uint16(65535); seq > 0; seq-- {
		if _, _, ok := s.out.numbers.Origin(seq); ok {
			return seq, true
		}
	}
	return 0, false
}

func BenchmarkPush(b *testing.B) {
	s, tr, w := bench(relay.Video, webrtc.MimeTypeVP8)
	f := newPacketFeed(webrtc.MimeTypeVP8, 1150)
	b.ReportAllocs()
	for b.Loop() {
		f.push(tr)
	}
	if w.n == 0 {
		b.Fatal(s.drops.Snapshot())
	}
}

// BenchmarkPushEncrypted adds pion's SRTP and a real socket.
func BenchmarkPushEncrypted(b *testing.B) {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	e, err := NewEngine(Config{UDP: udp, HostIPs: []net.IP{net.IPv4(127, 0, 0, 1)}, AllowLoopback: true, Log: testLog()})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	client, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		b.Fatal(err)
	}
	defer client.GracefulClose()
	h := &probe{}
	p, err := e.NewPeer(h, Options{Role: Downlink})
	if err != nil {
		b.Fatal(err)
	}
	h.onOffer = func(sdp string, id uint32) {
		if err := client.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp}); err != nil {
			b.Error(err)
		}
		answer, err := client.CreateAnswer(nil)
		if err != nil {
			b.Error(err)
			return
		}
		if err := client.SetLocalDescription(answer); err != nil {
			b.Error(err)
		}
		if err := p.SetAnswer(answer.SDP, id); err != nil {
			b.Error(err)
		}
	}
	tr := track.New("TR_X", relay.Video, webrtc.MimeTypeVP8)
	s, err := p.Subscribe(Down{Sid: "TR_X", Stream: "PA_x|TR_X", Kind: relay.Video, Mime: webrtc.MimeTypeVP8, MaxTemporal: 3}, tr)
	if err != nil {
		b.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); tr.Stats().Sinks == 0; {
		if time.Now().After(deadline) {
			b.Fatal("not connected")
		}
		<-time.After(10 * time.Millisecond)
	}
	f := newPacketFeed(webrtc.MimeTypeVP8, 1150)
	f.at = relay.Now()
	b.ReportAllocs()
	for b.Loop() {
		f.push(tr)
	}
	b.StopTimer()
	if st := s.Stats(); st.Packets == 0 {
		b.Fatal(st)
	}
	tr.Close()
}
