package sdp

import (
	"strings"
	"testing"
)

func TestAddOpusBundled(t *testing.T) {
	answer := strings.Join([]string{
		"m=audio", "a=mid:0", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1",
		"m=video", "a=mid:1", "a=rtpmap:96 VP8/90000", "a=fmtp:97 apt=96",
		"m=audio", "a=mid:2", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;usedtx=1",
		"m=video", "a=mid:3", "a=rtpmap:98 VP9/90000", "a=fmtp:98 profile-id=0",
		"m=video", "a=mid:4", "a=rtpmap:98 VP9/90000", "a=fmtp:98 profile-id=0;x-google-start-bitrate=900", "",
	}, "\r\n")
	want := strings.NewReplacer(
		"minptime=10;useinbandfec=1;stereo=1;usedtx=1", "minptime=10;useinbandfec=1;usedtx=1",
		"minptime=10;useinbandfec=1", "minptime=10;useinbandfec=1;usedtx=1",
		"a=fmtp:98 profile-id=0\r\n", "a=fmtp:98 profile-id=0;x-google-start-bitrate=900\r\n",
	).Replace(answer)
	if got := AddOpusBundled(answer, opusDTX, map[string]bool{"2": true, "4": true}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
