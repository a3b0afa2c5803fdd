package attack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/proto/livekit"
)

// seen is a datagram as anyone on the path reads it.
type seen struct {
	from, to netip.AddrPort
	b        []byte
}

func (d seen) rtp() bool {
	return len(d.b) > 12 && d.b[0]>>6 == 2 && (d.b[1]&0x7f < 64 || d.b[1]&0x7f >= 96)
}
func (d seen) rtcp() bool { return len(d.b) > 12 && d.b[0]>>6 == 2 && !d.rtp() }

// record returns what passes the network in d that want picks.
func (s *siege) record(d time.Duration, want func(seen) bool) []seen {
	var mu sync.Mutex
	var out []seen
	on := true
	s.tap(func(from, to netip.AddrPort, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		if p := (seen{from, to, b}); on && want(p) {
			p.b = bytes.Clone(b)
			out = append(out, p)
		}
	})
	wait(d)
	mu.Lock()
	defer mu.Unlock()
	on = false
	return out
}

func (s *siege) toNode(p seen) bool { return p.to == s.media && p.b[0]>>6 == 2 }

// RTP bleed and injection: media of the victims, as it is and made up, from another
// address (CVE-2017-14099, CVE-2025-53399). None arrives, and nothing is sent there.
func TestMediaFromAnotherAddress(t *testing.T) {
	besiege(t, func(s *siege) {
		captured := s.record(time.Second, s.toNode)
		sent := s.traffic()
		c := s.socket()
		ip := s.lastIP()
		for i, p := range captured {
			b := bytes.Clone(p.b)
			if i%2 == 1 { // made up
				binary.BigEndian.PutUint16(b[2:], binary.BigEndian.Uint16(b[2:])+1000)
			}
			_, _ = c.WriteTo(b, net.UDPAddrFromAddrPort(s.media))
		}
		wait(time.Second)
		if n := sent.to(addr(ip)); n > 0 {
			t.Errorf("%d bytes sent to who only sent media", n)
		}
		s.wantRefused("address", float64(len(captured)))
	})
}

// Packets that fail authentication, from the very address of the victim: 100 of them
// hung FreeSWITCH up (CVE-2021-41105).
func TestForgedPacketsFromVictimsAddress(t *testing.T) {
	besiege(t, func(s *siege) {
		captured := s.record(5*time.Second, s.toNode)
		rng := rand.New(rand.NewPCG(1, 2))
		for _, p := range captured {
			b := bytes.Clone(p.b)
			b[len(b)-1-rng.IntN(8)] ^= 0x55 // the tag
			if p.rtp() {
				binary.BigEndian.PutUint16(b[2:], binary.BigEndian.Uint16(b[2:])+uint16(rng.UintN(5000)))
			}
			s.c.Net.Inject("node-"+node, p.from, s.media, b)
		}
		wait(time.Second)
		if len(captured) < 200 {
			t.Fatalf("only %d packets to forge", len(captured))
		}
		s.wantRefused("packet", float64(len(captured)))
	})
}

// Every packet of the victims again, 1, 10 and 60 s later: media, reports, keyframe
// requests. None counts twice.
func TestReplay(t *testing.T) {
	besiege(t, func(s *siege) {
		captured := s.record(2*time.Second, s.toNode)
		media, reports := 0, 0
		for _, p := range captured {
			if p.rtp() {
				media++
			} else if p.rtcp() {
				reports++
			}
		}
		if media < 2*perSecond || reports < 4 {
			t.Fatalf("%d packets and %d reports to replay", media, reports)
		}
		for i, after := range []time.Duration{time.Second, 9 * time.Second, 50 * time.Second} {
			wait(after)
			for _, p := range captured {
				s.c.Net.Inject("node-"+node, p.from, s.media, p.b)
			}
			wait(time.Second)
			// What a client takes twice it shows in its counters; see flow.verify.
			s.wantRefused("packet", float64((i+1)*(media+reports)))
		}
	})
}

// ROC desynchronisation: outgoing numbers begin in 1..32767, so that the loss of the
// first packets never hides a wrap.
func TestFirstNumbers(t *testing.T) {
	besiege(t, func(s *siege) {
		var mu sync.Mutex
		first := make(map[uint32]uint16)
		s.tap(func(from, _ netip.AddrPort, b []byte) {
			if p := (seen{from: from, b: b}); from == s.media && p.rtp() {
				mu.Lock()
				defer mu.Unlock()
				ssrc := binary.BigEndian.Uint32(b[8:])
				if _, ok := first[ssrc]; !ok {
					first[ssrc] = binary.BigEndian.Uint16(b[2:])
				}
			}
		})
		wait(100 * time.Millisecond)
		mu.Lock()
		running := len(first)
		clear(first)
		mu.Unlock()
		for i := range 10 {
			guest := s.join("lobby", fmt.Sprint("guest-", i))
			defer guest.Close()
			_, err := guest.PublishAudio(s.ctx, 20)
			s.check(err)
		}
		wait(time.Second)
		old := make(map[uint32]bool) // those of the victims began long ago
		at := s.victimIPs()
		for _, p := range s.record(time.Second, func(p seen) bool { return p.from == s.media && p.rtp() }) {
			if at[p.to.Addr()] {
				old[binary.BigEndian.Uint32(p.b[8:])] = true
			}
		}
		mu.Lock()
		defer mu.Unlock()
		began := 0
		for ssrc, seq := range first {
			if old[ssrc] {
				continue
			}
			if began++; seq == 0 || seq > 32767 {
				t.Errorf("a stream began at %d, want 1 to 32767", seq)
			}
		}
		if began < 20 || len(old) > running {
			t.Errorf("%d streams began beside %d", began, running)
		}
	})
}

// A client sends media under the SSRCs of the victims: it reaches nobody, and theirs
// goes on.
func TestSomeoneElsesSSRC(t *testing.T) {
	besiege(t, func(s *siege) {
		ssrcs := make(map[uint32]bool)
		for _, p := range s.record(time.Second, s.toNode) {
			if p.rtp() {
				ssrcs[binary.BigEndian.Uint32(p.b[8:])] = true
			}
		}
		if len(ssrcs) < 4 {
			t.Fatalf("%d SSRCs seen", len(ssrcs))
		}
		guest := s.join(victims, "guest")
		defer guest.Close()
		r, _ := s.rogue(guest, webrtc.MimeTypeOpus)
		for seq := range uint16(500) {
			for ssrc := range ssrcs {
				h := r.header(seq)
				h.SSRC = ssrc
				r.send(h, make([]byte, 80))
			}
			wait(2 * time.Millisecond)
		}
	})
}

// victimIPs are the first two clients of the cluster.
func (s *siege) victimIPs() map[netip.Addr]bool {
	return map[netip.Addr]bool{netip.MustParseAddr("10.1.0.2"): true, netip.MustParseAddr("10.1.0.3"): true}
}

// 2^16 SSRCs of one client: each costs the node memory until the client leaves, so it
// leaves soon.
func TestSSRCFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join("lobby", "guest")
		defer guest.Close()
		r, _ := s.rogue(guest, webrtc.MimeTypeOpus)
		for i := range uint32(1 << 16) {
			h := r.header(uint16(i))
			h.SSRC = 1000 + i
			r.send(h, []byte{1})
			if i%1000 == 0 {
				wait(10 * time.Millisecond)
			}
		}
		s.wantLeft(guest)
		s.wantRefused("stream", 1)
	})
}

// Bytes of streams that nobody reads: a client fills no more than its share.
func TestUnreadStreams(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join("lobby", "guest")
		defer guest.Close()
		r, _ := s.rogue(guest, webrtc.MimeTypeOpus)
		for i := range uint32(12000) { // 14 MB in 100 streams
			h := r.header(uint16(i))
			h.SSRC, h.PayloadType = 1000+i%100, 127
			r.send(h, make([]byte, 1150))
			if i%100 == 0 {
				wait(time.Millisecond)
			}
		}
		s.wantRefused("stream", 1000)
	})
}

// Fingerprints: broken hashes, none, two, and one of another certificate.
func TestFingerprints(t *testing.T) {
	const hash = "AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89"
	for name, change := range map[string]func(line string) string{
		"md5":       func(string) string { return "a=fingerprint:md5 " + hash[:47] },
		"sha-1":     func(string) string { return "a=fingerprint:sha-1 " + hash[:59] },
		"none":      func(string) string { return "a=x:y" },
		"different": func(line string) string { return line + "\r\na=fingerprint:sha-256 " + hash },
		"mismatch":  func(string) string { return "a=fingerprint:sha-256 " + hash },
	} {
		t.Run(name, func(t *testing.T) {
			besiege(t, func(s *siege) {
				guest := s.join(victims, "guest")
				defer guest.Close()
				s.check(guest.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: &livekit.AddTrackRequest{
					Cid: "mic", Type: livekit.TrackType_AUDIO,
				}}}))
				pc := guest.Publisher()
				_, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv})
				s.check(err)
				offer, err := pc.CreateOffer(nil)
				s.check(err)
				s.check(pc.SetLocalDescription(offer))
				var lines []string
				for line := range strings.SplitSeq(offer.SDP, "\r\n") {
					if strings.HasPrefix(line, "a=fingerprint:") {
						line = change(line)
					}
					lines = append(lines, line)
				}
				s.offer(guest, strings.Join(lines, "\r\n"))
				if name != "mismatch" {
					s.wantLeft(guest)
					s.wantRefused("description", 1)
					return
				}
				wait(10 * time.Second)
				if state := pc.ConnectionState(); state == webrtc.PeerConnectionStateConnected {
					t.Error("a client with another certificate is connected")
				}
			})
		})
	}
}

// One key and one number never encrypt two packets: not over ICE restarts, not when a
// track is left and taken again (a two-time pad gives both away).
func TestNumbersAreUsedOnce(t *testing.T) {
	besiege(t, func(s *siege) {
		guest, _ := s.watcher("guest")
		defer guest.Close()
		at := netip.MustParseAddr("10.1.0.4")
		var mu sync.Mutex
		used, twice, changed := make(map[uint64][]byte), 0, 0
		s.tap(func(from, to netip.AddrPort, b []byte) {
			if p := (seen{from, to, b}); from != s.media || to.Addr() != at || !p.rtp() {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			// Less than 65,536 packets of each come here: the index is the number.
			key := uint64(binary.BigEndian.Uint32(b[8:]))<<16 | uint64(binary.BigEndian.Uint16(b[2:]))
			if before, ok := used[key]; ok {
				twice++
				if !bytes.Equal(before, b) {
					changed++
				}
			}
			used[key] = bytes.Clone(b)
		})
		sids := s.victimSids()
		for i := range 5 {
			s.check(guest.Subscribe(false, sids...))
			wait(time.Second)
			s.check(guest.Subscribe(true, sids...))
			wait(2 * time.Second)
			if i%2 == 0 {
				s.check(guest.Resume(s.ctx))
				wait(5 * time.Second)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if changed > 0 || len(used) < 1000 {
			t.Errorf("%d of %d numbers were used for two packets, %d for one packet twice", changed, len(used), twice-changed)
		}
	})
}
