package attack

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"maille/bench/client"
	"maille/proto/livekit"
)

// rogue is a track of a client that sends what it likes: any SSRC, number, extension
// and payload, encrypted with the session's own keys.
type rogue struct {
	kind   webrtc.RTPCodecType
	mime   string
	bound  chan struct{}
	writer webrtc.TrackLocalWriter
	pt     uint8
	ssrc   uint32
	ids    map[string]uint8 // header extensions by URI
	once   sync.Once
}

func (r *rogue) ID() string                { return "rogue-" + r.kind.String() }
func (r *rogue) RID() string               { return "" }
func (r *rogue) StreamID() string          { return "rogue" }
func (r *rogue) Kind() webrtc.RTPCodecType { return r.kind }

func (r *rogue) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	for _, p := range c.CodecParameters() {
		if p.MimeType == r.mime {
			r.writer, r.pt, r.ssrc = c.WriteStream(), uint8(p.PayloadType), uint32(c.SSRC())
			r.ids = make(map[string]uint8)
			for _, e := range c.HeaderExtensions() {
				r.ids[e.URI] = uint8(e.ID)
			}
			r.once.Do(func() { close(r.bound) })
			return p, nil
		}
	}
	return webrtc.RTPCodecParameters{}, errors.New("not negotiated")
}

func (r *rogue) Unbind(webrtc.TrackLocalContext) error { return nil }

// header is an honest packet's, to be changed.
func (r *rogue) header(seq uint16) *rtp.Header {
	return &rtp.Header{Version: 2, PayloadType: r.pt, SSRC: r.ssrc, SequenceNumber: seq, Timestamp: uint32(seq) * 960}
}

func (r *rogue) send(h *rtp.Header, payload []byte) { _, _ = r.writer.WriteRTP(h, payload) }

// rogue publishes a track of a client to send rogue packets on. It is of a source that
// is always heard.
func (s *siege) rogue(c *client.Client, mime string) (*rogue, *livekit.TrackInfo) {
	s.t.Helper()
	return s.rogueOf(c, mime, livekit.TrackSource_SCREEN_SHARE)
}

// rogueMicrophone publishes audio that is ranked by its level.
func (s *siege) rogueMicrophone(c *client.Client) (*rogue, *livekit.TrackInfo) {
	s.t.Helper()
	return s.rogueOf(c, webrtc.MimeTypeOpus, livekit.TrackSource_MICROPHONE)
}

func (s *siege) rogueOf(c *client.Client, mime string, source livekit.TrackSource) (*rogue, *livekit.TrackInfo) {
	s.t.Helper()
	r := &rogue{kind: webrtc.RTPCodecTypeVideo, mime: mime, bound: make(chan struct{})}
	if mime == webrtc.MimeTypeOpus {
		r.kind = webrtc.RTPCodecTypeAudio
	}
	if r.kind == webrtc.RTPCodecTypeAudio && source == livekit.TrackSource_SCREEN_SHARE {
		source = livekit.TrackSource_SCREEN_SHARE_AUDIO
	}
	info, err := c.PublishTrack(s.ctx, r, &livekit.AddTrackRequest{Cid: r.ID(), Type: kindOf(r.kind), Source: source, SimulcastCodecs: []*livekit.SimulcastCodec{{
		Codec: strings.ToLower(mime[strings.IndexByte(mime, '/')+1:]), Cid: r.ID(),
	}}})
	s.check(err)
	select {
	case <-r.bound:
	case <-time.After(10 * time.Second):
		s.t.Fatal(fmt.Errorf("the rogue track was not negotiated"))
	}
	return r, info
}

func kindOf(k webrtc.RTPCodecType) livekit.TrackType {
	if k == webrtc.RTPCodecTypeAudio {
		return livekit.TrackType_AUDIO
	}
	return livekit.TrackType_VIDEO
}
