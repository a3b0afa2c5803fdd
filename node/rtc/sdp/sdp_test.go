package sdp

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const goodPrint = "a=fingerprint:sha-256 AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99"

func sdpOf(lines ...string) string {
	head := []string{"v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", goodPrint}
	return strings.Join(append(head, lines...), "\r\n") + "\r\n"
}

func videoSection(mid string, extra ...string) []string {
	return append([]string{"m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:" + mid, "a=sendonly", "a=rtpmap:96 VP8/90000"}, extra...)
}

func TestCheck(t *testing.T) {
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
		{"most sections", sdpOf(sections(MaxOfferSections)...), nil},
		{"one section too many", sdpOf(sections(MaxOfferSections + 1)...), ErrLimit},
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
			if _, err := Check(tt.text, OfferBounds); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestCheckReads(t *testing.T) {
	text := sdpOf(append(videoSection("7", "a=msid:stream cam-1", "a=rid:q send", "a=rid:h send",
		"a=simulcast:send q;~h", "a=candidate:1 1 udp 1 169.254.169.254 80 typ host", "a=end-of-candidates"),
		"m=audio 0 UDP/TLS/RTP/SAVPF 111", "a=mid:8", "a=sendrecv",
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:9")...)
	got, err := Check(text, OfferBounds)
	if err != nil {
		t.Fatal(err)
	}
	want := []Section{
		{Kind: "video", Mid: "7", TrackID: "cam-1", Rids: []string{"q", "h"}, Sends: true},
		{Kind: "audio", Mid: "8"},
		{Kind: "application", Mid: "9"},
	}
	if d := cmp.Diff(want, got.Sections); d != "" {
		t.Error(d)
	}
	for _, gone := range []string{"candidate", "~"} {
		if strings.Contains(got.Text, gone) {
			t.Errorf("%q is still in the SDP", gone)
		}
	}
}

// Firefox gives only the first section of a kind a port until they are bundled
// (RFC 9143 section 6).
func TestBundledSectionsHaveNoPort(t *testing.T) {
	text := sdpOf(videoSection("0")...) + strings.Join([]string{
		"m=video 0 UDP/TLS/RTP/SAVPF 96", "a=mid:1", "a=bundle-only", "a=recvonly",
		"m=video 0 UDP/TLS/RTP/SAVPF 96", "a=mid:2", "a=recvonly", "",
	}, "\r\n")
	in, err := Check(text, OfferBounds)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, false} {
		if got := in.Sections[i].Takes && !in.Sections[i].Sends; got != want {
			t.Errorf("section %d is to be received: %v, want %v", i, got, want)
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
		if got, ok := EncodingOf(tt.rids, tt.rid); got != tt.want || ok != tt.ok {
			t.Errorf("%v %q: %d %v", tt.rids, tt.rid, got, ok)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(sdpOf(videoSection("0", "a=rid:q send", "a=simulcast:send ~q", "a=msid:s t", "a=extmap:3/sendonly uri")...), true)
	f.Add("m=\r\na=mid", false)
	f.Add("a=rid:", true)
	f.Fuzz(func(t *testing.T, text string, offer bool) {
		most := AnswerBounds
		if offer {
			most = OfferBounds
		}
		c, err := Check(text, most)
		if err != nil {
			if c != nil {
				t.Error("result beside an error")
			}
			return
		}
		if len(c.Sections) > MaxSections || offer && len(c.Sections) > MaxOfferSections {
			t.Errorf("%d sections", len(c.Sections))
		}
		again, err := Check(c.Text, most)
		if err != nil {
			t.Fatalf("a checked SDP is refused: %v", err)
		}
		if d := cmp.Diff(c.Sections, again.Sections); d != "" {
			t.Error(d)
		}
	})
}

func FuzzCandidate(f *testing.F) {
	f.Add(`{"candidate":"candidate:1 1 udp 1 10.0.0.9 1 typ host"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if err := CheckCandidate(text); err != nil && !errors.Is(err, ErrRefused) {
			t.Error(err)
		}
	})
}
