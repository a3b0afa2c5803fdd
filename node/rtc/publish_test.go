package rtc

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/node/rtc/sdp"
	"maille/relay"
)

func TestPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		mic, cam := u.audio("mic-cid"), u.video("cam-cid", "q", "h", "f")
		w.check(u.peer.Expect(Expect{Sid: "TR_VC1", Cid: "cam-cid", Kind: relay.Video}))
		u.negotiate()
		w.wait("camera published before media", func() bool { return u.find("TR_VC1") != nil })
		if u.find("TR_AM1") != nil {
			t.Fatal("microphone published without its AddTrack")
		}
		w.check(u.peer.Expect(Expect{Sid: "TR_AM1", Cid: "mic-cid", Kind: relay.Audio}))
		w.wait("parked microphone published", func() bool { return u.find("TR_AM1") != nil })
		w.wait("connected", func() bool { return u.last() == Connected })

		c := u.find("TR_VC1")
		if c.Encodings != 3 || c.Mime != webrtc.MimeTypeVP8 || c.SdpCid != "cam-cid" {
			t.Errorf("published %+v", c)
		}
		if mids := u.peer.Mids(); mids[c.Mid] != "TR_VC1" || len(mids) != 2 {
			t.Errorf("mids %v", mids)
		}
		stop := every(20*time.Millisecond, func() {
			mic.sound()
			for _, s := range cam {
				s.frame(s.pic%50 == 0)
			}
		})
		tick(3 * time.Second)
		stop()
		stats := c.Track.Stats()
		for i, e := range stats.Encodings {
			if e.Packets < 140 || e.Lost != 0 {
				t.Errorf("encoding %d: %+v", i, e)
			}
		}
		if n := u.find("TR_AM1").Track.Stats().Encodings[0].Packets; n < 140 {
			t.Errorf("audio packets %d", n)
		}
		for i := range uint8(3) {
			if _, ok := c.Track.LastClock(i); !ok {
				t.Errorf("no clock pair of encoding %d", i)
			}
		}

		// The camera goes away with its m-line, the microphone stays.
		w.check(u.pc.RemoveTrack(cam[0].sender))
		u.negotiate()
		w.wait("camera unpublished", func() bool {
			u.mu.Lock()
			defer u.mu.Unlock()
			return len(u.unpublished) == 1 && u.unpublished[0] == "TR_VC1"
		})
	})
}

// pion tells of a declared stream while the offer is being answered, and may do so
// before the section is known here: the stream must be read all the same.
func TestStreamBeforeItsSection(t *testing.T) {
	for _, announced := range []bool{true, false} {
		t.Run(fmt.Sprintf("announced %t", announced), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.close()
				u := w.uplink()
				defer u.pc.GracefulClose()
				u.negotiate()
				w.wait("connected", func() bool { return u.last() == Connected })
				tick(time.Second) // pion does one thing after the other, and SCTP is one
				expect := Expect{Sid: "TR_AM", Cid: "mic", Kind: relay.Audio}
				if announced {
					w.check(u.peer.Expect(expect))
				}
				mic := u.audio("mic")
				offer, err := u.pc.CreateOffer(nil)
				w.check(err)
				w.check(u.pc.SetLocalDescription(offer))

				in, err := sdp.Check(offer.SDP, sdp.OfferBounds)
				w.check(err)
				u.peer.nego.Lock()
				answer, err := u.peer.exchange(in, false)
				u.peer.nego.Unlock()
				w.check(err)
				synctest.Wait() // pion's calls are through
				u.peer.mu.Lock()
				if len(u.peer.up.early) != 1 {
					t.Error("pion did not tell of the stream early: the test tests nothing")
				}
				u.peer.adopt(in, agreed(answer))
				if len(u.peer.up.early) != 0 {
					t.Error("early streams are kept for ever")
				}
				u.peer.mu.Unlock()
				if !announced {
					w.check(u.peer.Expect(expect))
				}
				w.check(u.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
				w.wait("published", func() bool { return u.find("TR_AM") != nil })
				stop := every(20*time.Millisecond, mic.sound)
				tick(time.Second)
				stop()
				if n := u.find("TR_AM").Track.Stats().Encodings[0].Packets; n < 40 {
					t.Errorf("%d packets of a stream that came early", n)
				}
			})
		})
	}
}

func TestWaitingStreamsAreBounded(t *testing.T) {
	var list []arrival
	newest := arrival{track: new(webrtc.TrackRemote)}
	for range 100 {
		list = waiting(list, arrival{})
	}
	if list = waiting(list, newest); len(list) != sdp.MaxRids || list[sdp.MaxRids-1] != newest {
		t.Errorf("%d streams kept of one section", len(list))
	}
}

func TestAnswerBeginsWithItsCodecAndHasAudioTerms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		u.audio("a")
		u.audio("b")
		u.video("v", "")
		w.check(u.peer.Expect(Expect{Sid: "TR_A1", Cid: "a", Kind: relay.Audio}))
		w.check(u.peer.Expect(Expect{Sid: "TR_A2", Cid: "b", Kind: relay.Audio, Stereo: true, NoDTX: true}))
		w.check(u.peer.Expect(Expect{Sid: "TR_V1", Cid: "v", Kind: relay.Video, Mime: webrtc.MimeTypeH264}))
		offer, err := u.pc.CreateOffer(nil)
		w.check(err)
		w.check(u.pc.SetLocalDescription(offer))
		answer, err := u.peer.SetOffer(offer.SDP, 1)
		w.check(err)
		tick(time.Millisecond)
		for _, want := range []string{
			"minptime=10;useinbandfec=1;usedtx=1\r\n",
			"minptime=10;useinbandfec=1;stereo=1;maxaveragebitrate=510000\r\n", "a=ice-lite", "typ host", "a=setup:passive",
		} {
			if !strings.Contains(answer, want) {
				t.Errorf("answer lacks %q", want)
			}
		}
		// Without an AddTrack that names a codec, the client's first is taken: its own
		// static track has no preference, so the publication's codec decides.
		if got := u.find("TR_V1"); got == nil || got.Mime != webrtc.MimeTypeH264 {
			t.Errorf("video published as %+v", got)
		}
		if in := agreed(answer); len(in) != 3 || in["2"].mime != webrtc.MimeTypeH264 {
			t.Errorf("in use are %v", in)
		}
	})
}
