package sdp

import (
	"strings"
	"testing"
)

// A section that is offered again after it was inactive has the header extensions of its
// kind, one that has its own keeps them.
func TestReusedSectionKeepsItsExtensions(t *testing.T) {
	section := func(kind, mid string, extensions ...string) string {
		return "m=" + kind + " 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:" + mid + "\r\n" + strings.Join(append(extensions, ""), "\r\n") + "a=sendonly\r\n"
	}
	head, data := "v=0\r\n", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:9\r\n"
	video := []string{"a=extmap:2 urn:two", "a=extmap:3 urn:three"}
	audio := []string{"a=extmap:1 urn:one"}
	known := make(map[string]string)
	first := head + section("video", "0", video...) + data + section("audio", "1", audio...)
	if got := Extensions(first, known); got != first {
		t.Errorf("the first offer was changed:\n%s", got)
	}
	got := Extensions(head+section("video", "0")+data+section("audio", "1")+section("video", "2", video[0]), known)
	want := head + section("video", "0", video...) + data + section("audio", "1", audio...) + section("video", "2", video[0])
	if got != want {
		t.Errorf("offered\n%s\nwant\n%s", got, want)
	}
}
