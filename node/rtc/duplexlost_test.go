package rtc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/relay"
)

// unheard offers, and loses the answer as a client does whose socket ends meanwhile.
func (d *duplexPair) unheard(o *webrtc.OfferOptions) {
	d.w.t.Helper()
	offer, err := d.pc.CreateOffer(o)
	d.w.check(err)
	d.w.check(d.pc.SetLocalDescription(offer))
	d.next++
	_, err = d.peer.SetOffer(offer.SDP, d.next)
	d.w.check(err)
}

// resume does what a client does on its new socket whose last offer has no answer: it
// takes the answer before for one to that, and restarts ICE.
func (d *duplexPair) resume() *webrtc.OfferOptions {
	d.w.t.Helper()
	d.w.check(d.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: d.text}))
	return &webrtc.OfferOptions{ICERestart: true}
}

// A client that lost the answer which gave a section up, and resumes, is told so again
// before the section carries another track: else it does not notice.
func TestDuplexAnswerLost(t *testing.T) {
	for name, lost := range map[string]int{"one": 1, "two in a row": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.close()
				d := w.duplex()
				defer d.pc.GracefulClose()
				d.subscribe("TR_A", relay.Video, webrtc.MimeTypeVP8)
				d.negotiate()
				w.wait("connected", func() bool { return d.last() == Connected })
				before := d.carried()
				answer := d.answering(nil)
				d.peer.Unsubscribe("TR_A")
				tick(time.Second)
				d.unheard(nil)
				d.subscribe("TR_B", relay.Video, webrtc.MimeTypeVP8)
				for range lost - 1 {
					d.unheard(d.resume())
				}
				d.answering(answer)
				d.exchange(d.resume())
				for mid, sid := range d.carried() {
					if was := before[mid]; was != "" && was != sid {
						t.Errorf("to the client section %s goes from %s to %s in one answer", mid, was, sid)
					}
				}
				d.settle("the other track", 1)
				for mid := range d.carried() {
					if before[mid] == "" {
						t.Errorf("section %s carries it, want the one given up", mid)
					}
				}
			})
		})
	}
}

// What a client was asked for before it resumed may never have reached it: it is asked
// again soon, not when a client that is slow would be.
func TestDuplexRequestLostWithTheSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.duplex()
		defer d.pc.GracefulClose()
		for _, sid := range []relay.TrackID{"TR_A", "TR_B", "TR_C"} {
			d.subscribe(sid, relay.Video, webrtc.MimeTypeVP8)
		}
		d.negotiate()
		w.wait("connected", func() bool { return d.last() == Connected })
		answer := d.answering(nil)
		d.subscribe("TR_D", relay.Video, webrtc.MimeTypeVP8)
		tick(time.Second)
		d.answering(answer)
		d.exchange(&webrtc.OfferOptions{ICERestart: true})
		tick(askResumed + 100*time.Millisecond)
		d.nego.Lock()
		defer d.nego.Unlock()
		if n := len(d.carried()); n != 4 {
			t.Errorf("%d tracks, want 4: asked %v", n, d.requests())
		}
	})
}
