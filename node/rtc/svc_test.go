package rtc

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"maille/relay"
	"maille/relay/codec"
	"maille/relay/track"
)

// vp9Picture returns the packets of a picture with spatial layers, two packets a layer,
// as Chromium writes them with scalability mode L3T3_KEY: without flexible mode, upper
// layers predicted from below in keyframes only. The coded bytes are noise, as they are
// under end to end encryption.
func vp9Picture(n, layers int, noise *rand.Rand) (payloads [][]byte) {
	temporal := temporal[n%4]
	key := n == 0 || n%200 == 0
	for s := range layers {
		for part := range 2 {
			first := byte(0x80 | 0x20) // picture id, layers
			if !key {
				first |= 0x40
			}
			if part == 0 {
				first |= 0x08
			} else {
				first |= 0x04
			}
			structure := key && s == 0 && part == 0
			if structure {
				first |= 0x02
			}
			b := []byte{first, 0x80 | byte(n>>8)&0x7f, byte(n), temporal<<5 | 0x10 | byte(s)<<1, byte(n / 4)}
			if key && s > 0 {
				b[3] |= 1
			}
			if structure {
				b = append(b, byte(layers-1)<<5) // sizes and group not told
			}
			for range 20 {
				b = append(b, byte(noise.Uint32()))
			}
			payloads = append(payloads, b)
		}
	}
	return payloads
}

// vp9Feed brings an SVC stream through the same reading as a client's.
type vp9Feed struct {
	tr     *track.Track
	look   *codec.Inspector
	noise  *rand.Rand
	n      int
	seq    uint16
	layers int
}

func newVP9Feed(tr *track.Track) *vp9Feed {
	return &vp9Feed{tr: tr, look: codec.NewInspector(webrtc.MimeTypeVP9), noise: rand.New(rand.NewPCG(1, 2)), seq: 65000, layers: 3}
}

func (f *vp9Feed) picture() {
	payloads := vp9Picture(f.n, f.layers, f.noise)
	for i, payload := range payloads {
		p := relay.NewPacket()
		p.SSRC, p.Seq, p.Timestamp, p.Marker, p.Arrived = 9, f.seq, uint32(f.n)*3000, i == len(payloads)-1, relay.Now()
		p.Payload = p.Buffer()[:copy(p.Buffer(), payload)]
		f.look.Inspect(p)
		f.tr.Push(p)
		f.seq++
	}
	f.n++
	tick(20 * time.Millisecond)
}

// svcShown checks that packets are an unbroken stream with no layer above the two, and returns the
// highest of each, how many pictures, and how many ended with a marker.
func svcShown(t *testing.T, packets []rtp.Packet) (spatial, temporal uint8, pictures, ended int) {
	t.Helper()
	for i, p := range packets {
		d, ok := codec.ParseVP9(p.Payload)
		if !ok {
			t.Fatalf("packet %d cannot be read", i)
		}
		spatial, temporal = max(spatial, d.Spatial), max(temporal, d.Temporal)
		if p.Marker {
			ended++
		}
		if i == 0 || p.Timestamp != packets[i-1].Timestamp {
			pictures++
			if i > 0 && !packets[i-1].Marker {
				t.Fatalf("packet %d: the picture before has no end", i)
			}
		}
		if i > 0 && p.SequenceNumber != packets[i-1].SequenceNumber+1 {
			t.Fatalf("packet %d: number %d after %d", i, p.SequenceNumber, packets[i-1].SequenceNumber)
		}
	}
	return spatial, temporal, pictures, ended
}

func TestVP9LayersAreChosenByDescriptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &askedOf{}
		tr := track.New("TR_V", relay.Video, webrtc.MimeTypeVP9)
		defer tr.Close()
		tr.SetSource(src)
		s, k := watch(tr, Down{MaxSpatial: 1, MaxTemporal: 1}, exactDemand, relay.Now)
		f := newVP9Feed(tr)
		run := func(n int) (spatial, temporal uint8, pictures int) {
			from := len(k.got())
			for range n {
				f.picture()
			}
			all := k.got()
			svcShown(t, all)
			spatial, temporal, pictures, _ = svcShown(t, all[from:])
			return spatial, temporal, pictures
		}
		if s, te, n := run(150); s != 1 || te != 1 || n < 74 || n > 76 {
			t.Errorf("spatial %d, temporal %d, %d pictures", s, te, n)
		}
		s.Select(0, 2)
		run(10)
		if s, te, n := run(30); s != 0 || te != 2 || n != 30 {
			t.Errorf("after Select(0, 2): spatial %d, temporal %d, %d pictures", s, te, n)
		}
		asked := src.keys
		s.Select(2, 2)
		run(8)
		if src.keys == asked {
			t.Error("no keyframe is asked for on the way up")
		}
		if s, _, _ := run(1); s != 0 {
			t.Errorf("layer %d before a keyframe", s)
		}
		f.n = 200 // the next picture is a keyframe
		if s, te, _ := run(20); s != 2 || te != 2 {
			t.Errorf("after the keyframe: spatial %d, temporal %d", s, te)
		}
		if n := s.Stats().Spatial; n != 2 {
			t.Errorf("layer %d is told", n)
		}

		// A picture sent again has its end too.
		s.Select(0, 2)
		run(4)
		all := k.got()
		last := all[len(all)-1]
		s.answer(relay.Now(), []uint16{last.SequenceNumber})
		if again := k.got()[len(all)]; !again.Marker || !last.Marker || count([]rtp.Packet{again}, last.SequenceNumber) != 1 {
			t.Error("repair without the marker")
		}
	})
}

// Several encodings of VP9 are simulcast, not layers of one.
func TestVP9SimulcastIsNotSVC(t *testing.T) {
	for _, early := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			tr := track.New("TR_V", relay.Video, webrtc.MimeTypeVP9)
			defer tr.Close()
			var s *Subscriber
			var k *keep
			if early {
				s, k = watch(tr, Down{MaxSpatial: 2, MaxTemporal: 3}, exactDemand, relay.Now)
			}
			noise := rand.New(rand.NewPCG(1, 2))
			look := codec.NewInspector(webrtc.MimeTypeVP9)
			push := func(pictures int) {
				for range pictures {
					for encoding := range uint8(3) {
						for i, payload := range vp9Picture(int(tr.Stats().Encodings[encoding].Packets/2)%50*4, 1, noise) {
							p := relay.NewPacket()
							p.Encoding, p.Spatial = encoding, encoding
							p.SSRC, p.Seq = uint32(encoding), uint16(tr.Stats().Encodings[encoding].Packets)
							p.Timestamp, p.Marker, p.Arrived = uint32(tr.Stats().Encodings[encoding].Packets/2)*3000, i == 1, relay.Now()
							p.Payload = p.Buffer()[:copy(p.Buffer(), payload)]
							p.Payload[len(p.Payload)-1] = encoding // a mark
							look.Inspect(p)
							tr.Push(p)
						}
					}
					tick(20 * time.Millisecond)
				}
			}
			push(10)
			if !early {
				s, k = watch(tr, Down{MaxSpatial: 2, MaxTemporal: 3}, exactDemand, relay.Now)
			}
			push(100)
			from := len(k.got())
			push(50)
			out := k.got()
			if len(out)-from != 100 {
				t.Fatalf("%d packets of 50 pictures", len(out)-from)
			}
			for i, p := range out[from:] {
				if mark := p.Payload[len(p.Payload)-1]; mark != 2 {
					t.Fatalf("packet %d is of encoding %d", i, mark)
				}
			}
			svcShown(t, out)
			s.Select(0, 3)
			push(100)
			if n := s.Stats().Spatial; n != 0 {
				t.Errorf("layer %d after Select", n)
			}
		})
	}
}

// The numbers of dependency descriptors go on over changes of encoding, and a packet
// sent again has the number it had.
func TestFrameNumbersGoOn(t *testing.T) {
	var f frames
	type sentFrame struct{ seq, number uint16 }
	var sent []sentFrame
	seq := uint16(65000)
	send := func(encoding uint8, number uint16) uint16 {
		p := relay.NewPacket()
		defer p.Release()
		p.Encoding = encoding
		p.Descriptor = binary.BigEndian.AppendUint16([]byte{0xc0}, number)
		p.Descriptor = append(p.Descriptor, 0x55)
		f.pass(p, seq)
		out := f.append(nil, p, seq)
		if out[0] != 0xc0 || out[3] != 0x55 || len(out) != 4 || p.Descriptor[1] != byte(number>>8) {
			t.Fatalf("descriptor % x", out)
		}
		seq++
		return binary.BigEndian.Uint16(out[1:])
	}
	last := uint16(0)
	for i, stretch := range []struct {
		encoding uint8
		from     uint16
		n        int
	}{{2, 5000, 40000}, {0, 100, 300}, {2, 60000, 70000}, {1, 7, 10}, {0, 65530, 100}} {
		for k := range stretch.n {
			number := send(stretch.encoding, stretch.from+uint16(k))
			if (i > 0 || k > 0) && number != last+1 {
				t.Fatalf("stretch %d, frame %d: %d after %d", i, k, number, last)
			}
			last = number
			sent = append(sent, sentFrame{seq - 1, stretch.from + uint16(k) - number})
		}
	}
	for _, s := range sent[len(sent)-300:] {
		if got := f.at(s.seq); got != -s.number {
			t.Fatalf("packet %d again: shifted by %d, was %d", s.seq, got, -s.number)
		}
	}
}

// bitString writes a descriptor bit by bit.
type bitString struct {
	b  []byte
	at int
}

func (w *bitString) put(n int, v uint32) *bitString {
	for i := n - 1; i >= 0; i-- {
		if w.at%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.at/8] |= byte(v>>i&1) << (7 - w.at%8)
		w.at++
	}
	return w
}

// av1Descriptor is that of one whole frame of an L2T1_KEY stream.
func av1Descriptor(frame uint16, spatial uint32, structure bool) []byte {
	w := new(bitString).put(2, 3).put(6, spatial).put(16, uint32(frame))
	if structure {
		w.put(5, 1<<4).put(6, 0).put(5, 1) // template ids from 0, two decode targets
		w.put(2, 2).put(2, 3)              // a template for each spatial layer
		w.put(4, 2<<2|3).put(4, 0<<2|2)    // how they serve each target
		w.put(2, 0).put(1, 0).put(1, 0)    // no differences, chains or sizes
	}
	return w.b
}

// AV1 is judged by its dependency descriptor only.
func TestAV1LayersAreChosenByDescriptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := track.New("TR_V", relay.Video, webrtc.MimeTypeAV1)
		defer tr.Close()
		s, k := watch(tr, Down{MaxSpatial: 0, MaxTemporal: 3}, exactDemand, relay.Now)
		look, noise := codec.NewInspector(webrtc.MimeTypeAV1), rand.New(rand.NewPCG(3, 4))
		seq, frame := uint16(1), uint16(65500)
		push := func(pictures int, key bool) {
			for i := range pictures {
				for spatial := range uint32(2) {
					p := relay.NewPacket()
					p.Seq, p.Timestamp, p.Marker, p.Arrived = seq, uint32(frame/2)*3000, spatial == 1, relay.Now()
					b := binary.BigEndian.AppendUint64([]byte{byte(spatial)}, noise.Uint64())
					p.Payload = p.Buffer()[:copy(p.Buffer(), b)]
					p.Descriptor = av1Descriptor(frame, spatial, key && i == 0 && spatial == 0)
					look.Inspect(p)
					tr.Push(p)
					seq++
					frame++
				}
				tick(20 * time.Millisecond)
			}
		}
		check := func(what string, from, want int, highest byte) {
			t.Helper()
			out := k.got()
			if len(out)-from != want {
				t.Errorf("%s: %d packets, want %d", what, len(out)-from, want)
			}
			for i := from; i < len(out); i++ {
				if out[i].Payload[0] > highest || out[i].Marker != (out[i].Payload[0] == highest) {
					t.Fatalf("%s: packet %d is of layer %d, marker %t", what, i, out[i].Payload[0], out[i].Marker)
				}
				if i > 0 && out[i].SequenceNumber != out[i-1].SequenceNumber+1 {
					t.Fatalf("%s: gap before packet %d", what, i)
				}
			}
		}
		push(50, true)
		check("the lower layer", 0, 50, 0)
		s.Select(1, 3)
		from := len(k.got())
		push(10, false)
		check("before a keyframe", from, 10, 0)
		from = len(k.got())
		push(10, true)
		check("both layers", from, 20, 1)
	})
}
