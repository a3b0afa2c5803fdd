package attack

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/bench/client"
)

const (
	levelURI      = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	descriptorURI = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

// dropped is how many packets of clients the node has dropped where they came in, for a
// reason.
func (s *siege) dropped(reason string) float64 {
	s.t.Helper()
	wait(3 * time.Second) // the node gathers its numbers every two
	return s.c.Metrics(node)[fmt.Sprintf("maille_packets_dropped_total{reason=%q,where=%q}", reason, "publication")]
}

// Header extensions that are malformed in every way RFC 8285 leaves room for.
func TestHeaderExtensions(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join(victims, "guest")
		defer guest.Close()
		r, _ := s.rogue(guest, webrtc.MimeTypeOpus)
		rng := rand.New(rand.NewPCG(7, 8))
		level := r.ids[levelURI]
		if level == 0 {
			t.Fatal("no audio level negotiated")
		}
		for seq := range uint16(3000) {
			h := r.header(seq)
			h.Extension = true
			body := make([]byte, 4*(1+rng.IntN(64)))
			for i := range body {
				body[i] = byte(rng.UintN(256))
			}
			// A profile of the two-byte family but the one that pion writes element by element:
			// the bytes are taken as they are.
			h.ExtensionProfile = 0x1001 + uint16(seq%15)
			switch seq % 5 {
			case 0: // one element that claims to go past the end
				body[0], body[1] = level, 255
			case 1: // the same one twice
				copy(body, []byte{level, 1, 0, level})
			case 2: // as many elements as fit
				clear(body)
				for i := 0; i+1 < len(body); i += 2 {
					body[i] = byte(1 + i%255)
				}
			case 3: // a level of another length
				clear(body)
				copy(body, []byte{level, 0})
			}
			h.Extensions = nil
			if h.SetExtension(0, body) == nil {
				r.send(h, make([]byte, 60))
			}
			wait(time.Millisecond)
		}
		if got := s.dropped("malformed"); got < 1000 {
			t.Errorf("%v packets dropped as malformed", got)
		}
	})
}

// Padding of nothing, of more than there is, and of the whole packet
// (CVE-2025-49140).
func TestPadding(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join(victims, "guest")
		defer guest.Close()
		r, _ := s.rogue(guest, webrtc.MimeTypeOpus)
		for seq := range uint16(2000) {
			h := r.header(seq)
			payload := make([]byte, 1+seq%80)
			switch seq % 3 {
			case 0:
				h.Padding, h.PaddingSize = true, byte(seq)
				payload = nil
			case 1:
				h.Padding, payload[len(payload)-1] = true, 255
			case 2:
				h.Padding, payload[len(payload)-1] = true, 0
			}
			r.send(h, payload)
			wait(time.Millisecond)
		}
	})
}

// Sequence numbers that jump by half the range and back, and timestamps by anything:
// the work for each packet stays what it is.
func TestSequenceJumps(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join(victims, "guest")
		defer guest.Close()
		for _, mime := range []string{webrtc.MimeTypeOpus, webrtc.MimeTypeVP8} {
			r, info := s.rogue(guest, mime)
			rng := rand.New(rand.NewPCG(9, 10))
			seq := uint16(100)
			for i := range 2000 {
				h := r.header(seq)
				h.Timestamp = rng.Uint32()
				r.send(h, []byte{0x90, 0xe0, byte(i >> 8), byte(i), 1, 0x20, 0x10, 0, 0, 0x9d, 1, 0x2a, 64, 1, 180, 0})
				seq += 32767
				if i%7 == 0 {
					seq = uint16(rng.UintN(1 << 16))
				}
				wait(time.Millisecond)
			}
			if got := s.ann.Track(info.Sid); mime == webrtc.MimeTypeVP8 && got != nil && got.Packets.Load() > 3000 {
				t.Errorf("%d packets out of 2000", got.Packets.Load())
			}
		}
	})
}

// Payloads that are no codec's, descriptors cut short and counts past the end, for every
// codec that is negotiated; with dependency descriptors of noise where there are any.
func TestCodecGarbage(t *testing.T) {
	for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeVP9, webrtc.MimeTypeH264, webrtc.MimeTypeH265, webrtc.MimeTypeAV1, webrtc.MimeTypeOpus} {
		t.Run(strings.ReplaceAll(mime, "/", "-"), func(t *testing.T) {
			besiege(t, func(s *siege) {
				guest := s.join(victims, "guest")
				defer guest.Close()
				s.wantEnabled(guest, mime)
				r, _ := s.rogue(guest, mime)
				rng := rand.New(rand.NewPCG(11, 12))
				for seq := range uint16(4000) {
					h := r.header(seq)
					h.Marker = rng.IntN(2) == 0
					payload := make([]byte, rng.IntN(40))
					for i := range payload {
						payload[i] = byte(rng.UintN(256))
					}
					if id := r.ids[descriptorURI]; id != 0 {
						noise := make([]byte, 1+rng.IntN(15))
						for i := range noise {
							noise[i] = byte(rng.UintN(256))
						}
						_ = h.SetExtension(id, noise)
					}
					r.send(h, payload)
					if seq%4 == 0 {
						wait(time.Millisecond)
					}
				}
			})
		})
	}
}

// A payload type that was not agreed on reaches nobody.
func TestForeignPayloadTypes(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join(victims, "guest")
		defer guest.Close()
		r, info := s.rogue(guest, webrtc.MimeTypeOpus)
		r.send(r.header(1), make([]byte, 60))
		s.check(s.ann.WaitPackets(s.ctx, info.Sid, 1))
		before := s.ann.Track(info.Sid).Packets.Load()
		for seq := range uint16(500) {
			h := r.header(seq + 2)
			h.PayloadType = uint8(seq % 128)
			if h.PayloadType != r.pt {
				r.send(h, make([]byte, 60))
			}
			wait(time.Millisecond)
		}
		if got := s.ann.Track(info.Sid).Packets.Load() - before; got > 0 {
			t.Errorf("%d packets of other payload types came through", got)
		}
	})
}

// A sender that says it is as loud as can be, always: it is heard, as nothing else can
// be known of it, but it does not become the speaker for good and silences nobody.
func TestLevelAbuse(t *testing.T) {
	besiege(t, func(s *siege) {
		var liars []*client.Client
		for i := range 5 {
			guest := s.join(victims, fmt.Sprint("liar-", i))
			defer guest.Close()
			liars = append(liars, guest)
			r, _ := s.rogueMicrophone(guest)
			stop := make(chan struct{})
			done := make(chan struct{})
			defer func() { close(stop); <-done }()
			go func() {
				defer close(done)
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for seq := uint16(0); ; seq++ {
					select {
					case <-stop:
						return
					case <-tick.C:
					}
					h := r.header(seq)
					_ = h.SetExtension(r.ids[levelURI], []byte{0x80}) // voice, 0 dBov
					r.send(h, make([]byte, 60))
				}
			}()
		}
		wait(10 * time.Second)
		for _, l := range liars {
			if s.ann.Speaking(l.Join().Participant.Sid) {
				t.Errorf("%s is an active speaker after 10 s of one level", l.Join().Participant.Identity)
			}
		}
		for _, c := range []*client.Client{s.ann, s.bob} {
			other := s.bob
			if c == s.bob {
				other = s.ann
			}
			if !c.Speaking(other.Join().Participant.Sid) {
				t.Errorf("%s speaks and is not an active speaker", other.Join().Participant.Identity)
			}
		}
	})
}
