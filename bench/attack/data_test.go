package attack

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/bench/client"
	"maille/proto/livekit"
)

// maxLate is the longest way of a victim's message that counts as nothing noticed.
const maxLate = 60 * time.Millisecond

// talk is what ann says to bob during an attack.
type talk struct {
	s           *siege
	sent        []time.Time
	read, heard int // of bob's messages; of ann's among them
	worst       time.Duration
}

func (s *siege) talk() *talk {
	s.t.Helper()
	s.check(s.ann.OpenData(s.ctx))
	return &talk{s: s}
}

// say sends the next message.
func (k *talk) say() {
	k.s.t.Helper()
	k.sent = append(k.sent, time.Now())
	k.s.check(k.s.ann.SendData(true, binary.BigEndian.AppendUint32(nil, uint32(len(k.sent)-1))))
}

// listen has bob look at what came since.
func (k *talk) listen() {
	k.s.t.Helper()
	all := k.s.bob.Data()
	for _, p := range all[k.read:] {
		if p.ParticipantIdentity != "ann" {
			continue
		}
		if n := int(binary.BigEndian.Uint32(p.GetUser().GetPayload())); n != k.heard {
			k.s.t.Fatalf("message %d of ann's after %d others", n, k.heard)
		}
		k.worst = max(k.worst, time.Since(k.sent[k.heard]))
		k.heard++
	}
	k.read = len(all)
}

// verify holds that every message came, once, in order and in time.
func (k *talk) verify() {
	k.s.t.Helper()
	if k.heard != len(k.sent) || k.worst > maxLate {
		k.s.t.Errorf("bob has %d of %d of ann's messages, one of them %v late", k.heard, len(k.sent), k.worst)
	}
}

// 10,000 small messages a second to everybody, half of them reliable: the flood is held
// to its sender's rate before the room fans it out.
func TestDataFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		talk := s.talk()
		eve := s.join(victims, "eve")
		defer eve.Close()
		s.check(eve.OpenData(s.ctx))
		const seconds, each = 3, 10
		for ms := range seconds * 1000 {
			for range each {
				s.check(eve.SendData(ms%2 == 0, []byte("spam")))
			}
			if ms%50 == 0 {
				talk.say()
			}
			wait(time.Millisecond)
			talk.listen()
		}
		wait(time.Second)
		talk.listen()
		talk.verify()
		// Each kind 300 a second and once as many: rtc.dataRate.
		if spam, most := talk.read-talk.heard, 2*(300+(seconds+1)*300); spam > most {
			t.Errorf("%d of %d messages of the flood came to bob, want at most %d", spam, seconds*1000*each, most)
		}
		s.wantRefused("data", 1000)
		s.wantRefused("chunk", 100) // as many wait for their reader as may
		s.wantRefused("backlog", 300)
	})
}

// A client that leaves its data channel unread, while another sends as much as it may:
// what waits for it is bounded, then its session ends.
func TestUnreadData(t *testing.T) {
	besiege(t, func(s *siege) {
		talk := s.talk()
		deaf := s.join(victims, "deaf")
		defer func() { _ = deaf.Drop() }()
		stop := make(chan struct{})
		defer close(stop)
		deaf.Subscriber().OnDataChannel(func(dc *webrtc.DataChannel) {
			dc.OnMessage(func(webrtc.DataChannelMessage) { <-stop })
		})
		eve := s.join(victims, "eve")
		defer eve.Close()
		s.check(eve.OpenData(s.ctx))
		for range 8 * 60 { // 7 MB, of which the deaf client's transport takes one
			s.check(eve.SendData(true, make([]byte, 15_000)))
			talk.say()
			wait(time.Second / 60)
			talk.listen()
		}
		wait(time.Second)
		talk.listen()
		talk.verify()
		s.wantTold(deaf, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
		s.wantRefused("reader", 1)
	})
}

// wantTold holds that a client's session ended with a reason and an advice.
func (s *siege) wantTold(c *client.Client, why livekit.DisconnectReason, then livekit.LeaveRequest_Action) {
	s.t.Helper()
	select {
	case <-c.Left():
	default:
		s.t.Fatal("the session goes on")
	}
	if err, want := c.Err(), "leave: "+why.String()+" "+then.String(); err == nil || err.Error() != want {
		s.t.Errorf("left with %v, want %q", err, want)
	}
}
