package rtc

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"maille/relay"
	"maille/relay/track"
)

// downlinkPair is a watching client and the node's end of it.
type downlinkPair struct {
	*probe
	w    *world
	peer *Peer
	pc   *webrtc.PeerConnection

	rx sync.Mutex // guards all below
	in map[string]*incoming
}

// incoming is one stream as the client receives it.
type incoming struct {
	track    *webrtc.TrackRemote
	receiver *webrtc.RTPReceiver
	packets  []rtp.Packet
	reports  []rtcp.SenderReport
}

func (w *world) downlink(change ...func(*webrtc.SettingEngine, *webrtc.MediaEngine)) *downlinkPair {
	w.t.Helper()
	d := &downlinkPair{probe: &probe{}, w: w, pc: w.browser(change...), in: make(map[string]*incoming)}
	d.onOffer = d.reply
	d.pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		in := &incoming{track: track, receiver: receiver}
		d.rx.Lock()
		d.in[track.ID()] = in
		d.rx.Unlock()
		go d.readReports(in)
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			d.rx.Lock()
			in.packets = append(in.packets, *p)
			d.rx.Unlock()
		}
	})
	var err error
	d.peer, err = w.engine.NewPeer(d.probe, Options{Role: Downlink, Name: "watcher", Playout: w.playout, Opening: w.opening})
	w.check(err)
	return d
}

// readReports also lets pion answer with receiver reports.
func (d *downlinkPair) readReports(in *incoming) {
	for {
		pkts, _, err := in.receiver.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range pkts {
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == uint32(in.track.SSRC()) {
				d.rx.Lock()
				in.reports = append(in.reports, *sr)
				d.rx.Unlock()
			}
		}
	}
}

func (d *downlinkPair) reply(sdp string, id uint32) {
	d.w.check(d.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp}))
	answer, err := d.pc.CreateAnswer(nil)
	d.w.check(err)
	d.w.check(d.pc.SetLocalDescription(answer))
	d.w.check(d.peer.SetAnswer(answer.SDP, id))
}

// got returns what came of a track so far.
func (d *downlinkPair) got(sid string) (*incoming, []rtp.Packet) {
	d.rx.Lock()
	defer d.rx.Unlock()
	in := d.in[sid]
	if in == nil {
		return nil, nil
	}
	return in, append([]rtp.Packet(nil), in.packets...)
}

func TestOffersAreDebouncedAndReuseSections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.downlink()
		defer d.pc.GracefulClose()
		w.check(d.peer.Negotiate())
		w.wait("connected with data only", func() bool { return d.last() == Connected })
		subscribe := func(sid relay.TrackID, kind relay.Kind, mime string) *track.Track {
			tr := track.New(sid, kind, mime)
			_, err := d.peer.Subscribe(Down{Sid: sid, Stream: "PA_x|" + string(sid), Kind: kind, Mime: mime, MaxSpatial: 2, MaxTemporal: 3}, tr)
			w.check(err)
			return tr
		}
		offers := func() int {
			d.mu.Lock()
			defer d.mu.Unlock()
			return len(d.offers)
		}
		for _, sid := range []relay.TrackID{"TR_VA", "TR_VB", "TR_VC"} {
			subscribe(sid, relay.Video, webrtc.MimeTypeVP8)
			tick(10 * time.Millisecond)
		}
		tick(time.Second)
		if n := offers(); n != 2 {
			t.Errorf("%d offers for three subscriptions in 30 ms, want one after the first", n)
		}
		sections := func() int { return strings.Count(d.pc.CurrentRemoteDescription().SDP, "m=video") }
		if n := sections(); n != 3 {
			t.Fatalf("%d video sections", n)
		}
		d.peer.Unsubscribe("TR_VB")
		tick(time.Second)
		subscribe("TR_VD", relay.Video, webrtc.MimeTypeH264)
		tick(time.Second)
		if n := sections(); n != 3 {
			t.Errorf("%d video sections after reuse", n)
		}
		if !strings.Contains(d.pc.CurrentRemoteDescription().SDP, "a=msid:PA_x|TR_VD TR_VD\r\n") {
			t.Error("recycled section without its msid")
		}
		if mids := d.peer.Mids(); len(mids) != 3 {
			t.Errorf("mids %v", mids)
		}
		d.mu.Lock()
		ids := append([]uint32(nil), d.offers...)
		d.mu.Unlock()
		for i, id := range ids {
			if id != uint32(i+1) {
				t.Errorf("offer ids %v", ids)
			}
		}
	})
}

// Only sections of music say that they have two channels, also once a client has
// answered that it takes them, and when another track has the section.
func TestStereoIsOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.downlink()
		defer d.pc.GracefulClose()
		d.onOffer = func(text string, id uint32) {
			w.check(d.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: text}))
			answer, err := d.pc.CreateAnswer(nil)
			w.check(err)
			w.check(d.pc.SetLocalDescription(answer))
			w.check(d.peer.SetAnswer(strings.ReplaceAll(answer.SDP, ";sprop-stereo=1", ";stereo=1"), id))
		}
		subscribe := func(sid relay.TrackID, stereo bool) {
			down := Down{Sid: sid, Stream: "PA_x|" + string(sid), Kind: relay.Audio, Mime: webrtc.MimeTypeOpus, Stereo: stereo}
			_, err := d.peer.Subscribe(down, track.New(sid, down.Kind, down.Mime))
			w.check(err)
		}
		// offered says of each audio section whose it is and what of opus.
		offered := func() (out []string) {
			for _, m := range strings.Split(d.pc.CurrentRemoteDescription().SDP, "m=")[1:] {
				_, fmtp, audio := strings.Cut(m, "a=fmtp:111 ")
				if !audio {
					continue
				}
				fmtp, _, _ = strings.Cut(fmtp, "\r\n")
				_, id, _ := strings.Cut(m, "a=msid:PA_x|")
				id, _, _ = strings.Cut(id, " ")
				out = append(out, id+" "+fmtp)
			}
			return out
		}
		const plain, music = " minptime=10;useinbandfec=1", " minptime=10;useinbandfec=1;sprop-stereo=1"
		subscribe("TR_VOICE", false)
		subscribe("TR_MUSIC", true)
		tick(time.Second)
		if diff := cmp.Diff([]string{"TR_VOICE" + plain, "TR_MUSIC" + music}, offered()); diff != "" {
			t.Error(diff)
		}
		d.peer.Unsubscribe("TR_MUSIC")
		tick(time.Second)
		subscribe("TR_LATER", false)
		tick(time.Second)
		if diff := cmp.Diff([]string{"TR_VOICE" + plain, "TR_LATER" + plain}, offered()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnswerOfAnotherOfferIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.downlink()
		defer d.pc.GracefulClose()
		var first string
		d.onOffer = func(sdp string, id uint32) {
			if id != 1 || first != "" {
				return
			}
			first = sdp
			w.check(d.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp}))
			answer, err := d.pc.CreateAnswer(nil)
			w.check(err)
			w.check(d.pc.SetLocalDescription(answer))
			w.check(d.peer.SetAnswer(answer.SDP, 7))
			if s := d.peer.pc.SignalingState(); s != webrtc.SignalingStateHaveLocalOffer {
				t.Errorf("state %s after an answer with another id", s)
			}
			w.check(d.peer.SetAnswer(answer.SDP, 0))
			w.check(d.peer.SetAnswer(answer.SDP, 1)) // unasked by now
		}
		w.check(d.peer.Negotiate())
		w.wait("connected", func() bool { return d.last() == Connected })
	})
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.downlink()
		defer d.pc.GracefulClose()
		w.check(d.peer.Negotiate())
		w.wait("connected", func() bool { return d.last() == Connected })
		before := ufrag(d.pc.CurrentRemoteDescription().SDP)
		w.check(d.peer.Restart())
		w.wait("new credentials", func() bool { return ufrag(d.pc.CurrentRemoteDescription().SDP) != before })
		tick(time.Second)
		w.wait("connected again", func() bool {
			return d.last() == Connected && d.pc.ICEConnectionState() == webrtc.ICEConnectionStateConnected
		})

		u := w.uplink()
		defer u.pc.GracefulClose()
		u.audio("a")
		u.negotiate()
		w.wait("connected", func() bool { return u.last() == Connected })
		offer, err := u.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
		w.check(err)
		w.check(u.pc.SetLocalDescription(offer))
		old := ufrag(u.pc.CurrentRemoteDescription().SDP)
		answer, err := u.peer.SetOffer(offer.SDP, 2)
		w.check(err)
		w.check(u.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
		if ufrag(answer) == old {
			t.Error("answer to a restart keeps the old credentials")
		}
		tick(20 * time.Second)
		if u.last() != Connected || u.pc.ICEConnectionState() != webrtc.ICEConnectionStateConnected {
			t.Errorf("after the client's restart: %s, client %s", u.last(), u.pc.ICEConnectionState())
		}
	})
}

func ufrag(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	f, _, _ := strings.Cut(rest, "\r\n")
	return f
}

func TestData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.downlink()
		defer d.pc.GracefulClose()
		var mu sync.Mutex
		got := make(map[string][]string)
		d.pc.OnDataChannel(func(dc *webrtc.DataChannel) {
			dc.OnMessage(func(m webrtc.DataChannelMessage) {
				mu.Lock()
				defer mu.Unlock()
				got[dc.Label()] = append(got[dc.Label()], string(m.Data))
			})
		})
		w.check(d.peer.SendData(Reliable, []byte("early")))
		w.check(d.peer.SendData(Lossy, []byte("lost")))
		w.check(d.peer.Negotiate())
		w.wait("connected", func() bool { return d.last() == Connected })
		tick(time.Second)
		w.check(d.peer.SendData(Reliable, []byte("late")))
		w.check(d.peer.SendData(Lossy, []byte("light")))
		w.check(d.peer.SendData(DataTrack, []byte("raw")))
		tick(time.Second)
		mu.Lock()
		if strings.Join(got["_reliable"], " ") != "early late" || strings.Join(got["_lossy"], " ") != "light" || strings.Join(got["_data_track"], " ") != "raw" {
			t.Errorf("received %v", got)
		}
		mu.Unlock()
		if s := d.peer.DataStats(); s.Sent != 4 || s.Dropped != 1 {
			t.Errorf("%+v", s)
		}
		if err := d.peer.SendData(Reliable, make([]byte, maxMessage+1)); !errors.Is(err, ErrLimit) {
			t.Errorf("large message: %v", err)
		}

		u := w.uplink()
		defer u.pc.GracefulClose()
		dc, err := u.pc.CreateDataChannel("_lossy", nil)
		w.check(err)
		u.negotiate()
		w.wait("open", func() bool { return dc.ReadyState() == webrtc.DataChannelStateOpen })
		for _, s := range []string{"a", "b", "c"} {
			w.check(dc.SendText(s))
		}
		w.wait("data", func() bool {
			u.mu.Lock()
			defer u.mu.Unlock()
			return strings.Join(u.data, ",") == "_lossy a,_lossy b,_lossy c"
		})
	})
}

func TestSlowReaderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.downlink()
		defer d.pc.GracefulClose()
		w.check(d.peer.Negotiate())
		w.wait("connected", func() bool { return d.last() == Connected })
		w.check(w.router.Stop()) // the client hears nothing any more
		var err error
		n := 0
		for ; err == nil && n < 1000; n++ {
			err = d.peer.SendData(Reliable, make([]byte, 16<<10))
		}
		if !errors.Is(err, ErrSlowReader) || n < 100 {
			t.Fatalf("after %d messages: %v", n, err)
		}
		w.wait("closed", func() bool { return d.last() == Closed })
		d.mu.Lock()
		defer d.mu.Unlock()
		if !errors.Is(d.why, ErrSlowReader) {
			t.Errorf("closed for %v", d.why)
		}
		w.check(w.router.Start())
	})
}
