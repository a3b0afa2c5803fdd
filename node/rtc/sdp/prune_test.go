package sdp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// table is what package rtc takes.
var table = []Format{
	{Mime: "video/VP8"},
	{Mime: "video/H264", Fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"},
	{Mime: "video/VP9", Fmtp: "profile-id=0"},
	{Mime: "video/AV1"},
	{Mime: "video/H265", Fmtp: "level-id=186;profile-id=1;tier-flag=0;tx-mode=SRST"},
	{Mime: "audio/opus", Fmtp: "minptime=10;useinbandfec=1"},
	{Mime: "audio/red", Fmtp: "111/111"},
}

// formatsOf is a section of formats as "pt name/clock fmtp".
func formatsOf(kind string, formats ...string) string {
	var pts, lines []string
	for _, f := range formats {
		pt, rest, _ := strings.Cut(f, " ")
		name, params, _ := strings.Cut(rest, " ")
		pts = append(pts, pt)
		if name != "" {
			lines = append(lines, "a=rtpmap:"+pt+" "+name)
		}
		lines = append(lines, "a=rtcp-fb:"+pt+" nack")
		if params != "" {
			lines = append(lines, "a=fmtp:"+pt+" "+params)
		}
	}
	return strings.Join(append([]string{"m=" + kind + " 9 UDP/TLS/RTP/SAVPF " + strings.Join(pts, " "), "a=mid:0"}, lines...), "\r\n") + "\r\n"
}

func TestPrune(t *testing.T) {
	for _, tt := range []struct {
		name, kind, want string
		formats          []string
	}{
		{"Chromium's microphone", "audio", "111 63", []string{
			"111 opus/48000/2 minptime=10;useinbandfec=1", "63 red/48000/2 111/111", "9 G722/8000", "0 PCMU/8000", "8 PCMA/8000",
			"13 CN/8000", "110 telephone-event/48000", "126 telephone-event/8000",
		}},
		{"Chromium's camera", "video", "96 97 108 109 98 99 35 36 49 50", []string{
			"96 VP8/90000", "97 rtx/90000 apt=96",
			"103 H264/90000 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f", "104 rtx/90000 apt=103",
			"107 H264/90000 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f", "106 rtx/90000 apt=107",
			"108 H264/90000 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", "109 rtx/90000 apt=108",
			"127 H264/90000 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f", "125 rtx/90000 apt=127",
			"39 H264/90000 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f", "40 rtx/90000 apt=39",
			"98 VP9/90000 profile-id=0", "99 rtx/90000 apt=98", "100 VP9/90000 profile-id=2", "101 rtx/90000 apt=100",
			"35 AV1/90000 level-idx=5;profile=0;tier=0", "36 rtx/90000 apt=35",
			"49 H265/90000 level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST", "50 rtx/90000 apt=49",
			"51 H265/90000 level-id=180;profile-id=2;tier-flag=0;tx-mode=SRST", "52 rtx/90000 apt=51",
			"112 red/90000", "113 rtx/90000 apt=112", "114 ulpfec/90000",
		}},
		{"Firefox's camera", "video", "120 124 121 125 126 127 97 98", []string{
			"120 VP8/90000 max-fs=12288;max-fr=60", "124 rtx/90000 apt=120", "121 VP9/90000 max-fs=12288;max-fr=60", "125 rtx/90000 apt=121",
			"126 H264/90000 profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1", "127 rtx/90000 apt=126",
			"97 H264/90000 profile-level-id=42e01f;level-asymmetry-allowed=1", "98 rtx/90000 apt=97",
			"105 H264/90000 profile-level-id=42001f;level-asymmetry-allowed=1;packetization-mode=1", "106 rtx/90000 apt=105",
			"123 ulpfec/90000", "122 red/90000", "119 rtx/90000 apt=122",
		}},
		{"another level", "video", "102", []string{"102 H264/90000 packetization-mode=1;profile-level-id=42E034"}},
		{"near ones only", "video", "102 103 104", []string{
			"102 H264/90000 packetization-mode=1;profile-level-id=640c1f", "103 rtx/90000 apt=102", "104 VP9/90000 profile-id=2",
		}},
		{"nothing of use", "video", "100", []string{"100 x/90000", "101 y/90000"}},
		{"not said what", "audio", "0", []string{"0", "8"}},
		{"more than enough", "video", "1 2 3 5", []string{
			"1 VP8/90000", "2 rtx/90000 apt=1", "3 VP8/90000 x=1", "4 rtx/90000 apt=1", "5 VP8/90000", "6 VP8/90000", "7 rtx/90000 apt=6",
		}},
		{"untouched", "application", "webrtc-datachannel", []string{"webrtc-datachannel"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := sdpOf() + formatsOf(tt.kind, tt.formats...)
			got := Prune(text, table)
			_, after, _ := strings.Cut(got, "\r\nm="+tt.kind+" 9 UDP/TLS/RTP/SAVPF ")
			pts, _, _ := strings.Cut(after, "\r\n")
			if pts != tt.want {
				t.Errorf("formats %q, want %q", pts, tt.want)
			}
			for line := range strings.Lines(text) {
				key, pt, _ := ofFormat(line)
				gone := key != "" && !strings.Contains(" "+tt.want+" ", " "+pt+" ")
				if !strings.HasPrefix(line, "m=") && strings.Contains(got, line) == gone {
					t.Errorf("%q is gone: %t", line, !gone)
				}
			}
		})
	}
}

// What is left out of an offer changes nothing of what this node reads in it, and
// leaving out is done once.
func FuzzPrune(f *testing.F) {
	f.Add(sdpOf(videoSection("0", "a=fmtp:96 x", "a=rtcp-fb:* nack", "a=rid:q send")...))
	f.Add(sdpOf("m=audio 9 UDP/TLS/RTP/SAVPF 0 111 0", "a=mid:1", "a=rtpmap:111 opus/48000/2", "m=application 9 UDP/DTLS/SCTP x", "a=mid:2"))
	f.Fuzz(func(t *testing.T, text string) {
		in, err := Check(text, OfferBounds)
		if err != nil {
			return
		}
		once := Prune(in.Text, table)
		after, err := Check(once, OfferBounds)
		if err != nil {
			t.Fatalf("refused once pruned: %v", err)
		}
		if d := cmp.Diff(in.Sections, after.Sections); d != "" {
			t.Error(d)
		}
		if twice := Prune(once, table); twice != once {
			t.Errorf("pruned twice: %q, once: %q", twice, once)
		}
	})
}
