package rtc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"maille/node/rtc/sdp"
	"maille/relay"
	"maille/relay/track"
)

// duplexPair is a client with one connection for both directions.
type duplexPair struct {
	*uplinkPair
	nego sync.Mutex // over an exchange
	text string     // the newest answer
	mids map[string]relay.TrackID
	back []string // what came back on the client's channels
}

// duplex makes a client as livekit-client does: three channels, three sections of each
// kind to receive in.
func (w *world) duplex(change ...func(*Options)) *duplexPair {
	w.t.Helper()
	d := &duplexPair{uplinkPair: &uplinkPair{probe: &probe{}, w: w, pc: w.browser()}}
	var err error
	o := Options{Role: Duplex, Name: "client", Playout: w.playout}
	for _, f := range change {
		f(&o)
	}
	d.peer, err = w.engine.NewPeer(d.probe, o)
	w.check(err)
	for ch := range numChannels {
		dc, err := d.pc.CreateDataChannel(ch.String(), nil)
		w.check(err)
		dc.OnMessage(func(m webrtc.DataChannelMessage) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.back = append(d.back, ch.String()+" "+string(m.Data))
		})
	}
	d.sections(3, 3)
	d.onSections = func(audio, video uint32) {
		d.sections(audio, video)
		d.negotiate()
	}
	return d
}

func (d *duplexPair) sections(audio, video uint32) {
	d.w.t.Helper()
	for kind, n := range map[webrtc.RTPCodecType]uint32{webrtc.RTPCodecTypeAudio: audio, webrtc.RTPCodecTypeVideo: video} {
		for range n {
			_, err := d.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
			d.w.check(err)
		}
	}
}

func (d *duplexPair) negotiate() {
	d.w.t.Helper()
	d.exchange(nil)
}

func (d *duplexPair) exchange(o *webrtc.OfferOptions) {
	d.w.t.Helper()
	d.nego.Lock()
	defer d.nego.Unlock()
	offer, err := d.pc.CreateOffer(o)
	d.w.check(err)
	d.w.check(d.pc.SetLocalDescription(offer))
	d.next++
	answer, err := d.peer.SetOffer(offer.SDP, d.next)
	d.w.check(err)
	d.w.check(d.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	d.text, d.mids = answer, d.peer.Mids()
}

// answering changes what requests for sections do, and returns what they did.
func (d *duplexPair) answering(f func(audio, video uint32)) (was func(audio, video uint32)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, d.onSections = d.onSections, f
	return was
}

func (d *duplexPair) subscribe(sid relay.TrackID, kind relay.Kind, mime string) *track.Track {
	d.w.t.Helper()
	tr := track.New(sid, kind, mime, track.WithClock(d.w.now))
	_, err := d.peer.Subscribe(Down{Sid: sid, Stream: "PA_x|" + string(sid), Kind: kind, Mime: mime, MaxSpatial: 2, MaxTemporal: 3}, tr)
	d.w.check(err)
	return tr
}

// carried reads from the newest answer which track is sent in which section.
func (d *duplexPair) carried() map[string]string {
	d.w.t.Helper()
	var s pion.SessionDescription
	d.w.check(s.UnmarshalString(d.text))
	out := make(map[string]string)
	for _, m := range s.MediaDescriptions {
		if m.MediaName.Media == "application" {
			continue
		}
		mid, _ := m.Attribute("mid")
		_, active := m.Attribute("sendonly")
		_, both := m.Attribute("sendrecv")
		id, named := m.Attribute("msid")
		if named != (active || both) {
			d.w.t.Errorf("section %s: msid %q, direction %v", mid, id, active || both)
		}
		if named {
			_, out[mid], _ = strings.Cut(id, " ")
			if want := "PA_x|" + out[mid] + " " + out[mid]; id != want {
				d.w.t.Errorf("section %s: msid %q, want %q", mid, id, want)
			}
		}
	}
	return out
}

func (d *duplexPair) requests() [][2]uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.asked)
}

func (d *duplexPair) settle(what string, n int) {
	d.w.t.Helper()
	d.w.wait(what, func() bool { d.nego.Lock(); defer d.nego.Unlock(); return len(d.carried()) == n })
	tick(5 * time.Second)
	d.nego.Lock()
	defer d.nego.Unlock()
	got := d.carried()
	if len(got) != n {
		d.w.t.Errorf("%s: %d sections carry tracks, want %d: %v", what, len(got), n, got)
	}
	for mid, sid := range got {
		if d.mids[mid] != relay.TrackID(sid) {
			d.w.t.Errorf("%s: the map says %q for section %s, the answer %q", what, d.mids[mid], mid, sid)
		}
	}
}

// What is subscribed before the client's first offer is in its answer; then sections are
// asked for, once, and given up sections used again.
func TestDuplexSections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.duplex()
		defer d.pc.GracefulClose()
		d.subscribe("TR_AA", relay.Audio, webrtc.MimeTypeOpus)
		d.subscribe("TR_VA", relay.Video, webrtc.MimeTypeVP8)
		tick(time.Second)
		if got := d.requests(); len(got) > 0 {
			t.Errorf("asked %v before the client's first offer", got)
		}
		d.negotiate()
		w.wait("connected", func() bool { return d.last() == Connected })
		d.settle("the first answer", 2)
		if got := d.requests(); len(got) > 0 {
			t.Errorf("asked %v although all have sections", got)
		}

		for i := range 5 {
			d.subscribe(relay.TrackID(fmt.Sprint("TR_VB", i)), relay.Video, webrtc.MimeTypeH264)
		}
		d.settle("five more", 7)
		if got, want := d.requests(), [][2]uint32{{0, 3}}; !slices.Equal(got, want) {
			t.Errorf("asked %v, want %v", got, want)
		}

		d.peer.Unsubscribe("TR_VB1")
		d.peer.Unsubscribe("TR_VB2")
		d.settle("two less", 5)
		d.subscribe("TR_VC", relay.Video, webrtc.MimeTypeVP8)
		d.settle("one more", 6)
		if got, want := d.requests(), [][2]uint32{{0, 3}, {0, 0}, {0, 0}}; !slices.Equal(got, want) {
			t.Errorf("asked %v, want %v", got, want)
		}
		if n := strings.Count(d.text, "m=video"); n != 6 {
			t.Errorf("%d video sections, want 6", n)
		}
	})
}

// A section changes hands only through an inactive answer: clients notice a new track by
// that alone.
func TestDuplexSwap(t *testing.T) {
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
		before := d.carried()
		d.peer.Unsubscribe("TR_B")
		d.subscribe("TR_D", relay.Video, webrtc.MimeTypeVP8)
		d.settle("the swap", 3)
		for mid, sid := range d.carried() {
			if was := before[mid]; was != "" && was != sid {
				t.Errorf("section %s went from %s to %s in one answer", mid, was, sid)
			}
		}
		d.peer.Unsubscribe("TR_D")
		d.subscribe("TR_E", relay.Video, webrtc.MimeTypeVP8)
		d.settle("the next swap", 3)
		if n := strings.Count(d.text, "m=video"); n != 4 {
			t.Errorf("%d video sections, want 4: the first given up is used again", n)
		}
	})
}

// A client that does not answer a request is asked again; one whose offer crosses it is
// not asked twice.
func TestDuplexRequestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.duplex()
		defer d.pc.GracefulClose()
		d.negotiate()
		w.wait("connected", func() bool { return d.last() == Connected })
		answer := d.answering(nil)
		for i := range 4 {
			d.subscribe(relay.TrackID(fmt.Sprint("TR_A", i)), relay.Audio, webrtc.MimeTypeOpus)
		}
		tick(time.Second)
		d.negotiate() // it crossed the request: three of four find a section
		if n := len(d.carried()); n != 3 {
			t.Errorf("%d tracks, want 3", n)
		}
		tick(time.Second)
		if got, want := d.requests(), [][2]uint32{{1, 0}}; !slices.Equal(got, want) {
			t.Errorf("asked %v, want %v", got, want)
		}
		d.answering(answer)
		d.settle("the fourth", 4)
		if got, want := d.requests(), [][2]uint32{{1, 0}, {1, 0}}; !slices.Equal(got, want) {
			t.Errorf("asked %v, want %v", got, want)
		}
	})
}

// Media and data flow both ways over the one connection.
func TestDuplexBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.duplex()
		defer d.pc.GracefulClose()
		var rx sync.Mutex
		came := make(map[string]int)
		d.pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
			for {
				p, _, err := tr.ReadRTP()
				if err != nil {
					return
				}
				if len(p.Payload) > 0 {
					rx.Lock()
					came[tr.ID()]++
					rx.Unlock()
				}
			}
		})
		tr := d.subscribe("TR_V", relay.Video, webrtc.MimeTypeVP8)
		d.negotiate()
		w.wait("connected", func() bool { return d.last() == Connected })

		w.check(d.peer.Expect(Expect{Sid: "TR_M", Cid: "mic", Kind: relay.Audio, Mime: webrtc.MimeTypeOpus}))
		w.check(d.peer.Expect(Expect{Sid: "TR_C", Cid: "cam", Kind: relay.Video, Mime: webrtc.MimeTypeVP8}))
		mic, cam := d.audio("mic"), d.video("cam", "q", "h")
		d.negotiate()
		w.wait("published", func() bool { return d.find("TR_M") != nil && d.find("TR_C") != nil })

		far := &camera{now: w.now}
		stop := every(10*time.Millisecond, func() {
			tr.Push(far.next())
			mic.sound()
			for _, s := range cam {
				s.frame(false)
			}
		})
		defer stop()
		w.wait("the client's media", func() bool {
			video := d.find("TR_C").Track.Stats().Encodings
			return d.find("TR_M").Track.Stats().Encodings[0].Packets > 20 && video[0].Packets > 20 && video[1].Packets > 20
		})
		w.wait("media for the client", func() bool { rx.Lock(); defer rx.Unlock(); return came["TR_V"] > 20 })
		if len(d.mids) != 3 {
			t.Errorf("map of sections %v, want all three tracks", d.mids)
		}

		w.check(d.peer.SendData(Reliable, []byte("to you")))
		w.check(d.peer.SendData(Lossy, []byte("to you too")))
		w.wait("data for the client", func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return slices.Contains(d.back, "_reliable to you") && slices.Contains(d.back, "_lossy to you too")
		})
	})
}

// Data sent before the client's channels are open is not lost.
func TestDuplexEarlyData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.duplex()
		defer d.pc.GracefulClose()
		w.check(d.peer.SendData(Reliable, []byte("early")))
		w.check(d.peer.SendData(Lossy, []byte("too early")))
		d.negotiate()
		w.wait("the message", func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return slices.Contains(d.back, "_reliable early")
		})
	})
}

// A payload type means the same in every section (RFC 8843 section 9.1).
func TestDuplexSharedPayloadTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.duplex()
		defer d.pc.GracefulClose()
		d.subscribe("TR_A", relay.Audio, webrtc.MimeTypeOpus)
		d.subscribe("TR_V", relay.Video, webrtc.MimeTypeH264)
		w.check(d.peer.Expect(Expect{Sid: "TR_M", Cid: "mic", Kind: relay.Audio, Mime: webrtc.MimeTypeOpus}))
		w.check(d.peer.Expect(Expect{Sid: "TR_S", Cid: "music", Kind: relay.Audio, Mime: webrtc.MimeTypeOpus, Stereo: true, NoDTX: true}))
		d.audio("mic")
		d.audio("music")
		d.negotiate()
		w.check(d.peer.Expect(Expect{Sid: "TR_L", Cid: "late", Kind: relay.Audio, Mime: webrtc.MimeTypeOpus}))
		d.audio("late") // offered with the parameters of the answer before
		d.negotiate()
		var s pion.SessionDescription
		w.check(s.UnmarshalString(d.text))
		known := make(map[string]string)
		for _, m := range s.MediaDescriptions {
			for _, a := range m.Attributes {
				pt, value, ok := strings.Cut(a.Value, " ")
				if !ok || a.Key != "fmtp" && a.Key != "rtpmap" {
					continue
				}
				if was := known[a.Key+pt]; was != "" && was != value {
					t.Errorf("payload type %s is %q and %q", pt, was, value)
				}
				known[a.Key+pt] = value
			}
		}
		if got := known["fmtp111"]; !strings.Contains(got, "stereo=1") || strings.Contains(got, "usedtx") {
			t.Errorf("opus is %q beside music", got)
		}
	})
}

// A client offers no more sections than it was asked for, besides a few of its own.
func TestDuplexOfferIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.duplex()
		defer d.pc.GracefulClose()
		d.negotiate()
		w.wait("connected", func() bool { return d.last() == Connected })
		const people = 40
		for i := range people {
			d.subscribe(relay.TrackID(fmt.Sprint("TR_V", i)), relay.Video, webrtc.MimeTypeVP8)
		}
		d.settle("more than a first offer may have", people)
		d.sections(sdp.MaxOfferSections, 0)
		offer, err := d.pc.CreateOffer(nil)
		w.check(err)
		if _, err := d.peer.SetOffer(offer.SDP, 99); !errors.Is(err, ErrLimit) {
			t.Errorf("unasked sections: %v, want %v", err, ErrLimit)
		}
	})
}

// An offer that crosses the request finds the section of a track that ended still taken.
func TestDuplexSwapCrossed(t *testing.T) {
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
		d.peer.Unsubscribe("TR_B")
		d.subscribe("TR_D", relay.Video, webrtc.MimeTypeVP8)
		d.negotiate()
		if n := len(d.carried()); n != 2 {
			t.Errorf("%d tracks in the answer that ends one, want 2", n)
		}
		if n := len(d.peer.pc.GetTransceivers()); n != 6 {
			t.Errorf("%d transceivers for 6 sections", n)
		}
		d.settle("the swap", 3)
	})
}

// A client that was away for long is asked soon after its next offer.
func TestDuplexAskedAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.duplex()
		defer d.pc.GracefulClose()
		d.negotiate()
		w.wait("connected", func() bool { return d.last() == Connected })
		answer := d.answering(nil)
		for i := range 4 {
			d.subscribe(relay.TrackID(fmt.Sprint("TR_A", i)), relay.Audio, webrtc.MimeTypeOpus)
		}
		tick(40 * time.Second)
		if n := len(d.requests()); n < 4 || n > 6 {
			t.Errorf("asked %d times in 40 s", n)
		}
		d.answering(answer)
		d.negotiate()
		before := len(d.requests())
		tick(askAgain + time.Second)
		if n := len(d.requests()) - before; n != 1 {
			t.Errorf("asked %d times after the client's offer", n)
		}
		d.settle("the fourth", 4)
	})
}

// Idle sections are closed to all but Firefox, and name no track to anyone.
func TestDuplexIdleSections(t *testing.T) {
	for _, open := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer w.close()
			d := w.duplex(func(o *Options) { o.IdleOpen = open })
			defer d.pc.GracefulClose()
			d.negotiate()
			w.wait("connected", func() bool { return d.last() == Connected })
			want := map[bool]string{false: "a=inactive", true: "a=sendonly"}[open]
			if n := strings.Count(d.text, want+"\r\n"); n != 6 {
				t.Errorf("open %t: %d of 6 sections have %s", open, n, want)
			}
			if strings.Contains(d.text, "a=msid:") {
				t.Errorf("open %t: the answer names a track", open)
			}
		})
	}
}
