package rtc

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v4/vnet"
	"github.com/pion/webrtc/v4"
)

// A refused offer must leave the peer able to take a good one.
func TestBadOffersChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		u.audio("a")
		offer, err := u.pc.CreateOffer(nil)
		w.check(err)
		for _, bad := range []string{
			"", "v=0\r\n", strings.ReplaceAll(offer.SDP, "sha-256", "md5"),
			offer.SDP + strings.Repeat("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", 40),
		} {
			if _, err := u.peer.SetOffer(bad, 1); !errors.Is(err, ErrRefused) && !errors.Is(err, ErrLimit) {
				t.Errorf("bad offer: %v", err)
			}
		}
		u.negotiate()
		w.wait("connected", func() bool { return u.last() == Connected })
	})
}

func TestCandidatesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		for _, ok := range []string{
			`{"candidate":"candidate:1 1 udp 2113937151 4f5f1a2b.local 54400 typ host"}`,
			`{"candidate":"candidate:1 1 tcp 1 169.254.169.254 80 typ host tcptype passive"}`,
			`{"candidate":""}`,
		} {
			if err := u.peer.AddCandidate(ok); err != nil {
				t.Errorf("%s: %v", ok, err)
			}
		}
		for _, bad := range []string{"", "{", `{"candidate":"candidate:1 1 udp"}`, `{"candidate":"candidate:1 1 udp 1 10.0.0.1 99999 typ host"}`} {
			if err := u.peer.AddCandidate(bad); !errors.Is(err, ErrRefused) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		var flood error
		for range maxCandidates {
			flood = u.peer.AddCandidate(`{"candidate":"candidate:1 1 udp 1 10.0.0.9 1 typ host"}`)
		}
		if !errors.Is(flood, ErrLimit) {
			t.Errorf("flood: %v", flood)
		}
		if err := u.peer.AddCandidate(strings.Repeat(" ", maxCandidateBytes+1)); !errors.Is(err, ErrLimit) {
			t.Errorf("long candidate: %v", err)
		}
	})
}

// No packet leaves for an address that a client merely names, and restarts are
// bounded.
func TestNobodyIsCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		var stray atomic.Int64
		w.router.AddChunkFilter(func(c vnet.Chunk) bool {
			from, _ := c.SourceAddr().(*net.UDPAddr)
			to, _ := c.DestinationAddr().(*net.UDPAddr)
			if from.IP.String() == serverIP && to.IP.String() != clientIP {
				stray.Add(1)
			}
			return true
		})
		u.audio("a")
		offer, err := u.pc.CreateOffer(nil)
		w.check(err)
		w.check(u.pc.SetLocalDescription(offer))
		named := strings.ReplaceAll(offer.SDP, "a=setup:", "a=candidate:7 1 udp 2113937151 10.0.0.77 22 typ host\r\n"+
			"a=candidate:8 1 tcp 2113937151 10.0.0.77 22 typ host tcptype passive\r\na=setup:")
		answer, err := u.peer.SetOffer(named, 1)
		w.check(err)
		w.check(u.peer.AddCandidate(`{"candidate":"candidate:9 1 udp 2113937151 10.0.0.78 7884 typ host"}`))
		w.check(u.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
		w.wait("connected", func() bool { return u.last() == Connected })
		tick(5 * time.Second)
		if n := stray.Load(); n > 0 {
			t.Errorf("%d packets to addresses that proved nothing", n)
		}

		var last error
		for range maxRestarts + 1 {
			offer, err := u.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
			w.check(err)
			w.check(u.pc.SetLocalDescription(offer))
			answer, err := u.peer.SetOffer(offer.SDP, 2)
			if last = err; err != nil {
				break
			}
			w.check(u.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
		}
		if !errors.Is(last, ErrLimit) {
			t.Errorf("after %d restarts: %v", maxRestarts+1, last)
		}
	})
}
