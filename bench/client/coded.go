package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"maille/proto/livekit"
	"maille/relay/codec"
)

// formats are the payload types and parameters that browsers use.
var formats = map[string]webrtc.RTPCodecParameters{
	"video/vp8":  {PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}},
	"video/vp9":  {PayloadType: 98, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP9, SDPFmtpLine: "profile-id=0"}},
	"video/av1":  {PayloadType: 45, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeAV1}},
	"video/h265": {PayloadType: 49, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH265, SDPFmtpLine: "level-id=93;tx-mode=SRST"}},
	"video/h264": {PayloadType: 109, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	}},
	"audio/red": {PayloadType: 63, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/red", ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111"}},
}

// registerCodecs makes m know opus and the given codecs, most preferred first.
func registerCodecs(m *webrtc.MediaEngine, mimes []string) error {
	opus := webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
	}}
	if err := m.RegisterCodec(opus, webrtc.RTPCodecTypeAudio); err != nil {
		return err
	}
	for _, mime := range mimes {
		f, ok := formats[strings.ToLower(mime)]
		if !ok {
			return fmt.Errorf("client: no format for %s", mime)
		}
		kind := webrtc.RTPCodecTypeAudio
		if strings.HasPrefix(mime, "video/") {
			kind, f.ClockRate = webrtc.RTPCodecTypeVideo, 90000
		}
		if err := m.RegisterCodec(f, kind); err != nil {
			return err
		}
	}
	return nil
}

// spatialLayers is how many a layered stream has here.
const spatialLayers = 3

// PublishLayered sends a codec's packets in one stream until Stop: VP9 as Chromium does
// with scalability mode L3T1_KEY, other codecs one packet a picture. backup names the
// codec that PublishBackup may add, empty for none.
func (c *Client) PublishLayered(ctx context.Context, mime, backup string, fps, size int, change ...func(*livekit.AddTrackRequest)) (*Published, error) {
	p := &Published{c: c}
	cid := fmt.Sprintf("video-%p", p)
	t, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, cid, "camera")
	if err != nil {
		return nil, err
	}
	p.tracks = append(p.tracks, t)
	req := &livekit.AddTrackRequest{
		Cid: cid, Type: livekit.TrackType_VIDEO, Source: livekit.TrackSource_CAMERA, Width: 1280, Height: 720,
		SimulcastCodecs: []*livekit.SimulcastCodec{{Codec: shortName(mime), Cid: cid}},
	}
	for i := range spatialLayers {
		req.Layers = append(req.Layers, &livekit.VideoLayer{Quality: livekit.VideoQuality(i), Width: 320 << i, Height: 180 << i})
	}
	if backup != "" {
		req.SimulcastCodecs = append(req.SimulcastCodecs, &livekit.SimulcastCodec{Codec: shortName(backup)})
	}
	for _, f := range change {
		f(req)
	}
	if err := p.add(ctx, req, t); err != nil {
		return nil, err
	}
	p.start(func(int) { p.coded(codec.Of(mime), time.Second/time.Duration(fps), size) })
	return p, nil
}

// PublishBackup sends a published track in VP8 too, in up to three encodings.
func (p *Published) PublishBackup(ctx context.Context, encodings, fps, size int) (*Published, error) {
	b, layers, err := p.c.newVP8(encodings)
	if err != nil {
		return nil, err
	}
	cid := b.tracks[0].ID()
	for _, l := range layers {
		l.Width, l.Height = 0, 0 // browsers do not tell them here
	}
	if err := b.add(ctx, &livekit.AddTrackRequest{
		Cid: cid, Sid: p.Info.Sid, Type: livekit.TrackType_VIDEO, Source: livekit.TrackSource_CAMERA, Layers: layers,
		SimulcastCodecs: []*livekit.SimulcastCodec{{Codec: "vp8", Cid: cid}},
	}, b.tracks[0]); err != nil {
		return nil, err
	}
	b.start(func(i int) { b.video(i, time.Second/time.Duration(fps), size) })
	return b, nil
}

// Subscribed says which qualities of a codec ("vp8") the server last said are watched,
// nil when it has not named the codec.
func (c *Client) Subscribed(sid, codec string) []bool {
	for _, s := range c.Quality(sid).GetSubscribedCodecs() {
		if s.Codec != codec {
			continue
		}
		var out []bool
		for _, q := range s.Qualities {
			out = append(out, q.Enabled)
		}
		return out
	}
	return nil
}

func shortName(mime string) string {
	_, name, _ := strings.Cut(strings.ToLower(mime), "/")
	return name
}

// coded sends pictures of a codec: VP9 a packet for each spatial layer, larger from layer
// to layer, others a packet each.
func (p *Published) coded(of codec.Codec, interval time.Duration, size int) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	buf := make([]byte, 1400)
	packet := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(rand.UintN(1 << 15)), Timestamp: rand.Uint32()}}
	picture := uint16(rand.UintN(1 << 15))
	p.want[0].Store(true)
	for {
		select {
		case <-p.ctx.Done():
			return
		case now := <-tick.C:
			key := p.want[0].Swap(false)
			layers := 1
			if of == codec.VP9 {
				layers = spatialLayers
			}
			for s := range layers {
				packet.Marker = s == layers-1
				packet.Payload = codedPacket(buf, of, size>>(layers-1-s), picture, s, key, now)
				if p.tracks[0].WriteRTP(&packet) == nil {
					p.Sent[0].Add(1)
				}
				packet.SequenceNumber++
			}
			picture = (picture + 1) & 0x7fff
			packet.Timestamp += uint32(interval * 90000 / time.Second)
		}
	}
}

// codedPacket writes the clear bytes of a picture's packet, and seals the rest.
func codedPacket(buf []byte, of codec.Codec, size int, picture uint16, spatial int, key bool, now time.Time) []byte {
	var head []byte
	switch of {
	case codec.VP9: // RFC 9628 section 4.2: I, L, B and E; P of a delta
		head = []byte{0x80 | 0x20 | 0x08 | 0x04, 0x80 | byte(picture>>8), byte(picture), 0x10 | byte(spatial)<<1, byte(picture)}
		if !key {
			head[0] |= 0x40
		} else if spatial > 0 {
			head[3] |= 1
		}
	case codec.AV1: // aggregation header: one element, new sequence
		head = []byte{0x10, 0x30}
		if key {
			head[0] |= 0x08
		}
	case codec.H265:
		head = []byte{0x02, 1, 0xd0}
		if key {
			head[0] = 0x26
		}
	default: // H.264
		head = []byte{0x41, 0x9a}
		if key {
			head[0] = 0x65
		}
	}
	buf = buf[:max(size, len(head)+stampSize+sumSize)]
	seal(buf[copy(buf, head):], uint64(picture)*spatialLayers+uint64(spatial), now)
	return buf
}

// codedBody returns what codedPacket sealed.
func codedBody(of codec.Codec, b []byte) (body []byte, key bool) {
	clear := 2
	switch of {
	case codec.VP9:
		d, ok := codec.ParseVP9(b)
		if !ok {
			return nil, false
		}
		return b[d.Size:], !d.Inter
	case codec.H265:
		clear = 3
	}
	if len(b) < clear {
		return nil, false
	}
	switch of {
	case codec.AV1:
		key = b[0]&0x08 != 0
	case codec.H265:
		key = b[0] == 0x26
	default:
		key = b[0] == 0x65
	}
	return b[clear:], key
}

// PublishRED sends what PublishAudio does, with the packet before in each packet (RFC
// 2198), as browsers do.
func (c *Client) PublishRED(ctx context.Context, level uint8) (*Published, error) {
	p := &Published{c: c}
	p.SetLevel(level)
	cid := fmt.Sprintf("audio-%p", p)
	t, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: "audio/red", ClockRate: 48000, Channels: 2}, cid, "camera")
	if err != nil {
		return nil, err
	}
	p.tracks, p.wrap = append(p.tracks, t), new(redWrap)
	if err := p.add(ctx, &livekit.AddTrackRequest{Cid: cid, Type: livekit.TrackType_AUDIO, Source: livekit.TrackSource_MICROPHONE}, t); err != nil {
		return nil, err
	}
	p.start(func(int) { p.audio() })
	return p, nil
}

// redWrap puts the payload before in front of each payload.
type redWrap struct{ before, out []byte }

func (w *redWrap) next(payload []byte) []byte {
	const opus, samples = 111, 960
	w.out = append(w.out[:0], 0x80|opus, samples>>6, samples<<2&0xff|byte(len(w.before)>>8), byte(len(w.before)), opus)
	w.out = append(append(w.out, w.before...), payload...)
	w.before = append(w.before[:0], payload...)
	return w.out
}

// redBodies returns the redundant and the newest block of what redWrap made.
func redBodies(b []byte) (before, newest []byte, ok bool) {
	_, newest, ok = codec.Primary(b)
	if !ok || len(b) < 5+len(newest) {
		return nil, nil, false
	}
	return b[5 : len(b)-len(newest)], newest, true
}
