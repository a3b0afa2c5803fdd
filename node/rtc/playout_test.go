package rtc

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/relay"
)

func TestPlayoutBytes(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		in   Playout
		want string
	}{
		{Playout{}, ""},
		{Playout{Min: 200 * ms, Max: 2000 * ms}, "0140c8"},
		{Playout{Max: 400 * ms}, "000028"},
		{Playout{Min: 100 * ms}, "00afff"},
		{Playout{Min: 100 * ms, Max: 90 * ms}, "00afff"},
		{Playout{Min: 1 * ms, Max: 11 * ms}, "001002"},
		{Playout{Min: time.Hour, Max: 2 * time.Hour}, "ffffff"},
		{Playout{Min: -time.Hour, Max: MaxPlayout}, "000fff"},
	} {
		if got := fmt.Sprintf("%x", tt.in.bytes(relay.Video)); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.in, got, tt.want)
		}
		if b := tt.in.bytes(relay.Audio); b != nil {
			t.Errorf("%v: %x for audio", tt.in, b)
		}
	}
}

// extensionID is the id of a header extension as a section of the description has it.
func extensionID(sdp, media, uri string) (id uint8) {
	_, sdp, _ = strings.Cut(sdp, "m="+media)
	sdp, _, _ = strings.Cut(sdp, "\r\nm=")
	for line := range strings.Lines(sdp) {
		if strings.HasSuffix(strings.TrimSpace(line), uri) {
			_, _ = fmt.Sscanf(line, "a=extmap:%d", &id)
		}
	}
	return id
}

func TestPlayoutDelayIsToldUntilTheClientReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.playout = Playout{Min: 200 * time.Millisecond, Max: 2 * time.Second}
		m := w.meet(watchMic, watchCam)
		defer m.close()
		tick(5 * time.Second)
		answer := m.down.pc.LocalDescription().SDP
		id := extensionID(answer, "video", uriPlayout)
		if id == 0 || extensionID(answer, "audio", uriPlayout) != 0 {
			t.Fatalf("not in the video section alone:\n%s", answer)
		}
		_, packets := m.down.got("TR_VC")
		told := 0
		for i, p := range packets {
			switch b := p.GetExtension(id); {
			case b == nil:
			case told != i:
				t.Fatalf("packet %d has it, %d did not", i, told)
			case fmt.Sprintf("%x", b) != "0140c8":
				t.Fatalf("packet %d has %x", i, b)
			default:
				told++
			}
		}
		if told == 0 || told == len(packets) {
			t.Errorf("%d of %d packets have it", told, len(packets))
		}
		_, sound := m.down.got("TR_AM")
		for _, p := range sound {
			if p.GetExtension(id) != nil && extensionID(answer, "audio", uriCaptureTime) != id {
				t.Fatal("sound has it")
			}
		}
	})
}

func TestNoPlayoutDelayByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeeting(t, watchCam)
		defer m.close()
		tick(time.Second)
		if sdp := m.down.pc.RemoteDescription().SDP; strings.Contains(sdp, uriPlayout) {
			t.Errorf("offered:\n%s", sdp)
		}
	})
}

// A single connection has it where the node sends, and not for what the client sends.
func TestPlayoutDelayOfASingleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.playout = Playout{Max: 400 * time.Millisecond}
		d := w.duplex()
		d.video("cam", "q")
		d.subscribe("TR_AA", relay.Audio, webrtc.MimeTypeOpus)
		d.subscribe("TR_VA", relay.Video, webrtc.MimeTypeVP8)
		d.negotiate()
		w.wait("connected", func() bool { return d.last() == Connected })
		if !strings.Contains(d.text, uriPlayout) {
			t.Error("not in the answer")
		}
		for part := range strings.SplitSeq(d.text, "\r\nm=") {
			sends, has := strings.Contains(part, "a=sendonly"), strings.Contains(part, uriPlayout)
			if want := sends && strings.HasPrefix(part, "video"); has != want {
				t.Errorf("has it: %t, want %t:\n%s", has, want, part)
			}
		}
		w.check(d.pc.GracefulClose())
		w.close()
	})
}
