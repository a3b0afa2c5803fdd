package attack

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/bench/client"
	"maille/proto/livekit"
)

func (s *siege) wantEnabled(c *client.Client, mime string) {
	s.t.Helper()
	if !slices.ContainsFunc(c.Join().EnabledPublishCodecs, func(c *livekit.Codec) bool { return strings.EqualFold(c.Mime, mime) }) {
		s.t.Fatalf("%s is not enabled here", mime)
	}
}

// bits writes numbers of some bits each.
type bits struct {
	b []byte
	n int
}

func (w *bits) put(v uint64, size int) *bits {
	for size--; size >= 0; size-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>size&1) << (7 - w.n%8)
		w.n++
	}
	return w
}

// hugeDescriptor is a dependency descriptor (AV1 RTP specification, appendix A) that
// begins a structure of more templates, decode targets and layers than there may be, with
// the largest resolutions.
func hugeDescriptor(frame uint16) []byte {
	w := new(bits)
	w.put(1, 1).put(0, 1).put(0, 6).put(uint64(frame), 16) // the first packet of a frame, not its last
	w.put(1, 1).put(0, 1).put(0, 1).put(0, 1).put(0, 1)    // a structure comes
	w.put(63, 6).put(31, 5)                                // template offset, decode targets
	for range 3 {
		for range 7 {
			w.put(1, 2) // next temporal layer
		}
		w.put(2, 2) // next spatial layer
	}
	for range 40 {
		w.put(0, 2) // the same layer, again and again
	}
	return w.b[:min(len(w.b), 240)]
}

// What the codecs with layers inside can claim: more layers than there are, pictures that
// are begun and never ended, ended and never begun, references to what never was. It
// costs the sender's own stream, and pictures of others come as before.
func TestCodecStructures(t *testing.T) {
	fill := func(head ...byte) []byte { return append(head, make([]byte, 600)...) }
	for _, c := range []struct {
		name, mime string
		payload    func(i int) []byte
		descriptor func(i int) []byte
	}{
		{"vp9 layers beyond count", webrtc.MimeTypeVP9, func(i int) []byte {
			// I, L, F, B and V with every layer and size there can be: descriptor of RFC 9628.
			b := []byte{0xba, 0x80 | byte(i>>8), byte(i), byte(i&7)<<5 | 0x1e, byte(i), 0xf8}
			for range 8 {
				b = append(b, 0xff, 0xff, 0xff, 0xff) // a spatial layer of 65535x65535
			}
			b = append(b, 255) // pictures of a group
			for range 255 {
				b = append(b, 0xfc, 0xff, 0xff, 0xff) // each with three references
			}
			return b[:min(len(b), 1100)]
		}, nil},
		{"vp9 begun and never ended", webrtc.MimeTypeVP9, func(i int) []byte {
			return fill(0xa8, 0x80|byte(i>>8), byte(i), 0, byte(i))
		}, nil},
		{"vp9 ended and never begun", webrtc.MimeTypeVP9, func(i int) []byte {
			return fill(0xe4, 0x80|byte(i>>8), byte(i), 0x20, byte(i))
		}, nil},
		{"av1 structures beyond count", webrtc.MimeTypeAV1, func(int) []byte { return fill(0x18, 0x0a, 0xff, 0xff) }, func(i int) []byte {
			return hugeDescriptor(uint16(i))
		}},
		{"av1 begun and never ended", webrtc.MimeTypeAV1, func(i int) []byte {
			return fill(0x58, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) // a length without end
		}, func(i int) []byte { return []byte{0x80, byte(i >> 8), byte(i)} }},
		{"av1 of templates never told", webrtc.MimeTypeAV1, func(int) []byte { return fill(0x10) }, func(i int) []byte {
			return []byte{0xc0 | byte(i&63), byte(i >> 8), byte(i)}
		}},
		{"h265 begun and never ended", webrtc.MimeTypeH265, func(i int) []byte {
			return fill(49<<1, byte(1+i%7), 0x80|19) // the first fragment of a keyframe
		}, nil},
		{"h265 aggregates past their end", webrtc.MimeTypeH265, func(i int) []byte {
			return append([]byte{48 << 1, 1, 0xff, 0xff, 33 << 1, 1}, make([]byte, i%9)...)
		}, nil},
		{"h264 begun and never ended", webrtc.MimeTypeH264, func(i int) []byte { return fill(28, 0x80|5) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			besiege(t, func(s *siege) {
				guest := s.join(victims, "guest")
				defer guest.Close()
				s.wantEnabled(guest, c.mime)
				r, _ := s.rogue(guest, c.mime)
				for i := range 6000 {
					h := r.header(uint16(i))
					if id := r.ids[descriptorURI]; id != 0 && c.descriptor != nil {
						_ = h.SetExtension(id, c.descriptor(i))
					}
					r.send(h, c.payload(i))
					if i%5 == 0 {
						wait(time.Millisecond)
					}
				}
				wait(3 * time.Second) // the node gathers its numbers every two
				if got := s.c.Metrics(node)[`maille_client_packets_total{direction="in",kind="video"}`]; got < 5000 {
					t.Errorf("the node took %v packets of 6000: they are refused before anything reads them", got)
				}
			})
		})
	}
}
