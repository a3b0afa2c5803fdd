package attack

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"maille/bench/client"
)

// keyframesIn is how many keyframe requests a publisher may get in d: one for each layer
// and half second, and the first at once.
func keyframesIn(d time.Duration) uint64 { return 1 + uint64(d/(500*time.Millisecond)) }

// ssrcOf is the SSRC that a client receives a track by.
func (s *siege) ssrcOf(c *client.Client, sid string) uint32 {
	s.t.Helper()
	for _, t := range c.Subscriber().GetReceivers() {
		if t.Track() != nil && t.Track().ID() == sid {
			return uint32(t.Track().SSRC())
		}
	}
	s.t.Fatalf("%s is not received", sid)
	return 0
}

// video is a victim's video flow.
func (s *siege) video() *flow {
	for _, f := range s.flows {
		if f.name == "video of ann" {
			return f
		}
	}
	return nil
}

// watcher is a guest of the victims' meeting who sees ann.
func (s *siege) watcher(identity string) (*client.Client, uint32) {
	s.t.Helper()
	guest := s.join(victims, identity)
	sid := s.video().sent.Info.Sid
	s.check(guest.WaitPackets(s.ctx, sid, 5))
	return guest, s.ssrcOf(guest, sid)
}

// One receiver asks for 1,000 keyframes a second, by PLI and by FIR with new numbers.
func TestKeyframeStorm(t *testing.T) {
	besiege(t, func(s *siege) {
		guest, ssrc := s.watcher("guest")
		defer guest.Close()
		before := s.video().sent.Keyframes.Load()
		for i := range 3000 {
			var p rtcp.Packet = &rtcp.PictureLossIndication{MediaSSRC: ssrc}
			if i%2 == 1 {
				p = &rtcp.FullIntraRequest{MediaSSRC: ssrc, FIR: []rtcp.FIREntry{{SSRC: ssrc, SequenceNumber: uint8(i)}}}
			}
			s.check(guest.Subscriber().WriteRTCP([]rtcp.Packet{p}))
			wait(time.Millisecond)
		}
		got := s.video().sent.Keyframes.Load() - before
		if got > keyframesIn(3*time.Second) || got == 0 {
			t.Errorf("the publisher got %d requests in 3 s, want at most %d", got, keyframesIn(3*time.Second))
		}
	})
}

// Many receivers at once: the publisher hears one of them.
func TestKeyframeCrowd(t *testing.T) {
	besiege(t, func(s *siege) {
		type one struct {
			c    *client.Client
			ssrc uint32
		}
		var crowd []one
		for i := range 30 {
			c, ssrc := s.watcher(fmt.Sprint("guest-", i))
			defer c.Close()
			crowd = append(crowd, one{c, ssrc})
		}
		wait(5 * time.Second) // those that came for the newcomers
		before := s.video().sent.Keyframes.Load()
		for _, w := range crowd {
			s.check(w.c.Subscriber().WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: w.ssrc}}))
			wait(3 * time.Millisecond)
		}
		wait(time.Second)
		if got := s.video().sent.Keyframes.Load() - before; got > 2 || got == 0 {
			t.Errorf("the publisher got %d requests, want one or two", got)
		}
	})
}

// A receiver asks for all it was ever sent, again and again: what it gets again is a
// tenth of what it gets, and no packet more than three times.
func TestNACKStorm(t *testing.T) {
	besiege(t, func(s *siege) {
		guest, ssrc := s.watcher("guest")
		defer guest.Close()
		wait(5 * time.Second)
		known := make(map[uint32]bool)
		for _, f := range s.flows {
			known[s.ssrcOf(guest, f.sent.Info.Sid)] = true
		}
		first, again, times := 0, 0, make(map[uint16]int)
		var mu sync.Mutex
		highest := uint16(0)
		s.tap(func(from, to netip.AddrPort, b []byte) {
			p := seen{from, to, b}
			if from != s.media || !p.rtp() || to.Addr() != netip.MustParseAddr("10.1.0.4") {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			switch size := len(b); {
			case binary.BigEndian.Uint32(b[8:]) == ssrc:
				highest = max(highest, binary.BigEndian.Uint16(b[2:]))
				first += size
				times[binary.BigEndian.Uint16(b[2:])]++
			case !known[binary.BigEndian.Uint32(b[8:])]: // in the retransmission format
				again += size
			}
		})
		for range 300 {
			mu.Lock()
			top := highest
			mu.Unlock()
			s.check(guest.Subscriber().WriteRTCP([]rtcp.Packet{nackBefore(ssrc, top)}))
			wait(10 * time.Millisecond)
		}
		wait(3 * time.Second) // the node gathers its numbers every two
		mu.Lock()
		defer mu.Unlock()
		// 10 % of what was sent since it came, with the 32 kB that a session begins with.
		if most := first/10 + videoBytes*30*5/10 + 33<<10; again > most || again == 0 {
			t.Errorf("%d bytes sent again beside %d, want at most %d", again, first, most)
		}
		for seq, n := range times {
			if n > 4 {
				t.Errorf("packet %d was sent %d times", seq, n)
			}
		}
		if asked := s.c.Metrics(node)[`maille_client_nacks_total{direction="in",kind="video"}`]; asked < 300*256 {
			t.Errorf("%v packets asked for are counted", asked)
		}
	})
}

// Feedback that lies: transport-wide reports of packets never sent, deltas and base
// times that jump, REMB of nothing and of more than there is, reports that lose all.
func TestFeedbackLies(t *testing.T) {
	besiege(t, func(s *siege) {
		guest, ssrc := s.watcher("guest")
		defer guest.Close()
		rng := rand.New(rand.NewPCG(3, 4))
		for i := range 1000 {
			base := uint16(rng.UintN(1 << 16))
			twcc := &rtcp.TransportLayerCC{
				Header:     rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback},
				SenderSSRC: 1, MediaSSRC: ssrc, BaseSequenceNumber: base, PacketStatusCount: 8,
				ReferenceTime: rng.Uint32N(1 << 24), FbPktCount: uint8(i),
				PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{
					Type: rtcp.TypeTCCRunLengthChunk, PacketStatusSymbol: rtcp.TypeTCCPacketReceivedLargeDelta, RunLength: 8,
				}},
			}
			for range 8 {
				twcc.RecvDeltas = append(twcc.RecvDeltas, &rtcp.RecvDelta{
					Type: rtcp.TypeTCCPacketReceivedLargeDelta, Delta: (int64(rng.IntN(1<<16)) - 1<<15) * 250,
				})
			}
			twcc.Header.Length = uint16(twcc.MarshalSize()/4 - 1)
			report := &rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{
				SSRC: ssrc, FractionLost: 255, TotalLost: 1<<24 - 1, LastSequenceNumber: rng.Uint32(), Jitter: rng.Uint32(),
				LastSenderReport: rng.Uint32(), Delay: rng.Uint32(),
			}}}
			remb := &rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: 1, Bitrate: float32(uint64(1) << (i % 64)), SSRCs: []uint32{ssrc}}
			if i%3 == 0 {
				remb.Bitrate = 0
			}
			for _, p := range []rtcp.Packet{twcc, report, remb} {
				_ = guest.Subscriber().WriteRTCP([]rtcp.Packet{p})
			}
			wait(2 * time.Millisecond)
		}
	})
}

// RTCP that is none: lengths past the end, counts of what is not there, unknown types.
func TestReportGarbage(t *testing.T) {
	besiege(t, func(s *siege) {
		guest, ssrc := s.watcher("guest")
		defer guest.Close()
		_, err := guest.PublishAudio(s.ctx, 20)
		s.check(err)
		rng := rand.New(rand.NewPCG(5, 6))
		for i := range 2000 {
			b := make([]byte, 8+4*rng.IntN(40))
			for j := range b {
				b[j] = byte(rng.UintN(256))
			}
			b[0] = 2<<6 | byte(rng.UintN(32))
			b[1] = byte(200 + rng.UintN(8))
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
			if len(b) >= 12 {
				binary.BigEndian.PutUint32(b[8:], ssrc)
			}
			if i%4 == 0 { // one that lies about its length, in a datagram of two
				binary.BigEndian.PutUint16(b[2:], uint16(rng.UintN(1<<16)))
			}
			raw := rtcp.RawPacket(b)
			_ = guest.Subscriber().WriteRTCP([]rtcp.Packet{&raw})
			_ = guest.Publisher().WriteRTCP([]rtcp.Packet{&raw})
			wait(time.Millisecond)
		}
	})
}

// Reports about 2^16 streams that there are not: each costs the node a queue until the
// client leaves, so it leaves soon.
func TestReportFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join("lobby", "guest")
		defer guest.Close()
		for i := range uint32(1 << 12) {
			b := &rtcp.ReceiverReport{SSRC: 1}
			for j := range uint32(16) {
				b.Reports = append(b.Reports, rtcp.ReceptionReport{SSRC: 16*i + j})
			}
			if guest.Subscriber().WriteRTCP([]rtcp.Packet{b}) != nil {
				break
			}
			if i%100 == 0 {
				wait(10 * time.Millisecond)
			}
		}
		s.wantLeft(guest)
		s.wantRefused("stream", 1)
	})
}

// Keyframe requests and reports about streams of others, by a client that watches
// nothing: no publisher hears of them.
func TestFeedbackAboutOthersStreams(t *testing.T) {
	besiege(t, func(s *siege) {
		at := make(map[uint32]bool)
		for _, p := range s.record(time.Second, func(p seen) bool { return p.from == s.media && p.rtp() }) {
			at[binary.BigEndian.Uint32(p.b[8:])] = true
		}
		guest := s.join("lobby", "guest")
		defer guest.Close()
		before := s.video().sent.Keyframes.Load()
		for range 200 {
			for ssrc := range at {
				s.check(guest.Subscriber().WriteRTCP([]rtcp.Packet{
					&rtcp.PictureLossIndication{MediaSSRC: ssrc}, &rtcp.Goodbye{Sources: []uint32{ssrc}},
				}))
			}
			wait(5 * time.Millisecond)
		}
		if got := s.video().sent.Keyframes.Load() - before; got > 0 {
			t.Errorf("%d requests reached a publisher of another room", got)
		}
	})
}

// nackBefore asks for the 272 packets before one.
func nackBefore(ssrc uint32, top uint16) *rtcp.TransportLayerNack {
	n := &rtcp.TransportLayerNack{MediaSSRC: ssrc}
	for seq := top - 16*17; seq != top; seq += 17 {
		n.Nacks = append(n.Nacks, rtcp.NackPair{PacketID: seq, LostPackets: 0xffff})
	}
	return n
}

// newest follows the number of the newest packet of a stream that the node sends.
func (s *siege) newest(at netip.Addr, ssrc uint32) *atomic.Uint32 {
	top := new(atomic.Uint32)
	s.tap(func(from, to netip.AddrPort, b []byte) {
		if p := (seen{from, to, b}); from == s.media && to.Addr() == at && p.rtp() && binary.BigEndian.Uint32(b[8:]) == ssrc {
			top.Store(uint32(binary.BigEndian.Uint16(b[2:])))
		}
	})
	return top
}

// nackAll asks for the last of what a stream has sent, and for a keyframe.
func nackAll(ssrc uint32, top uint16) []rtcp.Packet {
	return []rtcp.Packet{nackBefore(ssrc, top), &rtcp.PictureLossIndication{MediaSSRC: ssrc}}
}
