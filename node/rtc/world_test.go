package rtc

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/logging"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4/vnet"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"maille/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	serverIP = "10.0.0.1"
	clientIP = "10.0.0.2"
)

// world is a node's engine and a client's network inside a synctest bubble.
type world struct {
	t      *testing.T
	engine *Engine
	router *vnet.Router
	client *vnet.Net
	now    func() int64
	// opening: those who watch hear of a track by its first packet.
	opening bool
	// playout is what those who watch are told.
	playout Playout
}

func testLog() *slog.Logger {
	level := slog.LevelError
	if os.Getenv("RTC_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	var err error
	w.router, err = vnet.NewRouter(&vnet.RouterConfig{CIDR: "10.0.0.0/24", LoggerFactory: logging.NewDefaultLoggerFactory(), MinDelay: 5 * time.Millisecond})
	w.check(err)
	server, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{serverIP}})
	w.check(err)
	w.client, err = vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{clientIP}})
	w.check(err)
	w.check(w.router.AddNet(server))
	w.check(w.router.AddNet(w.client))
	w.check(w.router.Start())
	udp, err := server.ListenPacket("udp4", serverIP+":7882")
	w.check(err)
	began := time.Now()
	w.now = func() int64 { return int64(time.Since(began)) + 1e9 }
	w.engine, err = NewEngine(Config{UDP: udp, HostIPs: []net.IP{net.ParseIP(serverIP)}, Log: testLog(), Now: w.now})
	w.check(err)
	return w
}

func (w *world) close() {
	w.t.Helper()
	w.check(w.engine.Close())
	if n := len(w.engine.udp.roaming.sessions); n > 0 {
		w.t.Errorf("%d ICE sessions are kept beyond their peers", n)
	}
	w.check(w.router.Stop())
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// browser returns a client's PeerConnection with pion's own defaults.
func (w *world) browser(change ...func(*webrtc.SettingEngine, *webrtc.MediaEngine)) *webrtc.PeerConnection {
	w.t.Helper()
	m := &webrtc.MediaEngine{}
	w.check(m.RegisterDefaultCodecs())
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		for _, uri := range []string{uriMid, uriRid, uriRepairedRid, uriTransportCC} {
			w.check(m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind))
		}
	}
	w.check(m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uriLevel}, webrtc.RTPCodecTypeAudio))
	w.check(m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uriPlayout}, webrtc.RTPCodecTypeVideo))
	r := &interceptor.Registry{}
	var s webrtc.SettingEngine
	s.SetNet(w.client)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	for _, f := range change {
		f(&s, m)
	}
	generator, err := nack.NewGeneratorInterceptor()
	w.check(err)
	r.Add(generator)
	w.check(webrtc.ConfigureRTCPReports(r))
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(r), webrtc.WithSettingEngine(s)).
		NewPeerConnection(webrtc.Configuration{})
	w.check(err)
	return pc
}

// probe is a Handler that remembers.
type probe struct {
	mu          sync.Mutex // guards all below
	states      []State
	why         error
	published   []Published
	unpublished []relay.TrackID
	demands     map[relay.TrackID]relay.LayerSet
	held        map[relay.TrackID]bool
	data        []string
	offers      []uint32
	onOffer     func(sdp string, id uint32)
	asked       [][2]uint32
	onSections  func(audio, video uint32)
}

func (h *probe) Candidate(string, bool) {}
func (h *probe) Offer(sdp string, id uint32) {
	h.mu.Lock()
	h.offers = append(h.offers, id)
	f := h.onOffer
	h.mu.Unlock()
	if f != nil {
		f(sdp, id)
	}
}

func (h *probe) Sections(audio, video uint32) {
	h.mu.Lock()
	h.asked = append(h.asked, [2]uint32{audio, video})
	f := h.onSections
	h.mu.Unlock()
	if f != nil {
		f(audio, video)
	}
}

func (h *probe) State(s State, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states = append(h.states, s)
	if why != nil {
		h.why = why
	}
}

func (h *probe) Published(p Published) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.published = append(h.published, p)
}

func (h *probe) Unpublished(sid relay.TrackID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unpublished = append(h.unpublished, sid)
}

func (h *probe) Demand(sid relay.TrackID, want relay.LayerSet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.demands == nil {
		h.demands = make(map[relay.TrackID]relay.LayerSet)
	}
	h.demands[sid] = want
}

func (h *probe) Stream(sid relay.TrackID, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = make(map[relay.TrackID]bool)
	}
	h.held[sid] = held
}

func (h *probe) Data(ch Channel, b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.data = append(h.data, ch.String()+" "+string(b))
}

func (h *probe) find(sid relay.TrackID) *Published {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.published {
		if h.published[i].Sid == sid {
			return &h.published[i]
		}
	}
	return nil
}

func (h *probe) last() State {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.states) == 0 {
		return Connecting
	}
	return h.states[len(h.states)-1]
}

// uplink is a publishing client and the node's end of it.
type uplinkPair struct {
	*probe
	w    *world
	peer *Peer
	pc   *webrtc.PeerConnection
	next uint32
}

func (w *world) uplink(change ...func(*webrtc.SettingEngine, *webrtc.MediaEngine)) *uplinkPair {
	w.t.Helper()
	u := &uplinkPair{probe: &probe{}, w: w, pc: w.browser(change...)}
	var err error
	u.peer, err = w.engine.NewPeer(u.probe, Options{Role: Uplink, Name: "client"})
	w.check(err)
	_, err = u.pc.CreateDataChannel("_reliable", nil)
	w.check(err)
	return u
}

// negotiate runs one offer of the client.
func (u *uplinkPair) negotiate() {
	u.w.t.Helper()
	offer, err := u.pc.CreateOffer(nil)
	u.w.check(err)
	u.w.check(u.pc.SetLocalDescription(offer))
	u.next++
	answer, err := u.peer.SetOffer(offer.SDP, u.next)
	u.w.check(err)
	u.w.check(u.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
}

// wait advances the bubble's time until cond holds.
func (w *world) wait(what string, cond func() bool) {
	w.t.Helper()
	for range 4000 {
		if cond() {
			return
		}
		tick(5 * time.Millisecond)
	}
	w.t.Fatalf("%s: not within 20 s", what)
}

// tick lets the bubble's clock run.
func tick(d time.Duration) { <-time.After(d) }

// sending is one outgoing stream of a client.
type sending struct {
	w      *world
	track  *rawTrack
	sender *webrtc.RTPSender
	mid    func() string
	rid    string
	seq    uint16
	ts     uint32
	pic    uint16
	key    atomic.Bool // the next picture is a keyframe

	mu     sync.Mutex // guards all below
	past   map[uint16]rtp.Packet
	rtxSeq uint16
}

// ssrcOf is the SSRC of one of a client's streams.
func ssrcOf(s *sending) uint32 {
	for _, e := range s.sender.GetParameters().Encodings {
		if e.RID == s.rid {
			return uint32(e.SSRC)
		}
	}
	return 0
}

type counter struct{ n atomic.Int64 }

func (c *counter) add()     { c.n.Add(1) }
func (c *counter) get() int { return int(c.n.Load()) }

func (u *uplinkPair) audio(cid string) *sending {
	u.w.t.Helper()
	track := &rawTrack{kind: webrtc.RTPCodecTypeAudio, mime: webrtc.MimeTypeOpus, id: cid}
	tr, err := u.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	u.w.check(err)
	return &sending{w: u.w, track: track, sender: tr.Sender(), mid: tr.Mid, seq: 65530, ts: 1000}
}

func (u *uplinkPair) video(cid string, rids ...string) []*sending {
	u.w.t.Helper()
	var out []*sending
	var tr *webrtc.RTPTransceiver
	for i, rid := range rids {
		var err error
		track := &rawTrack{kind: webrtc.RTPCodecTypeVideo, mime: webrtc.MimeTypeVP8, id: cid, rid: rid}
		if tr == nil {
			tr, err = u.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		} else {
			err = tr.Sender().AddEncoding(track)
		}
		u.w.check(err)
		out = append(out, &sending{
			w: u.w, track: track, sender: tr.Sender(), mid: tr.Mid, rid: rid,
			seq: uint16(1000 * (i + 1)), ts: uint32(100000 * (i + 1)), pic: uint16(100 * (i + 1)),
		})
	}
	return out
}

// rawTrack is a track whose owner writes every header itself.
type rawTrack struct {
	kind          webrtc.RTPCodecType
	mime, id, rid string
	context       atomic.Value // webrtc.TrackLocalContext
	pt, rtx       atomic.Uint32
}

func (r *rawTrack) ID() string                { return r.id }
func (r *rawTrack) RID() string               { return r.rid }
func (r *rawTrack) StreamID() string          { return "stream" }
func (r *rawTrack) Kind() webrtc.RTPCodecType { return r.kind }

func (r *rawTrack) Bind(c webrtc.TrackLocalContext) (out webrtc.RTPCodecParameters, _ error) {
	for _, p := range c.CodecParameters() {
		if p.MimeType == r.mime {
			out = p
			r.pt.Store(uint32(p.PayloadType))
		}
	}
	for _, p := range c.CodecParameters() {
		if p.SDPFmtpLine == "apt="+itoa(int(out.PayloadType)) {
			r.rtx.Store(uint32(p.PayloadType))
		}
	}
	r.context.Store(c)
	return out, nil
}

func (r *rawTrack) Unbind(webrtc.TrackLocalContext) error { return nil }

// send writes one packet with the extensions that a browser writes.
func (s *sending) send(payload []byte, marker bool) {
	s.w.t.Helper()
	h := rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.ts, Marker: marker}
	s.seq++
	s.mu.Lock()
	if s.past == nil {
		s.past = make(map[uint16]rtp.Packet)
	}
	s.past[h.SequenceNumber] = rtp.Packet{Header: h, Payload: payload}
	s.mu.Unlock()
	s.write(h, payload, uriRid, false)
}

// again answers a NACK.
func (s *sending) again(seq uint16) {
	s.mu.Lock()
	p, ok := s.past[seq]
	s.rtxSeq++
	h := p.Header
	h.SequenceNumber = s.rtxSeq
	s.mu.Unlock()
	if ok {
		s.write(h, append(binary.BigEndian.AppendUint16(nil, seq), p.Payload...), uriRepairedRid, true)
	}
}

func (s *sending) write(h rtp.Header, payload []byte, name string, rtx bool) {
	c, ok := s.track.context.Load().(webrtc.TrackLocalContext)
	if !ok {
		return
	}
	h.SSRC, h.PayloadType = uint32(c.SSRC()), uint8(s.track.pt.Load())
	if rtx {
		h.SSRC, h.PayloadType = uint32(c.SSRCRetransmission()), uint8(s.track.rtx.Load())
	}
	for _, e := range c.HeaderExtensions() {
		switch {
		case e.URI == uriMid:
			s.w.check(h.SetExtension(uint8(e.ID), []byte(s.mid())))
		case e.URI == name && s.rid != "":
			s.w.check(h.SetExtension(uint8(e.ID), []byte(s.rid)))
		}
	}
	if _, err := c.WriteStream().WriteRTP(&h, payload); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		s.w.t.Error(err)
	}
}

// frame sends a one-packet VP8 picture.
func (s *sending) frame(key bool) {
	s.ts += 1800
	s.pic++
	b := []byte{0x90, 0x80, 0x80 | byte(s.pic>>8), byte(s.pic), 1, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0, 0xaa}
	if s.key.Swap(false) || key {
		b[4] = 0
	}
	s.send(b, true)
}

// sound sends one 20 ms opus packet.
func (s *sending) sound() {
	s.ts += 960
	s.send([]byte{0x78, 1, 2, 3, 4}, false)
}

// every sends with f at an interval until stop is called.
func every(d time.Duration, f func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				f()
			}
		}
	}()
	return func() { close(done); <-ended }
}
