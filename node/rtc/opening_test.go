package rtc

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/transport/v4/vnet"
	"github.com/pion/webrtc/v4"

	"maille/relay"
	"maille/relay/track"
)

// quietMeeting is a client that watches a sound and a picture that send nothing yet.
type quietMeeting struct {
	*world
	down *downlinkPair
	mic  *track.Track
	cam  *track.Track
}

func (w *world) quiet(opening bool, trailer []byte) *quietMeeting {
	w.t.Helper()
	w.opening = opening
	m := &quietMeeting{
		world: w, down: w.downlink(),
		mic: track.New("TR_AM", relay.Audio, webrtc.MimeTypeOpus, track.WithClock(w.now)),
		cam: track.New("TR_VC", relay.Video, webrtc.MimeTypeVP8, track.WithClock(w.now)),
	}
	mic := watchMic
	mic.Trailer = trailer
	for _, s := range []struct {
		down Down
		t    *track.Track
	}{{mic, m.mic}, {watchCam, m.cam}} {
		_, err := m.down.peer.Subscribe(s.down, s.t)
		w.check(err)
	}
	w.wait("connected", func() bool { return m.down.last() == Connected })
	return m
}

func (m *quietMeeting) close() {
	m.check(m.down.pc.GracefulClose())
	m.world.close()
	m.mic.Close()
	m.cam.Close()
}

// speak is media for a while.
func (m *quietMeeting) speak() {
	cam := &camera{now: m.now}
	for i := range 50 {
		p := relay.NewPacket()
		p.SSRC, p.Seq, p.Timestamp, p.Arrived = 5, uint16(40000+i), uint32(960*i), m.now()
		p.Payload = p.Buffer()[:copy(p.Buffer(), []byte{0x78, 1, 2, 3, 4})]
		m.mic.Push(p)
		m.cam.Push(cam.next())
		m.cam.Push(cam.next())
		tick(20 * time.Millisecond)
	}
}

func (m *quietMeeting) both() bool {
	in, _ := m.down.got("TR_AM")
	other, _ := m.down.got("TR_VC")
	return in != nil && other != nil
}

// gapless holds numbers together, and time that does not go back.
func gapless(t *testing.T, packets []rtp.Packet) {
	t.Helper()
	for i := 1; i < len(packets); i++ {
		a, b := packets[i-1], packets[i]
		if b.SequenceNumber != a.SequenceNumber+1 || int32(b.Timestamp-a.Timestamp) < 0 {
			t.Fatalf("packet %d: %d at %d after %d at %d", i, b.SequenceNumber, b.Timestamp, a.SequenceNumber, a.Timestamp)
		}
	}
}

// A client that hears of a track by its first packet hears of one that sends nothing: by
// one packet that plays nothing, which what is played later follows as if it were sound
// or picture itself.
func TestQuietTrackIsHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newWorld(t).quiet(true, nil)
		defer m.close()
		m.wait("both tracks", m.both)
		const pause = 10 * time.Second
		tick(pause)
		_, sound := m.down.got("TR_AM")
		if len(sound) != 1 || !bytes.Equal(sound[0].Payload, silence) || sound[0].Padding {
			t.Fatalf("of sound: %v", sound)
		}
		_, picture := m.down.got("TR_VC")
		if len(picture) != 1 || len(picture[0].Payload) != 0 || !picture[0].Padding {
			t.Fatalf("of the picture: %v", picture)
		}
		m.speak()
		_, sound = m.down.got("TR_AM")
		_, picture = m.down.got("TR_VC")
		if len(sound) != 51 || len(picture) != 101 {
			t.Fatalf("%d packets of sound, %d of the picture", len(sound), len(picture))
		}
		gapless(t, sound)
		gapless(t, picture)
		if picture[1].Payload[6] != 0 || picture[1].Timestamp == picture[0].Timestamp {
			t.Errorf("the picture begins with %v", picture[1])
		}
		if d := sound[1].Timestamp - sound[0].Timestamp; d < 48*9000 || d > 48*11000 {
			t.Errorf("%d ticks of silence in %v", d, pause)
		}
	})
}

// What did not arrive is sent again, and what the client did report is not.
func TestOpeningLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var lost atomic.Int64
		w.router.AddChunkFilter(func(c vnet.Chunk) bool {
			b := c.UserData()
			ip, _ := c.SourceAddr().(*net.UDPAddr)
			media := len(b) > 12 && b[0]>>6 == 2 && (b[1] < 192 || b[1] > 223)
			return !media || ip == nil || ip.IP.String() != serverIP || lost.Add(1) > 4
		})
		m := w.quiet(true, nil)
		defer m.close()
		m.wait("both tracks", m.both)
		m.speak()
		if n := lost.Load(); n < 6 {
			t.Fatalf("%d packets of media", n)
		}
		for _, sid := range []string{"TR_AM", "TR_VC"} {
			_, packets := m.down.got(sid)
			gapless(t, packets)
		}
	})
}

// Sound that is encrypted is opened with what the client knows for the server's.
func TestOpeningOfEncryptedSound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newWorld(t).quiet(true, []byte("trailer"))
		defer m.close()
		m.wait("both tracks", m.both)
		_, sound := m.down.got("TR_AM")
		if want := append(bytes.Clone(silence), "trailer"...); !bytes.Equal(sound[0].Payload, want) {
			t.Errorf("%x, want %x", sound[0].Payload, want)
		}
	})
}

// Browsers know their tracks by the description, and are sent no more than media.
func TestNoOpeningForBrowsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newWorld(t).quiet(false, nil)
		defer m.close()
		tick(10 * time.Second)
		m.speak()
		_, sound := m.down.got("TR_AM")
		_, picture := m.down.got("TR_VC")
		if len(sound) != 50 || len(picture) != 100 {
			t.Errorf("%d packets of sound, %d of the picture", len(sound), len(picture))
		}
	})
}
