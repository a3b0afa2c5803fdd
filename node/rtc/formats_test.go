package rtc

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/relay"
	"maille/relay/track"
)

// A client that sends RED and VP9 reaches one that takes opus and VP9.
func TestREDAndVP9EndToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink(func(_ *webrtc.SettingEngine, m *webrtc.MediaEngine) {
			w.check(m.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 121, RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: mimeRED, ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111",
			}}, webrtc.RTPCodecTypeAudio))
		})
		defer u.pc.GracefulClose()
		d := w.downlink()
		defer d.pc.GracefulClose()
		mic, cam := u.audio("mic"), u.video("cam", "")[0]
		mic.track.mime, cam.track.mime = mimeRED, webrtc.MimeTypeVP9
		w.check(u.peer.Expect(Expect{Sid: "TR_AM", Cid: "mic", Kind: relay.Audio, Mime: mimeRED}))
		w.check(u.peer.Expect(Expect{Sid: "TR_VC", Cid: "cam", Kind: relay.Video, Mime: webrtc.MimeTypeVP9}))
		u.negotiate()
		answer := u.pc.CurrentRemoteDescription().SDP
		for _, want := range []string{
			"m=audio 9 UDP/TLS/RTP/SAVPF 121 111\r\n", "a=fmtp:121 111/111\r\n",
			"a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1\r\n", "m=video 9 UDP/TLS/RTP/SAVPF 98 99 ",
		} {
			if !strings.Contains(answer, want) {
				t.Errorf("answer lacks %q", want)
			}
		}
		w.check(d.peer.Negotiate())
		w.wait("connected", func() bool { return u.last() == Connected && d.last() == Connected })
		w.wait("published", func() bool { return u.find("TR_AM") != nil && u.find("TR_VC") != nil })
		for sid, kind := range map[relay.TrackID]relay.Kind{"TR_AM": relay.Audio, "TR_VC": relay.Video} {
			p := u.find(sid)
			_, err := d.peer.Subscribe(Down{Sid: sid, Stream: "PA_x|" + string(sid), Kind: kind, Mime: p.Mime, MaxTemporal: 3}, p.Track)
			w.check(err)
		}
		if u.find("TR_AM").Mime != mimeRED || u.find("TR_VC").Mime != webrtc.MimeTypeVP9 {
			t.Errorf("published as %s and %s", u.find("TR_AM").Mime, u.find("TR_VC").Mime)
		}
		tick(time.Second)
		noise, n := rand.New(rand.NewPCG(1, 1)), 0
		stop := every(20*time.Millisecond, func() {
			mic.ts += 960
			mic.send(red([]byte("old"), []byte("new")), false)
			cam.ts += 1800
			payloads := vp9Picture(n, 3, noise)
			for i, b := range payloads {
				cam.send(b, i == len(payloads)-1)
			}
			n++
		})
		tick(9 * time.Second) // the 200th picture is a keyframe, if the first ones were missed
		stop()
		_, audio := d.got("TR_AM")
		if len(audio) < 300 {
			t.Fatalf("%d packets of audio", len(audio))
		}
		for _, p := range audio {
			if string(p.Payload) != "new" || p.PayloadType != ptOpus {
				t.Fatalf("%q of type %d", p.Payload, p.PayloadType)
			}
		}
		_, video := d.got("TR_VC")
		if len(video) < 400 {
			t.Fatalf("%d packets of video", len(video))
		}
		if spatial, temporal, _, _ := svcShown(t, video); spatial != 0 || temporal != 2 {
			t.Errorf("layers %d and %d, want the smallest picture in full rate", spatial, temporal)
		}
	})
}

// red wraps opus as Chromium does: one older block, then the newest.
func red(older, newest []byte) []byte {
	b := []byte{0x80 | 111, 0, 0, byte(len(older)), 111}
	binary.BigEndian.PutUint16(b[1:], 960<<2)
	return slices.Concat(b, older, newest)
}

func TestREDIsStrippedAtTheLastHop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := track.New("TR_A", relay.Audio, mimeRED)
		defer tr.Close()
		s, k := watch(tr, Down{}, exactDemand, relay.Now)
		send := func(seq uint16, pt uint8, payload []byte) {
			p := relay.NewPacket()
			p.Seq, p.Timestamp, p.PayloadType, p.Arrived = seq, uint32(seq)*960, pt, relay.Now()
			p.Payload = p.Buffer()[:copy(p.Buffer(), payload)]
			tr.Push(p)
			tick(20 * time.Millisecond)
		}
		send(1, ptRED, red(nil, []byte("one")))
		send(2, ptRED, red([]byte("one"), []byte("two")))
		send(3, ptOpus, []byte("three"))
		send(4, ptRED, []byte{0x80 | 111, 0, 3, 0xff}) // cut short
		send(5, ptRED, red([]byte("four"), []byte("five")))
		var got []string
		out := k.got()
		for i, p := range out {
			got = append(got, string(p.Payload))
			if p.PayloadType != 96 || i > 0 && p.SequenceNumber != out[i-1].SequenceNumber+1 {
				t.Errorf("packet %d: type %d, number %d", i, p.PayloadType, p.SequenceNumber)
			}
		}
		if want := []string{"one", "two", "three", "", "five"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if s.Stats().Drops["malformed"] != 1 {
			t.Errorf("drops %v", s.Stats().Drops)
		}
		if p := tr.Lookup(0, 2); p == nil || string(p.Payload) == "two" {
			t.Error("the track itself was changed")
		} else {
			p.Release()
		}
	})
}

func TestTermsAccept(t *testing.T) {
	plain, redundant := terms{mime: webrtc.MimeTypeOpus, pt: 109, opus: 109}, terms{mime: mimeRED, pt: 62, opus: 110}
	for _, tt := range []struct {
		terms terms
		in    uint8
		out   uint8
		ok    bool
	}{{plain, 109, 109, true}, {plain, 62, 62, false}, {redundant, 62, ptRED, true}, {redundant, 110, ptOpus, true}, {redundant, 109, 109, false}} {
		p := relay.NewPacket()
		p.PayloadType = tt.in
		if ok := tt.terms.accept(p); ok != tt.ok || p.PayloadType != tt.out {
			t.Errorf("%+v: %d becomes %d, %t", tt.terms, tt.in, p.PayloadType, ok)
		}
		p.Release()
	}
}

// The answer begins with one codec: the one asked for, else one that everyone decodes.
func TestCodecOfTheAnswer(t *testing.T) {
	offer := func(mimes ...string) (out []webrtc.RTPCodecParameters) {
		for _, mime := range mimes {
			for _, c := range codecs {
				if c.mime == mime {
					out = append(out, c.parameters(Uplink)...)
				}
			}
		}
		return out
	}
	for _, tt := range []struct {
		offered []string
		wish    string
		want    []string
	}{
		{[]string{"video/VP9", "video/AV1", "video/H264", "video/VP8"}, "", []string{"video/H264", "video/rtx", "video/VP9", "video/rtx", "video/AV1", "video/rtx", "video/VP8", "video/rtx"}},
		{[]string{"video/VP9", "video/VP8"}, "video/vp9", []string{"video/VP9", "video/rtx", "video/VP8", "video/rtx"}},
		{[]string{"video/VP8", "video/VP9"}, "video/AV1", []string{"video/VP8", "video/rtx", "video/VP9", "video/rtx"}},
		{[]string{"video/AV1", "video/VP9"}, "", []string{"video/AV1", "video/rtx", "video/VP9", "video/rtx"}},
		{[]string{"audio/red", "audio/opus"}, "", []string{"audio/opus", "audio/red"}},
		{[]string{"audio/opus", "audio/red"}, "audio/red", []string{"audio/red", "audio/opus"}},
		{[]string{"audio/opus"}, "audio/red", []string{"audio/opus"}},
		{nil, "video/VP8", nil},
	} {
		var got []string
		for _, c := range choose(offer(tt.offered...), tt.wish) {
			got = append(got, c.MimeType)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%v with %q: %v, want %v", tt.offered, tt.wish, got, tt.want)
		}
	}
	if c := Codecs(); !slices.Equal(c, []string{"video/VP8", "video/H264", "video/VP9", "video/AV1", "video/H265", "audio/opus", "audio/red"}) {
		t.Errorf("codecs %v", c)
	}
	for _, mime := range []string{webrtc.MimeTypeVP9, webrtc.MimeTypeVP8, webrtc.MimeTypeAV1} {
		prefer, ok := preferring(relay.Video, mime, false)
		if !ok || prefer[0].MimeType != mime || len(prefer) > 6 {
			t.Errorf("%s: %v, %t", mime, prefer, ok)
		}
		if prefer, ok = preferring(relay.Video, mime, true); !ok || prefer[0].MimeType != mime || len(prefer) != 10 {
			t.Errorf("%s, and all others: %v, %t", mime, prefer, ok)
		}
	}
	if _, ok := preferring(relay.Video, mimeRED, true); ok {
		t.Error("RED in a video section")
	}
}
