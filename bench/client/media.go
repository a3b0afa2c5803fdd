package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"maille/proto/livekit"
	"maille/relay/codec"
)

// Published is a track this client sends.
type Published struct {
	Info *livekit.TrackInfo
	// Keyframes counts the keyframe requests that came back.
	Keyframes atomic.Uint64
	// Sent counts packets by encoding.
	Sent [3]atomic.Uint64

	c       *Client
	tracks  []*webrtc.TrackLocalStaticRTP
	sender  *webrtc.RTPSender
	levelID uint8
	midID   uint8
	ridID   uint8
	mid     string
	want    [3]atomic.Bool // a keyframe is due
	level   atomic.Uint32  // of audio, -dBov
	wrap    *redWrap       // nil for audio without redundancy
	scale   int            // temporal layers of video
	ctx     context.Context
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

var rids = []string{"q", "h", "f"}

// PublishVideo sends VP8 in up to three simulcast encodings at the frame rate, until
// Stop. Each frame is one packet of the given payload size, every other of the upper
// temporal layer.
func (c *Client) PublishVideo(ctx context.Context, encodings, fps, size int) (*Published, error) {
	return c.PublishScaled(ctx, encodings, 2, fps, size, false)
}

// PublishScaled is PublishVideo with one to three temporal layers. With declared it says
// what bitrates they have, as browsers do.
func (c *Client) PublishScaled(ctx context.Context, encodings, temporals, fps, size int, declared bool) (*Published, error) {
	p, layers, err := c.newVP8(encodings)
	if err != nil {
		return nil, err
	}
	p.scale = temporals
	for i, l := range layers {
		if declared {
			l.Bitrate = uint32(8 * fps * (size >> (2 - i)))
		}
	}
	cid := p.tracks[0].ID()
	if err := p.add(ctx, &livekit.AddTrackRequest{
		Cid: cid, Type: livekit.TrackType_VIDEO, Source: livekit.TrackSource_CAMERA, Layers: layers,
		Width: 1280, Height: 720, SimulcastCodecs: []*livekit.SimulcastCodec{{Codec: "vp8", Cid: cid}},
	}, p.tracks[0]); err != nil {
		return nil, err
	}
	p.start(func(i int) { p.video(i, time.Second/time.Duration(fps), size) })
	return p, nil
}

// newVP8 makes the tracks and layers of a VP8 stream in several encodings.
func (c *Client) newVP8(encodings int) (*Published, []*livekit.VideoLayer, error) {
	p := &Published{c: c, scale: 2}
	cid := fmt.Sprintf("video-%p", p)
	var layers []*livekit.VideoLayer
	for i := range encodings {
		opts := []func(*webrtc.TrackLocalStaticRTP){}
		if encodings > 1 {
			opts = append(opts, webrtc.WithRTPStreamID(rids[i]))
		}
		t, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, cid, "camera", opts...)
		if err != nil {
			return nil, nil, err
		}
		p.tracks = append(p.tracks, t)
		layers = append(layers, &livekit.VideoLayer{
			Quality: livekit.VideoQuality(i), Width: 320 << i, Height: 180 << i, Rid: rids[i], SpatialLayer: int32(i),
		})
	}
	return p, layers, nil
}

// PublishAudio sends opus-sized packets every 20 ms at the level (-dBov), until Stop. As
// in speech the level drops for a moment now and then.
func (c *Client) PublishAudio(ctx context.Context, level uint8) (*Published, error) {
	p := &Published{c: c}
	p.SetLevel(level)
	cid := fmt.Sprintf("audio-%p", p)
	t, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, cid, "camera")
	if err != nil {
		return nil, err
	}
	p.tracks = append(p.tracks, t)
	if err := p.add(ctx, &livekit.AddTrackRequest{
		Cid: cid, Type: livekit.TrackType_AUDIO, Source: livekit.TrackSource_MICROPHONE,
	}, t); err != nil {
		return nil, err
	}
	p.start(func(int) { p.audio() })
	return p, nil
}

// SetLevel changes the level of audio, in -dBov (0 loudest, 127 silence).
func (p *Published) SetLevel(level uint8) { p.level.Store(uint32(level)) }

// PublishTrack announces and negotiates any track at all. What it sends is its own
// affair.
func (c *Client) PublishTrack(ctx context.Context, t webrtc.TrackLocal, req *livekit.AddTrackRequest) (*livekit.TrackInfo, error) {
	p := &Published{c: c}
	if err := p.add(ctx, req, t); err != nil {
		return nil, err
	}
	return p.Info, nil
}

func (p *Published) add(ctx context.Context, req *livekit.AddTrackRequest, first webrtc.TrackLocal) error {
	reply := make(chan *livekit.TrackInfo, 1)
	p.c.mu.Lock()
	p.c.published[req.Cid] = reply
	p.c.mu.Unlock()
	if err := p.c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: req}}); err != nil {
		return err
	}
	select {
	case p.Info = <-reply:
	case <-p.c.left:
		return p.c.Err()
	case <-ctx.Done():
		return fmt.Errorf("client: add track: %w", ctx.Err())
	}
	return p.attach(ctx, first)
}

// attach sends the track in a section of its own.
func (p *Published) attach(ctx context.Context, first webrtc.TrackLocal) error {
	// Not AddTrack, which would send in a section that is there to receive.
	section, err := p.c.pub.AddTransceiverFromTrack(first, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return err
	}
	p.sender = section.Sender()
	for _, t := range p.tracks[min(1, len(p.tracks)):] {
		if err := p.sender.AddEncoding(t); err != nil {
			return err
		}
	}
	if err := p.c.negotiate(ctx); err != nil {
		return err
	}
	p.mid = section.Mid()
	for _, e := range p.sender.GetParameters().HeaderExtensions {
		switch e.URI {
		case levelURI:
			p.levelID = uint8(e.ID)
		case sdp.SDESMidURI:
			p.midID = uint8(e.ID)
		case sdp.SDESRTPStreamIDURI:
			p.ridID = uint8(e.ID)
		}
	}
	return nil
}

func (p *Published) start(send func(i int)) {
	p.ctx, p.cancel = context.WithCancel(p.c.ctx)
	for i := range p.tracks {
		p.done.Go(func() { send(i) })
		p.c.wg.Go(func() { p.feedback(i) })
	}
	p.c.wg.Go(p.done.Wait)
}

// Stop ends sending; the track stays published until the client leaves.
func (p *Published) Stop() { p.cancel(); p.done.Wait() }

// feedback reads the server's reports: keyframe requests matter to the sender.
func (p *Published) feedback(i int) {
	for {
		var packets []rtcp.Packet
		var err error
		if len(p.tracks) > 1 {
			packets, _, err = p.sender.ReadSimulcastRTCP(rids[i])
		} else {
			packets, _, err = p.sender.ReadRTCP()
		}
		if err != nil {
			return
		}
		for _, packet := range packets {
			if _, ok := packet.(*rtcp.PictureLossIndication); ok {
				p.Keyframes.Add(1)
				p.want[i].Store(true)
			}
		}
	}
}

// Received is a track this client receives.
type Received struct {
	Sid, Stream string
	Mime        string // of the first packet
	codec       atomic.Pointer[codec.Codec]
	Packets     atomic.Uint64
	Bytes       atomic.Uint64
	// Openings counts packets that play nothing, which come before the first that does.
	Openings atomic.Uint64
	// Gaps counts sequence numbers that had not come when a later one did.
	Gaps      atomic.Uint64
	Keyframes atomic.Uint64
	// Keyed says that the first packet of VP8 was a keyframe.
	Keyed atomic.Bool
	// Size is the payload size of the newest packet: publishers send each encoding
	// with its own.
	Size atomic.Uint64
	// LastDelay is the newest packet's time from the publisher's payload stamp, ns.
	LastDelay atomic.Int64
	// Corrupt counts packets whose payload did not come as it was sent.
	Corrupt atomic.Uint64
	// Redundant counts packets with the packet before in them, as it was sent.
	Redundant atomic.Uint64
	// Disorder counts VP8 picture ids that do not match their packets' numbers.
	Disorder atomic.Uint64
	// Longest is the longest time between two packets so far, ns; it may be set back.
	Longest atomic.Int64
}

func (c *Client) onTrack(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
	r := &Received{Sid: t.ID(), Stream: t.StreamID(), Mime: t.Codec().MimeType}
	c.mu.Lock()
	c.received[r.Sid] = r
	c.notify()
	c.mu.Unlock()
	c.wg.Go(func() { r.read(t) })
}

// Codec is the codec of the newest packet.
func (r *Received) Codec() codec.Codec {
	if c := r.codec.Load(); c != nil {
		return *c
	}
	return codec.Unknown
}

// silence begins an opus packet without sound (RFC 6716 section 3.1).
var silence = []byte{0xf8, 0xff, 0xfe}

func (r *Received) read(t *webrtc.TrackRemote) {
	var last uint16
	first := true
	var picture int
	var newest uint16
	seen := false
	var came time.Time
	for {
		p, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		if now := time.Now(); came.IsZero() {
			came = now
		} else {
			r.Longest.Store(max(r.Longest.Load(), int64(now.Sub(came))))
			came = now
		}
		if r.Packets.Load() == 0 && (len(p.Payload) == 0 || bytes.HasPrefix(p.Payload, silence)) {
			last, first = p.SequenceNumber, false
			r.Openings.Add(1)
			continue
		}
		if len(p.Payload) == 0 {
			continue
		}
		if !first && p.SequenceNumber-last < 1<<15 && p.SequenceNumber != last {
			r.Gaps.Add(uint64(p.SequenceNumber - last - 1))
		}
		if first || p.SequenceNumber-last < 1<<15 {
			last = p.SequenceNumber
			r.Size.Store(uint64(len(p.Payload)))
		}
		first = false
		r.Packets.Add(1)
		r.Bytes.Add(uint64(len(p.Payload)))
		if now := codec.Of(t.Codec().MimeType); now != r.Codec() { // it changes with the publisher's
			r.codec.Store(&now)
		}
		of := r.Codec()
		body := p.Payload
		switch {
		case of == codec.VP8:
			var id int
			var key bool
			if id, key, body = parseFrame(p.Payload); key {
				r.Keyframes.Add(1)
			}
			if !seen {
				r.Keyed.Store(key)
			}
			// Every frame is one packet, so a packet that is n later holds a picture that is
			// at most n later; padding makes it fewer.
			if seen {
				if ahead, later := int16(p.SequenceNumber-newest), int16(uint16(id-picture)<<1)/2; ahead > 0 && (later < 1 || later > ahead) ||
					ahead < 0 && (later > -1 || later < ahead) {
					r.Disorder.Add(1)
				}
			}
			if !seen || int16(p.SequenceNumber-newest) > 0 {
				picture, newest, seen = id, p.SequenceNumber, true
			}
		case of == codec.RED:
			before, newest, ok := redBodies(p.Payload)
			if body = newest; ok && len(before) > 0 && intact(before) {
				r.Redundant.Add(1)
			}
		case strings.HasPrefix(r.Mime, "video/"):
			var key bool
			if body, key = codedBody(of, p.Payload); key {
				r.Keyframes.Add(1)
			}
		}
		if !intact(body) {
			r.Corrupt.Add(1)
		}
		if len(body) >= stampSize {
			r.LastDelay.Store(time.Now().UnixNano() - int64(binary.BigEndian.Uint64(body)))
		}
	}
}

// Track returns the received track of a sid, or nil.
func (c *Client) Track(sid string) *Received {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.received[sid]
}

// WaitPackets waits until n packets of a track have come.
func (c *Client) WaitPackets(ctx context.Context, sid string, n uint64) error {
	return c.Wait(ctx, fmt.Sprintf("%d packets of %s", n, sid), func() bool {
		t := c.Track(sid)
		return t != nil && t.Packets.Load() >= n
	})
}
