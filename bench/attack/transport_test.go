package attack

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"maille/bench/client"
	"maille/proto/livekit"
)

// nullHello is a DTLS 1.2 ClientHello that offers TLS_NULL_WITH_NULL_NULL only: what
// ended calls of Asterisk, FreeSWITCH and RTPEngine when it came before the client's own
// (CVE-2023-49786, -51443, -51275).
func nullHello() []byte {
	body := append([]byte{0xfe, 0xfd}, make([]byte, 32)...)  // version, random
	body = append(body, 0, 0, 0, 2, 0, 0, 1, 0)              // session, cookie, suites, compression
	head := []byte{1, 0, 0, byte(len(body)), 0, 0, 0, 0, 0}  // ClientHello, message 0, whole
	head = append(head, 0, 0, byte(len(body)))               // fragment length
	record := []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0} // handshake, epoch 0, number 0
	record = append(record, 0, byte(len(head)+len(body)))    // length
	return slices.Concat(record, head, body)
}

// traffic notes what the node's media port sends to whom.
type traffic struct {
	mu    sync.Mutex
	bytes map[netip.AddrPort]int
}

func (s *siege) traffic() *traffic {
	tr := &traffic{bytes: make(map[netip.AddrPort]int)}
	s.tap(func(from, to netip.AddrPort, b []byte) {
		if from == s.media {
			tr.mu.Lock()
			tr.bytes[to] += len(b)
			tr.mu.Unlock()
		}
	})
	return tr
}

// to is what was sent to an address, whatever the port.
func (tr *traffic) to(ip netip.Addr) (n int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for a, bytes := range tr.bytes {
		if a.Addr() == ip {
			n += bytes
		}
	}
	return n
}

func (tr *traffic) all() (out []netip.Addr) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for a := range tr.bytes {
		out = append(out, a.Addr())
	}
	return out
}

// spray sends packets made by f from a socket until stop is called.
func (s *siege) spray(c net.PacketConn, every time.Duration, f func(n int) []byte) (stop func()) {
	to := net.UDPAddrFromAddrPort(s.media)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-tick.C:
				_, _ = c.WriteTo(f(n), to)
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// A1: hellos and other first bytes from where nobody has proven anything, while people
// join. Nothing is answered, nobody is kept from joining.
func TestClientHelloSpray(t *testing.T) {
	besiege(t, func(s *siege) {
		sent := s.traffic()
		var stops []func()
		var from []netip.Addr
		for range 5 {
			c := s.socket()
			from = append(from, addr(s.lastIP()))
			stops = append(stops, s.spray(c, 2*time.Millisecond, func(n int) []byte {
				b := nullHello()
				switch n % 4 {
				case 1:
					_, _ = rand.Read(b)
					b[0] = 20 + b[0]%44 // all that DTLS may begin with
				case 2:
					_, _ = rand.Read(b)
					b[0] = 128 + b[0]%64 // and RTP
				case 3:
					b = b[:14+n%len(b[14:])] // a fragment
				}
				return b
			}))
		}
		for i := range 10 {
			began := time.Now()
			guest := s.join("lobby", fmt.Sprint("guest-", i))
			if d := time.Since(began); d > time.Second {
				t.Errorf("join %d took %v", i, d)
			}
			s.check(guest.Close())
		}
		for _, stop := range stops {
			stop()
		}
		for _, ip := range from {
			if n := sent.to(ip); n > 0 {
				t.Errorf("%d bytes sent to %v, which proved nothing", n, ip)
			}
		}
		s.wantRefused("address", 1000)
	})
}

// The same from an address that the client has named as a candidate of its own, which
// agents tend to trust.
func TestClientHelloFromNamedCandidate(t *testing.T) {
	besiege(t, func(s *siege) {
		sent := s.traffic()
		c := s.socket()
		at := c.LocalAddr().(*net.UDPAddr)
		ip, port := s.lastIP(), at.Port
		guest := s.join("lobby", "guest")
		defer guest.Close()
		for _, target := range []livekit.SignalTarget{livekit.SignalTarget_PUBLISHER, livekit.SignalTarget_SUBSCRIBER} {
			s.trickle(guest, target, fmt.Sprintf("candidate:1 1 udp 2130706431 %s %d typ host", ip, port))
		}
		wait(100 * time.Millisecond)
		stop := s.spray(c, 2*time.Millisecond, func(int) []byte { return nullHello() })
		_, err := guest.PublishAudio(s.ctx, 20)
		s.check(err)
		wait(time.Second)
		stop()
		if n := sent.to(addr(ip)); n > 0 {
			t.Errorf("%d bytes sent to a candidate that proved nothing", n)
		}
		s.wantRefused("address", 100)
	})
}

// A5: a hello that carries the address of a client in session.
func TestClientHelloFromVictimsAddress(t *testing.T) {
	besiege(t, func(s *siege) {
		for from := range s.victimAddresses() {
			for range 200 {
				s.c.Net.Inject("node-"+node, from, s.media, nullHello())
			}
		}
		wait(time.Second)
	})
}

// STUN from anybody: without a name, with one of nobody, and with a victim's name and
// no password. None is answered.
func TestSTUNFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		user := s.stunUser()
		sent := s.traffic()
		c := s.socket()
		ip := addr(s.lastIP())
		kinds := []func() []byte{
			func() []byte { return binding(stun.NewUsername("nobody:else"), stun.NewShortTermIntegrity("guess")) },
			func() []byte { return binding(stun.NewUsername(user), stun.NewShortTermIntegrity("guess")) },
			func() []byte { return binding(stun.NewUsername(user)) },
			func() []byte { return binding() },
			func() []byte { return binding(stun.RawAttribute{Type: stun.AttrXORMappedAddress}) },
			func() []byte { return binding(stun.RawAttribute{Type: 0x7abc, Value: []byte{1, 2, 3, 4}}) },
			func() []byte { // an attribute that claims 64 KB
				b := binding(stun.RawAttribute{Type: stun.AttrUsername, Value: make([]byte, 8)})
				binary.BigEndian.PutUint16(b[22:], 0xffff)
				return b
			},
			func() []byte { // a message that claims another length
				b := binding(stun.NewUsername(user))
				binary.BigEndian.PutUint16(b[2:], 0xfffc)
				return b
			},
			func() []byte { return binding(stun.RawAttribute{Type: stun.AttrUsername, Value: make([]byte, 1200)}) },
		}
		stop := s.spray(c, time.Millisecond, func(n int) []byte { return kinds[n%len(kinds)]() })
		wait(5 * time.Second)
		stop()
		if n := sent.to(ip); n > 0 {
			t.Errorf("%d bytes answered to STUN without the password", n)
		}
		s.wantRefused("address", 3000)
	})
}

// binding is a STUN binding request.
func binding(set ...stun.Setter) []byte {
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.BindingRequest}, set...)...)
	if err != nil {
		panic(err)
	}
	return m.Raw
}

// A candidate makes the node send to whom it names: nothing ever, of any kind.
func TestCandidateSSRF(t *testing.T) {
	besiege(t, func(s *siege) {
		secret := s.host() // an inner service, one of whose ports would be probed
		ln, err := secret.Listen("tcp", ":6379")
		s.check(err)
		dialled := make(chan struct{}, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
				select {
				case dialled <- struct{}{}:
				default:
				}
			}
		})
		sent := s.traffic()
		guest := s.join("lobby", "guest")
		defer guest.Close()
		known := sent.all()
		inner := secret.IP().String()
		self := s.c.Nodes[node].Host.IP().String()
		for _, to := range []string{
			"127.0.0.1 7946", "127.0.0.1 22", "::1 7884", "0.0.0.0 7884", "169.254.169.254 80", "fe80::1 80", "224.0.0.251 5353",
			"ff02::fb 5353", "255.255.255.255 7946", inner + " 6379", self + " 7884", self + " 7946", self + " 7883",
			"::ffff:127.0.0.1 7946", "::ffff:169.254.169.254 80", "64:ff9b::7f00:1 80", "printer.local 9100", "db.internal 5432",
			"9d7b4a4c-0000-4000-8000-000000000000.local 5000", "2130706433 22", "0x7f.1 22",
		} {
			for _, text := range []string{
				"candidate:1 1 udp 2130706431 " + to + " typ host",
				"candidate:1 1 tcp 1518280447 " + to + " typ host tcptype passive",
				"candidate:1 1 tcp 1518280447 " + to + " typ host tcptype so",
				"candidate:1 1 udp 1694498815 " + to + " typ srflx raddr 10.0.0.1 rport 9",
				"candidate:1 1 udp 41885439 " + to + " typ relay raddr 10.0.0.1 rport 9",
			} {
				s.trickle(guest, livekit.SignalTarget_PUBLISHER, text)
				s.trickle(guest, livekit.SignalTarget_SUBSCRIBER, text)
			}
		}
		_, err = guest.PublishAudio(s.ctx, 20)
		s.check(err)
		wait(10 * time.Second)
		for _, a := range sent.all() {
			if !slices.Contains(known, a) {
				t.Errorf("the node sent to %v, which only a candidate named", a)
			}
		}
		if len(known) < 2 {
			t.Error("what the node sends is not seen at all")
		}
		select {
		case <-dialled:
			t.Error("the node dialled what a candidate named")
		default:
		}
		s.check(ln.Close())
		wg.Wait()
	})
}

// 5,000 candidates: those beyond the bound are refused one by one.
func TestCandidateFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join("lobby", "guest")
		defer guest.Close()
		for i := range 5000 {
			s.trickle(guest, livekit.SignalTarget_PUBLISHER,
				fmt.Sprintf("candidate:%d 1 udp 2130706431 10.%d.%d.%d 5000 typ host", i, i>>16, i>>8&0xff, i&0xff))
		}
		wait(time.Minute)
		s.wantRefused("candidate", 4900)
	})
}

// A client that restarts ICE again and again is sent away.
func TestICERestartFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join("lobby", "guest")
		defer guest.Close()
		_, err := guest.PublishAudio(s.ctx, 20)
		s.check(err)
		pc := guest.Publisher()
		for range 20 {
			offer, err := pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
			if err != nil {
				break
			}
			// The offers are never applied here: only what the node does of them matters.
			s.offer(guest, offer.SDP)
			wait(200 * time.Millisecond)
		}
		s.wantLeft(guest)
		s.wantRefused("restart", 1)
	})
}

// trickle signals a candidate.
func (s *siege) trickle(c *client.Client, target livekit.SignalTarget, text string) {
	_ = c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Trickle{Trickle: &livekit.TrickleRequest{
		CandidateInit: fmt.Sprintf(`{"candidate":%q,"sdpMid":"0","sdpMLineIndex":0}`, text), Target: target,
	}}})
}

// offer signals a publisher offer.
func (s *siege) offer(c *client.Client, sdp string) {
	_ = c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Offer{Offer: &livekit.SessionDescription{Type: "offer", Sdp: sdp}}})
}

// wantLeft holds that the node ends a client's session.
func (s *siege) wantLeft(c *client.Client) {
	s.t.Helper()
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	select {
	case <-c.Left():
	case <-late.C:
		s.t.Error("the attacker is still in session")
	}
}

// lastIP is the address of the attacker's newest machine.
func (s *siege) lastIP() net.IP {
	return net.IPv4(10, 66, byte(s.hosts/250), byte(s.hosts%250+1)).To4()
}

// victimAddresses are where the victims' media comes from.
func (s *siege) victimAddresses() map[netip.AddrPort]bool {
	out := make(map[netip.AddrPort]bool)
	var mu sync.Mutex
	s.tap(func(from, to netip.AddrPort, _ []byte) {
		if to == s.media {
			mu.Lock()
			out[from] = true
			mu.Unlock()
		}
	})
	wait(3 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	copied := make(map[netip.AddrPort]bool)
	for a := range out {
		copied[a] = true
	}
	if len(copied) < 4 {
		s.t.Errorf("media of the victims from %d addresses, want 4", len(copied))
	}
	return copied
}

// stunUser is the name of a victim's session, as anyone on its path reads it.
func (s *siege) stunUser() string {
	var mu sync.Mutex
	var user string
	s.tap(func(_, to netip.AddrPort, b []byte) {
		if to != s.media || !stun.IsMessage(b) {
			return
		}
		m := &stun.Message{Raw: bytes.Clone(b)}
		var name stun.Username
		if m.Decode() == nil && name.GetFrom(m) == nil {
			mu.Lock()
			user = string(name)
			mu.Unlock()
		}
	})
	wait(10 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(user, ":") {
		s.t.Fatalf("no STUN of the victims seen: %q", user)
	}
	return user
}
