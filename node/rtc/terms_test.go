package rtc

import (
	"testing"

	"maille/node/rtc/sdp"
)

// Whatever passes the check can be read.
func FuzzAgreed(f *testing.F) {
	f.Add("v=0\r\na=fingerprint:sha-256 AA\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=extmap:3/sendonly urn:x\r\n")
	f.Add("a=fingerprint:sha-256 AA\r\nm=video 9 x 96\r\na=mid:0\r\na=rtpmap:\r\na=extmap:1")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := sdp.Check(text, sdp.AnswerBounds)
		if err != nil {
			return
		}
		for mid, terms := range agreed(c.Text) {
			if mid == "" || terms.mime == "" {
				t.Errorf("agreed on %+v in section %q", terms, mid)
			}
		}
	})
}
