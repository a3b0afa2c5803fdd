package rtc

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/transport/v4/vnet"
	"github.com/pion/webrtc/v4"
)

const goodPrint = "a=fingerprint:sha-256 AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99"

func sdpOf(lines ...string) string {
	head := []string{"v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", goodPrint}
	return strings.Join(append(head, lines...), "\r\n") + "\r\n"
}

func videoSection(mid string, extra ...string) []string {
	return append([]string{"m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:" + mid, "a=sendonly", "a=rtpmap:96 VP8/90000"}, extra...)
}

func TestCheckSDP(t *testing.T) {
	many := func(n int, line string) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf(line, i))
		}
		return out
	}
	sections := func(n int) (out []string) {
		for i := range n {
			out = append(out, videoSection(fmt.Sprint(i))...)
		}
		return out
	}
	for _, tt := range []struct {
		name string
		text string
		want error
	}{
		{"one section", sdpOf(videoSection("0")...), nil},
		{"most sections", sdpOf(sections(maxOfferSections)...), nil},
		{"one section too many", sdpOf(sections(maxOfferSections + 1)...), ErrLimit},
		{"too long", sdpOf(many(maxOfferBytes/10, "a=x:%07d")...), ErrLimit},
		{"long section", sdpOf(videoSection("0", many(3000, "a=x:%07d")...)...), ErrLimit},
		{"long line", sdpOf(videoSection("0", "a="+strings.Repeat("x", maxLineBytes))...), ErrLimit},
		{"md5", strings.ReplaceAll(sdpOf(videoSection("0")...), "sha-256", "md5"), ErrRefused},
		{"sha-1", strings.ReplaceAll(sdpOf(videoSection("0")...), "sha-256", "sha-1"), ErrRefused},
		{"a second, weak fingerprint", sdpOf(videoSection("0", "a=fingerprint:md5 AA:BB")...), ErrRefused},
		{"another fingerprint", sdpOf(videoSection("0", "a=fingerprint:sha-256 00:11")...), ErrRefused},
		{"no fingerprint", strings.ReplaceAll(sdpOf(videoSection("0")...), "fingerprint", "footprint"), ErrRefused},
		{"no section", sdpOf(), ErrRefused},
		{"mid twice", sdpOf(append(videoSection("0"), videoSection("0")...)...), ErrRefused},
		{"no mid", sdpOf("m=video 9 UDP/TLS/RTP/SAVPF 96"), ErrRefused},
		{"four rids", sdpOf(videoSection("0", many(4, "a=rid:r%d send")...)...), ErrLimit},
		{"long rid", sdpOf(videoSection("0", "a=rid:"+strings.Repeat("r", 4000)+" send")...), ErrLimit},
		{"rid twice", sdpOf(videoSection("0", "a=rid:q send", "a=rid:q send")...), ErrRefused},
		{"sources", sdpOf(videoSection("0", many(maxSources+1, "a=ssrc:%d cname:x")...)...), ErrLimit},
		{"formats", sdpOf("m=video 9 UDP/TLS/RTP/SAVPF" + strings.Repeat(" 96", 200)), ErrLimit},
		{"ice-lite client", sdpOf(append([]string{"a=ice-lite"}, videoSection("0")...)...), ErrRefused},
		{"password", sdpOf(videoSection("0", "a=ice-pwd:"+strings.Repeat("x", 257))...), ErrLimit},
		{"control character", sdpOf(videoSection("0", "a=x:\x00")...), ErrRefused},
		{"not SDP", "hello", ErrRefused},
		{"unknown media", sdpOf("m=text 9 UDP 1"), ErrRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := checkSDP(tt.text, offerBounds); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestCheckSDPReads(t *testing.T) {
	text := sdpOf(append(videoSection("7", "a=msid:stream cam-1", "a=rid:q send", "a=rid:h send",
		"a=simulcast:send q;~h", "a=candidate:1 1 udp 1 169.254.169.254 80 typ host", "a=end-of-candidates"),
		"m=audio 0 UDP/TLS/RTP/SAVPF 111", "a=mid:8", "a=sendrecv",
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:9")...)
	got, err := checkSDP(text, offerBounds)
	if err != nil {
		t.Fatal(err)
	}
	want := []section{
		{kind: "video", mid: "7", trackID: "cam-1", rids: []string{"q", "h"}, sends: true},
		{kind: "audio", mid: "8"},
		{kind: "application", mid: "9"},
	}
	if d := cmp.Diff(want, got.sections, cmp.AllowUnexported(section{})); d != "" {
		t.Error(d)
	}
	for _, gone := range []string{"candidate", "~"} {
		if strings.Contains(got.text, gone) {
			t.Errorf("%q is still in the SDP", gone)
		}
	}
}

func TestEncodingOf(t *testing.T) {
	for _, tt := range []struct {
		rids []string
		rid  string
		want uint8
		ok   bool
	}{
		{[]string{"q", "h", "f"}, "f", 2, true},
		{[]string{"f", "h", "q"}, "q", 0, true},
		{[]string{"q", "h"}, "h", 1, true},
		{[]string{"lo", "hi"}, "hi", 1, true},
		{nil, "", 0, true},
		{[]string{"q"}, "x", 0, false},
		{[]string{"q"}, "qh", 0, false},
	} {
		if got, ok := encodingOf(tt.rids, tt.rid); got != tt.want || ok != tt.ok {
			t.Errorf("%v %q: %d %v", tt.rids, tt.rid, got, ok)
		}
	}
}

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

func FuzzCheckSDP(f *testing.F) {
	f.Add(sdpOf(videoSection("0", "a=rid:q send", "a=simulcast:send ~q", "a=msid:s t", "a=extmap:3/sendonly uri")...), true)
	f.Add("m=\r\na=mid", false)
	f.Add("a=rid:", true)
	f.Fuzz(func(t *testing.T, text string, offer bool) {
		most := answerBounds
		if offer {
			most = offerBounds
		}
		c, err := checkSDP(text, most)
		if err != nil {
			if c != nil {
				t.Error("result beside an error")
			}
			return
		}
		if len(c.sections) > maxSections || offer && len(c.sections) > maxOfferSections {
			t.Errorf("%d sections", len(c.sections))
		}
		again, err := checkSDP(c.text, most)
		if err != nil {
			t.Fatalf("a checked SDP is refused: %v", err)
		}
		if d := cmp.Diff(c.sections, again.sections, cmp.AllowUnexported(section{})); d != "" {
			t.Error(d)
		}
		agreed(c.text)
	})
}

func FuzzCandidate(f *testing.F) {
	f.Add(`{"candidate":"candidate:1 1 udp 1 10.0.0.9 1 typ host"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if err := checkCandidate(text); err != nil && !errors.Is(err, ErrRefused) {
			t.Error(err)
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
