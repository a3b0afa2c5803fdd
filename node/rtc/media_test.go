package rtc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"maille/relay"
)

// meeting is one client that publishes and one that watches, media running.
type meeting struct {
	*world
	up   *uplinkPair
	down *downlinkPair
	mic  *sending
	cam  []*sending
	subs map[relay.TrackID]*Subscriber
	stop func()
}

func newMeeting(t *testing.T, watch ...Down) *meeting {
	t.Helper()
	return newWorld(t).meet(watch...)
}

func (w *world) meet(watch ...Down) *meeting {
	w.t.Helper()
	m := &meeting{world: w, up: w.uplink(), down: w.downlink(), subs: make(map[relay.TrackID]*Subscriber)}
	m.mic, m.cam = m.up.audio("mic"), m.up.video("cam", "q", "h", "f")
	w.check(m.up.peer.Expect(Expect{Sid: "TR_AM", Cid: "mic", Kind: relay.Audio}))
	w.check(m.up.peer.Expect(Expect{Sid: "TR_VC", Cid: "cam", Kind: relay.Video}))
	m.up.negotiate()
	w.check(m.down.peer.Negotiate())
	w.wait("connected", func() bool { return m.up.last() == Connected && m.down.last() == Connected })
	m.stop = every(20*time.Millisecond, func() {
		m.mic.sound()
		for _, s := range m.cam {
			s.frame(s.pic%200 == 0)
		}
	})
	tick(500 * time.Millisecond)
	for _, d := range watch {
		sub, err := m.down.peer.Subscribe(d, m.up.find(d.Sid).Track)
		w.check(err)
		m.subs[d.Sid] = sub
	}
	return m
}

func (m *meeting) close() {
	m.stop()
	m.check(m.up.pc.GracefulClose())
	m.check(m.down.pc.GracefulClose())
	m.world.close()
}

// keyframes answers picture loss indications like an encoder and returns how many
// came for each encoding.
func (m *meeting) keyframes() (count func(encoding int) int) {
	var n [relay.MaxSpatial]counter
	for i, s := range m.cam {
		rid := s.rid
		go func() {
			for {
				pkts, _, err := s.sender.ReadSimulcastRTCP(rid)
				if err != nil {
					return
				}
				for _, p := range pkts {
					if pli, ok := p.(*rtcp.PictureLossIndication); ok && pli.MediaSSRC == ssrcOf(s) {
						n[i].add()
						s.key.Store(true)
					}
				}
			}
		}()
	}
	return func(encoding int) int { return n[encoding].get() }
}

var (
	watchMic = Down{Sid: "TR_AM", Stream: "PA_u|TR_AM", Kind: relay.Audio, Mime: webrtc.MimeTypeOpus}
	watchCam = Down{Sid: "TR_VC", Stream: "PA_u|TR_VC", Kind: relay.Video, Mime: webrtc.MimeTypeVP8, MaxSpatial: 2, MaxTemporal: 3}
)

func TestForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeeting(t, watchMic, watchCam)
		defer m.close()
		plis := m.keyframes()
		tick(5 * time.Second)
		for _, d := range []Down{watchMic, watchCam} {
			in, packets := m.down.got(string(d.Sid))
			if in == nil || len(packets) < 150 {
				t.Fatalf("%s: %d packets", d.Sid, len(packets))
			}
			if in.track.StreamID() != d.Stream || in.track.ID() != string(d.Sid) {
				t.Errorf("msid %s %s", in.track.StreamID(), in.track.ID())
			}
			contiguous(t, string(d.Sid), packets)
		}
		_, video := m.down.got("TR_VC")
		if video[0].Payload[4] != 0 {
			t.Error("the first picture is no keyframe")
		}
		for i := 1; i < len(video); i++ {
			if a, b := pictureID(video[i-1]), pictureID(video[i]); b != a+1 {
				t.Fatalf("picture %d after %d", b, a)
			}
		}
		if s := m.subs["TR_VC"].Stats(); s.Spatial != 2 || s.Packets == 0 || s.Heard == nil || s.Heard.RTT < int64(9*time.Millisecond) || s.Heard.RTT > int64(50*time.Millisecond) {
			t.Errorf("%+v, heard %+v", s, s.Heard)
		}
		if n := plis(2); n > 10 {
			t.Errorf("%d keyframe requests in 5 s", n)
		}

		// The lower layer on request, without a gap in numbers.
		m.subs["TR_VC"].Select(0, 3)
		tick(2 * time.Second)
		if s := m.subs["TR_VC"].Stats(); s.Spatial != 0 {
			t.Errorf("layer %d after Select(0)", s.Spatial)
		}
		if m.up.find("TR_VC").Track.Demand().HasSpatial(2) {
			t.Error("the top layer is still asked for")
		}
		_, video = m.down.got("TR_VC")
		contiguous(t, "after the switch", video)

		m.subs["TR_VC"].Pause(true)
		tick(100 * time.Millisecond)
		_, before := m.down.got("TR_VC")
		tick(time.Second)
		_, after := m.down.got("TR_VC")
		if len(before) != len(after) {
			t.Errorf("%d packets while paused", len(after)-len(before))
		}
		m.subs["TR_VC"].Pause(false)
		tick(time.Second)
		_, after = m.down.got("TR_VC")
		if len(after) < len(before)+30 {
			t.Errorf("%d packets after the pause", len(after)-len(before))
		}
		contiguous(t, "after the pause", after)
	})
}

func contiguous(t *testing.T, what string, packets []rtp.Packet) {
	t.Helper()
	for i := 1; i < len(packets); i++ {
		a, b := packets[i-1], packets[i]
		if b.SequenceNumber != a.SequenceNumber+1 || int32(b.Timestamp-a.Timestamp) <= 0 {
			t.Fatalf("%s: packet %d: %d at %d after %d at %d", what, i, b.SequenceNumber, b.Timestamp, a.SequenceNumber, a.Timestamp)
		}
	}
	if s := packets[0].SequenceNumber; s == 0 {
		t.Errorf("%s: begins at %d", what, s)
	}
}

func pictureID(p rtp.Packet) uint16 {
	return (uint16(p.Payload[2])<<8 | uint16(p.Payload[3])) & 0x7fff
}

func TestKeyframeRequestsCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeeting(t, watchCam)
		defer m.close()
		plis := m.keyframes()
		tick(3 * time.Second)
		in, _ := m.down.got("TR_VC")
		before := plis(2)
		for range 200 {
			m.check(m.down.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(in.track.SSRC())}}))
			tick(10 * time.Millisecond)
		}
		if n := plis(2) - before; n < 2 || n > 5 {
			t.Errorf("%d keyframe requests reach the publisher for 200 in 2 s", n)
		}
		if plis(0)+plis(1) > 4 {
			t.Error("layers that nobody watches are asked for keyframes")
		}
	})
}

func TestNackIsAnsweredInRetransmissionFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeeting(t, watchCam, watchMic)
		defer m.close()
		m.keyframes()
		tick(3 * time.Second)
		for sid, rtx := range map[string]bool{"TR_VC": true, "TR_AM": false} {
			in, packets := m.down.got(sid)
			lost := packets[len(packets)-10]
			for range 5 {
				m.check(m.down.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
					MediaSSRC: uint32(in.track.SSRC()),
					Nacks:     []rtcp.NackPair{{PacketID: lost.SequenceNumber}},
				}}))
				tick(100 * time.Millisecond)
			}
			s := m.subs[relay.TrackID(sid)].Stats()
			if s.Resent != repairTriesWanted || s.Nacked != 5 {
				t.Errorf("%s: asked %d times, resent %d", sid, s.Nacked, s.Resent)
			}
			if !rtx {
				continue // the client's replay protection drops what it has
			}
			_, packets = m.down.got(sid)
			n := 0
			for _, p := range packets {
				if p.SequenceNumber == lost.SequenceNumber {
					n++
					if p.Timestamp != lost.Timestamp || string(p.Payload) != string(lost.Payload) {
						t.Error("repair differs from what was sent")
					}
				}
			}
			if n != 1+repairTriesWanted {
				t.Errorf("%s: packet %d came %d times", sid, lost.SequenceNumber, n)
			}
		}
	})
}

const repairTriesWanted = 3

// The picture and the sound of one publisher carry NTP times of the same clock: its
// own.
func TestSenderReportsLineUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeeting(t, watchCam, watchMic)
		defer m.close()
		m.keyframes()
		tick(6 * time.Second)
		for _, tt := range []struct {
			sid  string
			rate float64
		}{{"TR_VC", 90000}, {"TR_AM", 48000}} {
			in, _ := m.down.got(tt.sid)
			m.down.rx.Lock()
			seen := len(in.reports)
			m.down.rx.Unlock()
			var sr rtcp.SenderReport
			m.wait("sender report", func() bool {
				m.down.rx.Lock()
				defer m.down.rx.Unlock()
				if len(in.reports) == seen {
					return false
				}
				sr = in.reports[seen]
				return true
			})
			// The publisher stamps each packet when it sends it, and its pion reports with
			// time.Now: the report's instant must be within a packet and a hop of the media.
			_, packets := m.down.got(tt.sid)
			last := packets[len(packets)-1]
			ahead := float64(int32(sr.RTPTime-last.Timestamp)) / tt.rate
			wall := time.Unix(0, 0).Add(time.Duration(float64(sr.NTPTime>>32-2208988800)*1e9) + time.Duration((sr.NTPTime&0xffffffff)*1e9>>32))
			if off := time.Since(wall); off < -50*time.Millisecond || off > 50*time.Millisecond {
				t.Errorf("%s: NTP is %v off the publisher's clock", tt.sid, off)
			}
			if ahead < -0.1 || ahead > 0.1 {
				t.Errorf("%s: report is %.3f s ahead of the media", tt.sid, ahead)
			}
		}
	})
}

func TestTrackEndFreesTheSection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeeting(t, watchCam)
		defer m.close()
		m.keyframes()
		tick(2 * time.Second)
		m.check(m.up.peer.Close())
		m.wait("section freed", func() bool { return len(m.down.peer.Mids()) == 0 })
		if m.down.last() != Connected {
			t.Error("the watcher is gone too")
		}
	})
}
