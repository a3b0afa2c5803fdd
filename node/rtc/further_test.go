package rtc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/relay"
	"maille/relay/track"
)

// A further codec's track is there before the client sends it, and outlives its section:
// what is wanted of it is told all along, by its own name.
func TestFurtherCodecOutlivesItsSection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		tr := track.New("TR_V:vp8", relay.Video, webrtc.MimeTypeVP8)
		defer tr.Close()
		into := u.peer.Further("TR_V", tr)
		wanted := func(want relay.LayerSet) {
			t.Helper()
			w.wait("the demand", func() bool {
				u.mu.Lock()
				defer u.mu.Unlock()
				got, ok := u.demands["TR_V:vp8"]
				return ok && got == want
			})
		}
		wanted(relay.NoLayers)
		k := &askedSink{}
		tap := tr.Attach(k, relay.AllLayers)
		wanted(relay.AllLayers)

		cam := u.video("backup", "")[0]
		w.check(u.peer.Expect(Expect{Sid: "TR_V", Cid: "backup", Kind: relay.Video, Mime: webrtc.MimeTypeVP8, Into: into}))
		u.negotiate()
		w.wait("published", func() bool { return u.find("TR_V") != nil })
		if got := u.find("TR_V"); got.Track != tr || got.Mime != webrtc.MimeTypeVP8 {
			t.Errorf("published %+v", got)
		}
		w.wait("connected", func() bool { return u.last() == Connected })
		stop := every(40*time.Millisecond, func() { cam.frame(true) })
		w.wait("packets", func() bool { return k.n.get() > 10 })
		stop()

		w.check(u.pc.RemoveTrack(cam.sender))
		u.negotiate()
		w.wait("unpublished", func() bool {
			u.mu.Lock()
			defer u.mu.Unlock()
			return len(u.unpublished) == 1 && u.unpublished[0] == "TR_V:vp8"
		})
		if k.closed.get() != 0 {
			t.Error("the track was closed with its section")
		}
		tap.Detach()
		tr.Close()
		wanted(relay.NoLayers)
	})
}

// askedSink counts what it gets.
type askedSink struct{ n, closed counter }

func (k *askedSink) Push(*relay.Packet) { k.n.add() }
func (k *askedSink) Clock(relay.Clock)  {}
func (k *askedSink) Close()             { k.closed.add() }

// downlinkOf is downlink of a client that decodes one kind of video.
func (w *world) downlinkOf(mime string) *downlinkPair {
	w.t.Helper()
	return w.downlink(func(_ *webrtc.SettingEngine, m *webrtc.MediaEngine) {
		*m = webrtc.MediaEngine{}
		for _, c := range codecs {
			if c.mime != mime && c.mime != webrtc.MimeTypeOpus {
				continue
			}
			for _, p := range c.parameters(Downlink) {
				w.check(m.RegisterCodec(p, pionKind(c.kind)))
			}
		}
	})
}

// A client that refuses VP9 is told of, and gets VP8 in the section it has.
func TestRecodeInTheSameSection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		d := w.downlinkOf(webrtc.MimeTypeVP8)
		defer d.pc.GracefulClose()
		vp9 := track.New("TR_V", relay.Video, webrtc.MimeTypeVP9)
		defer vp9.Close()
		cam := u.video("cam", "")[0]
		w.check(u.peer.Expect(Expect{Sid: "TR_B", Cid: "cam", Kind: relay.Video, Mime: webrtc.MimeTypeVP8}))
		u.negotiate()
		w.wait("published", func() bool { return u.find("TR_B") != nil })
		var refused counter
		_, err := d.peer.Subscribe(Down{
			Sid: "TR_V", Stream: "PA_x|TR_V", Kind: relay.Video, Mime: webrtc.MimeTypeVP9, MaxSpatial: 2, MaxTemporal: 3, Refused: refused.add,
		}, vp9)
		w.check(err)
		if err := d.peer.Recode("TR_V", webrtc.MimeTypeVP8, vp9); err == nil {
			t.Error("recoded before the client answered")
		}
		w.check(d.peer.Negotiate())
		w.wait("refused", func() bool { return refused.get() == 1 && d.last() == Connected })
		offers := len(d.offers)
		w.check(d.peer.Recode("TR_V", webrtc.MimeTypeVP8, u.find("TR_B").Track))
		stop := every(40*time.Millisecond, func() { cam.frame(true) })
		tick(4 * time.Second)
		stop()
		_, packets := d.got("TR_V")
		if len(packets) < 50 {
			t.Fatalf("%d packets", len(packets))
		}
		if n := len(d.offers); n != offers {
			t.Errorf("%d offers for it", n-offers)
		}
		if err := d.peer.Recode("TR_V", webrtc.MimeTypeH264, vp9); err == nil {
			t.Error("a codec that was refused is taken")
		}
	})
}
