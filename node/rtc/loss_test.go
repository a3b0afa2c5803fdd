package rtc

import (
	"net"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/transport/v4/vnet"
	"github.com/pion/webrtc/v4"

	"maille/relay"
)

// lose drops every n-th media packet of one direction and returns how many it
// dropped.
func (w *world) lose(from string, n int64) *atomic.Int64 {
	var count, dropped atomic.Int64
	w.router.AddChunkFilter(func(c vnet.Chunk) bool {
		b := c.UserData()
		media := len(b) > 12 && b[0]>>6 == 2 && (b[1] < 192 || b[1] > 223)
		ip, _ := c.SourceAddr().(*net.UDPAddr)
		if media && ip != nil && ip.IP.String() == from && count.Add(1)%n == 0 {
			dropped.Add(1)
			return false
		}
		return true
	})
	return &dropped
}

func TestLossOnTheWayUpIsRepaired(t *testing.T) {
	for _, tt := range []struct {
		name string
		rids []string
	}{{"single", []string{""}}, {"simulcast", []string{"q", "h", "f"}}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.close()
				u := w.uplink()
				defer u.pc.GracefulClose()
				cam := u.video("cam", tt.rids...)
				w.check(u.peer.Expect(Expect{Sid: "TR_V", Cid: "cam", Kind: relay.Video}))
				u.negotiate()
				w.wait("connected", func() bool { return u.last() == Connected })
				for _, s := range cam {
					go readAll(s)
				}
				stop := every(20*time.Millisecond, func() {
					for _, s := range cam {
						s.frame(false)
					}
				})
				tick(time.Second)
				dropped := w.lose(clientIP, 10)
				tick(5 * time.Second)
				stop()
				tick(time.Second)
				for i := range cam {
					if e := u.find("TR_V").Track.Stats().Encodings[i]; e.Lost != 0 || e.Packets < 250 {
						t.Errorf("encoding %d: %+v", i, e)
					}
				}
				if dropped.Load() < 20 {
					t.Errorf("only %d packets lost", dropped.Load())
				}
				st, ok := u.peer.PublicationStats("TR_V")
				asked := int64(st.Asked)
				if !ok || len(st.Drops) > 0 {
					t.Errorf("%+v", st)
				}
				if asked > dropped.Load()*3/2+5 {
					t.Errorf("asked %d times for %d packets", asked, dropped.Load())
				}
			})
		})
	}
}

// readAll answers the node's requests as a browser does: in the retransmission format,
// named by the repaired-rid extension.
func readAll(s *sending) {
	for {
		var pkts []rtcp.Packet
		var err error
		if s.rid == "" {
			pkts, _, err = s.sender.ReadRTCP()
		} else {
			pkts, _, err = s.sender.ReadSimulcastRTCP(s.rid)
		}
		if err != nil {
			return
		}
		for _, p := range pkts {
			if nack, ok := p.(*rtcp.TransportLayerNack); ok && nack.MediaSSRC == ssrcOf(s) {
				for _, pair := range nack.Nacks {
					for _, seq := range pair.PacketList() {
						s.again(seq)
					}
				}
			}
		}
	}
}

func TestLossOnTheWayDownIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeeting(t, watchCam)
		defer m.close()
		m.keyframes()
		tick(2 * time.Second)
		dropped := m.lose(serverIP, 10)
		tick(5 * time.Second)
		_, packets := m.down.got("TR_VC")
		seen := make(map[uint16]bool)
		for _, p := range packets {
			seen[p.SequenceNumber] = true
		}
		first, last := packets[0].SequenceNumber, packets[len(packets)-20].SequenceNumber
		lost := 0
		for s := first; s != last; s++ {
			if !seen[s] {
				lost++
			}
		}
		if lost > 0 || dropped.Load() < 20 {
			t.Errorf("%d of %d lost packets were not repaired; %+v", lost, dropped.Load(), m.subs["TR_VC"].Stats())
		}
	})
}

// The client prefers AES-CM; the node, as DTLS server, takes the cheaper GCM.
func TestMediaIsEncryptedWithGCM(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		order := func(s *webrtc.SettingEngine, _ *webrtc.MediaEngine) {
			s.SetSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80, dtls.SRTP_AEAD_AES_128_GCM)
			w.check(s.SetAnsweringDTLSRole(webrtc.DTLSRoleClient)) // as browsers
		}
		u, d := w.uplink(order), w.downlink(order)
		defer u.pc.GracefulClose()
		defer d.pc.GracefulClose()
		u.audio("a")
		u.negotiate()
		w.check(d.peer.Negotiate())
		w.wait("connected", func() bool { return u.last() == Connected && d.last() == Connected })
		tick(time.Second)
		for _, pc := range []*webrtc.PeerConnection{u.pc, d.pc, u.peer.pc, d.peer.pc} {
			profile := reflect.ValueOf(pc.SCTP().Transport()).Elem().FieldByName("srtpProtectionProfile").Uint()
			if profile != uint64(dtls.SRTP_AEAD_AES_128_GCM) {
				t.Errorf("profile %#x", profile)
			}
		}
	})
}

func TestOldCipherSuitesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink(func(s *webrtc.SettingEngine, _ *webrtc.MediaEngine) {
			s.SetDTLSCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA)
		})
		defer u.pc.GracefulClose()
		u.audio("a")
		u.negotiate()
		tick(10 * time.Second)
		if s := u.last(); s == Connected {
			t.Errorf("state %s", s)
		}
	})
}

func TestSilentClientIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		u.audio("a")
		u.negotiate()
		w.wait("connected", func() bool { return u.last() == Connected })
		w.router.AddChunkFilter(func(vnet.Chunk) bool { return false })
		began := time.Now()
		w.wait("disconnected", func() bool { return u.last() == Disconnected })
		w.wait("failed", func() bool { return u.last() == Failed })
		if d := time.Since(began); d < 12*time.Second || d > 20*time.Second {
			t.Errorf("failed after %v", d)
		}
	})
}
