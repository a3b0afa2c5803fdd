package client

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const levelURI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

// newAPI makes a pion API that behaves as a browser does where it matters: simulcast,
// NACK and transport feedback, on the network it is given.
func newAPI(o Options) (*webrtc.API, error) {
	n, codecs := o.Net, o.Codecs
	m := new(webrtc.MediaEngine)
	register := m.RegisterDefaultCodecs
	if codecs != nil {
		register = func() error { return registerCodecs(m, codecs) }
	}
	if err := register(); err != nil {
		return nil, err
	}
	if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: levelURI}, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	reg := new(interceptor.Registry)
	interceptors := webrtc.RegisterDefaultInterceptors
	if o.NoTransportCC {
		interceptors = withoutTransportCC
	}
	if err := interceptors(m, reg); err != nil {
		return nil, err
	}
	var s webrtc.SettingEngine
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetIncludeLoopbackCandidate(n == nil)
	// The client closes its connections itself when told to leave. Were pion to close
	// them on the server's goodbye too, it would wait 200 ms under a mutex, which stops
	// the clock of a bubble for good.
	s.DisableCloseByDTLS(true)
	if n != nil {
		s.SetNet(n)
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(reg), webrtc.WithSettingEngine(s)), nil
}

func withoutTransportCC(m *webrtc.MediaEngine, reg *interceptor.Registry) error {
	m.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBGoogREMB}, webrtc.RTPCodecTypeVideo)
	return errors.Join(webrtc.ConfigureNack(m, reg), webrtc.ConfigureRTCPReports(reg), webrtc.ConfigureSimulcastExtensionHeaders(m))
}

// descriptorSize is the VP8 payload descriptor written here: X, picture id (15 bit),
// TL0PICIDX and TID/KEYIDX (RFC 7741 section 4.2).
const descriptorSize = 6

// frame builds one whole VP8 frame as a packet payload: descriptor, frame tag, and
// for keyframes the start code and size (RFC 6386 section 9.1), then the time sent.
func frame(buf []byte, size int, picture uint16, tl0, temporal uint8, key bool, width, height uint16, now time.Time) []byte {
	head := descriptorSize + 3
	if key {
		head += 7
	}
	buf = buf[:max(size, head+8)]
	buf[0] = 0x90 // X, S, partition 0
	buf[1] = 0xe0 // I, L, T
	binary.BigEndian.PutUint16(buf[2:], picture|0x8000)
	buf[4] = tl0
	buf[5] = temporal << 6
	if temporal > 0 {
		buf[5] |= 0x20 // Y: refers only to base layer frames
	}
	tag := buf[descriptorSize:]
	tag[0], tag[1], tag[2] = 0x10, 0, 0
	if !key {
		tag[0] |= 1
	} else {
		tag[3], tag[4], tag[5] = 0x9d, 0x01, 0x2a
		binary.LittleEndian.PutUint16(tag[6:], width)
		binary.LittleEndian.PutUint16(tag[8:], height)
	}
	seal(buf[head:], uint64(picture), now)
	return buf
}

// seal writes the time sent, then bytes that look encrypted and the sum of them all:
// whoever changes one on the way is found out.
func seal(body []byte, seed uint64, now time.Time) {
	binary.BigEndian.PutUint64(body, uint64(now.UnixNano()))
	if len(body) < stampSize+sumSize {
		return
	}
	x := seed*0x9e3779b97f4a7c15 + 1
	noise := body[stampSize : len(body)-sumSize]
	for i := range noise {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		noise[i] = byte(x)
	}
	binary.BigEndian.PutUint32(body[len(body)-sumSize:], crc32.ChecksumIEEE(body[:len(body)-sumSize]))
}

const (
	stampSize = 8
	sumSize   = 4
)

// intact reports whether a sealed body came as it was sent.
func intact(body []byte) bool {
	return len(body) < stampSize+sumSize ||
		binary.BigEndian.Uint32(body[len(body)-sumSize:]) == crc32.ChecksumIEEE(body[:len(body)-sumSize])
}

// parseFrame reads back what frame wrote.
func parseFrame(b []byte) (picture int, key bool, body []byte) {
	if len(b) < descriptorSize+3 || b[0]&0x80 == 0 {
		return -1, false, nil
	}
	picture = int(binary.BigEndian.Uint16(b[2:]) & 0x7fff)
	key = b[0]&0x10 != 0 && b[descriptorSize]&1 == 0
	head := descriptorSize + 3
	if key {
		head += 7
	}
	if len(b) < head {
		return picture, key, nil
	}
	return picture, key, b[head:]
}

// temporals tells the temporal layer of a frame, of one, two or three in all.
var temporals = [...][]uint8{{0}, {0, 1}, {0, 2, 1, 2}}

// video sends one encoding: encoding i is larger.
func (p *Published) video(i int, interval time.Duration, size int) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	buf := make([]byte, 1400)
	packet := rtp.Packet{Header: rtp.Header{
		Version: 2, Marker: true, SequenceNumber: uint16(rand.UintN(1 << 15)), Timestamp: rand.Uint32(),
	}}
	if p.midID != 0 && p.ridID != 0 && len(p.tracks) > 1 {
		// Receivers tell simulcast streams apart by these (RFC 8853).
		_ = packet.SetExtension(p.midID, []byte(p.mid))
		_ = packet.SetExtension(p.ridID, []byte(rids[i]))
	}
	picture, tl0 := uint16(rand.UintN(1<<15)), uint8(0)
	p.want[i].Store(true)
	pattern := temporals[p.scale-1]
	for n := 0; ; n++ {
		select {
		case <-p.ctx.Done():
			return
		case now := <-tick.C:
			key := p.want[i].Swap(false)
			if key {
				n = 0
			}
			temporal := pattern[n%len(pattern)]
			if temporal == 0 {
				tl0++
			}
			packet.Payload = frame(buf, size>>(2-i), picture, tl0, temporal, key, 320<<i, 180<<i, now)
			if p.tracks[i].WriteRTP(&packet) == nil {
				p.Sent[i].Add(1)
			}
			picture = (picture + 1) & 0x7fff
			packet.SequenceNumber++
			packet.Timestamp += uint32(interval * 90000 / time.Second)
		}
	}
}

// opusPayload is what a voice at 32 kbit/s sends every 20 ms.
const opusPayload = 80

// Syllables: twice a second the level is lower for three packets.
const (
	syllablePackets = 25
	pausePackets    = 3
	pauseDepth      = 20 // dB
)

func (p *Published) audio() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	packet := rtp.Packet{Header: rtp.Header{
		Version: 2, SequenceNumber: uint16(rand.UintN(1 << 15)), Timestamp: rand.Uint32(),
	}}
	body := make([]byte, opusPayload)
	for n := 0; ; n++ {
		select {
		case <-p.ctx.Done():
			return
		case now := <-tick.C:
			if p.levelID != 0 {
				level := p.level.Load()
				if n%syllablePackets >= syllablePackets-pausePackets {
					level = min(level+pauseDepth, 127)
				}
				_ = packet.SetExtension(p.levelID, []byte{0x80 | uint8(level)})
			}
			seal(body, uint64(n), now)
			if packet.Payload = body; p.wrap != nil {
				packet.Payload = p.wrap.next(body)
			}
			if p.tracks[0].WriteRTP(&packet) == nil {
				p.Sent[0].Add(1)
			}
			packet.SequenceNumber++
			packet.Timestamp += 960
		}
	}
}
