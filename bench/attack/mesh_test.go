package attack

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"maille/bench/client"
	"maille/proto/livekit"
)

// The attacks of this file come from one node, and the meeting is on two others, in
// other regions.
var mesh = []string{node, "lyon", "brest"}

// linked counts the bytes between two nodes.
func (s *siege) linked(from, to string) uint64 {
	return s.c.Net.Stats("node-"+from, "node-"+to).SentBytes
}

// Repairs are answered by the nearest ring: what a client asks for again without end
// does not cross to the publisher's node.
func TestNACKStormAcross(t *testing.T) {
	besiegeFrom(t, mesh, func(s *siege) {
		guest, ssrc := s.watcher("guest")
		defer guest.Close()
		newest := s.newest(netip.MustParseAddr("10.1.0.4"), ssrc)
		wait(5 * time.Second)
		const during = 5 * time.Second
		before := s.linked("lyon", node)
		wait(during)
		usual := s.linked("lyon", node) - before
		before = s.linked("lyon", node)
		for range 500 {
			s.check(guest.Subscriber().WriteRTCP([]rtcp.Packet{nackBefore(ssrc, uint16(newest.Load()))}))
			wait(during / 500)
		}
		if got := s.linked("lyon", node) - before; got > usual+usual/5 {
			t.Errorf("%d bytes came over the link during the storm, %d before it", got, usual)
		}
	})
}

// Keyframe requests by the thousand: one for each layer and half second leaves the
// attacker's node, and the publisher hears no more.
func TestKeyframeStormAcross(t *testing.T) {
	besiegeFrom(t, mesh, func(s *siege) {
		guest, ssrc := s.watcher("guest")
		defer guest.Close()
		wait(time.Second)
		before := s.video().sent.Keyframes.Load()
		for range 3000 {
			s.check(guest.Subscriber().WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}}))
			wait(time.Millisecond)
		}
		if got := s.video().sent.Keyframes.Load() - before; got > keyframesIn(3*time.Second) || got == 0 {
			t.Errorf("the publisher got %d requests in 3 s, want at most %d", got, keyframesIn(3*time.Second))
		}
	})
}

// A meeting of 149 at one node, who all lose the picture of a publisher at another at
// once.
func TestKeyframeCrowdAcross(t *testing.T) {
	besiegeFrom(t, mesh, func(s *siege) {
		const crowd = 149
		type one struct {
			c    *client.Client
			ssrc uint32
		}
		all := make([]one, crowd)
		var coming sync.WaitGroup
		for i := range crowd {
			coming.Go(func() {
				all[i].c = s.c.JoinWith(s.ctx, node, victims, fmt.Sprint("guest-", i), client.Options{NoAutoSubscribe: true})
			})
			wait(10 * time.Millisecond)
		}
		coming.Wait()
		sid := s.video().sent.Info.Sid
		for _, w := range all {
			defer w.c.Close()
			s.check(w.c.Subscribe(true, sid))
		}
		for i, w := range all {
			s.check(w.c.WaitPackets(s.ctx, sid, 5))
			all[i].ssrc = s.ssrcOf(w.c, sid)
		}
		wait(2 * time.Second) // those that came for the newcomers
		before := s.video().sent.Keyframes.Load()
		for _, w := range all {
			s.check(w.c.Subscriber().WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: w.ssrc}}))
			wait(100 * time.Millisecond / crowd)
		}
		wait(time.Second)
		if got := s.video().sent.Keyframes.Load() - before; got > 2 || got == 0 {
			t.Errorf("the publisher got %d requests, want one or two", got)
		}
	})
}

// A flood of data to everybody is held to its sender's rate before it crosses.
func TestDataFloodAcross(t *testing.T) {
	besiegeFrom(t, mesh, func(s *siege) {
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
		for range 100 {
			wait(10 * time.Millisecond)
			talk.listen()
		}
		talk.verify()
		if spam, most := talk.read-talk.heard, 2*(300+(seconds+1)*300); spam > most || spam == 0 {
			t.Errorf("%d of %d messages of the flood came to bob, want at most %d", spam, seconds*1000*each, most)
		}
		s.wantRefused("backlog", 300)
	})
}

// Metadata changed without end: the other nodes, and the clients there, hear a little of
// it and the last.
func TestNewsFloodAcross(t *testing.T) {
	besiegeFrom(t, mesh, func(s *siege) {
		told := func() uint64 {
			return s.c.Net.Stats("node-lyon", "client-1").StreamBytes + s.c.Net.Stats("node-brest", "client-2").StreamBytes
		}
		eve := s.talkative("eve")
		defer eve.Close()
		wait(time.Second)
		before, links := told(), s.linked(node, "lyon")+s.linked(node, "brest")
		start := time.Now()
		for i := range 300 {
			s.check(eve.Send(update("", fmt.Sprint(i)+strings.Repeat("m", 60<<10), nil))) // waits: signal.byteRate
			wait(10 * time.Millisecond)
		}
		s.check(eve.Send(update("", "the last", nil)))
		seconds := int(time.Since(start)/time.Second) + 1
		// As TestNewsFlood for clients; between nodes as much for each.
		if got, most := told()-before, uint64(2*(seconds*32<<10+256<<10+128<<10+64<<10)); got > most {
			t.Errorf("%d bytes of news in %d s, want at most %d", got, seconds, most)
		}
		if got, most := s.linked(node, "lyon")+s.linked(node, "brest")-links, uint64(2*(seconds*64<<10+512<<10)); got > most {
			t.Errorf("%d bytes over links in %d s, want at most %d", got, seconds, most)
		}
		wait(10 * time.Second)
		for _, c := range []*client.Client{s.ann, s.bob} {
			if p := c.Participants()["eve"]; p == nil || p.Metadata != "the last" {
				t.Error("the last change was not told")
			}
		}
	})
}

// Tracks that come and go: each is told to every node and client, and negotiated with
// each who hears it.
func TestTrackChurnAcross(t *testing.T) {
	besiegeFrom(t, mesh, func(s *siege) {
		eve := s.join(victims, "eve")
		defer eve.Close()
		for i := range 20 {
			id := fmt.Sprint("churn-", i)
			track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, id, "churn")
			s.check(err)
			_, err = eve.PublishTrack(s.ctx, track, &livekit.AddTrackRequest{
				Cid: id, Type: livekit.TrackType_AUDIO, Source: livekit.TrackSource_SCREEN_SHARE_AUDIO,
			})
			s.check(err)
			wait(200 * time.Millisecond)
			for _, sender := range eve.Publisher().GetSenders() {
				if sender.Track() != nil && sender.Track().ID() == id {
					s.check(eve.Publisher().RemoveTrack(sender))
				}
			}
		}
		wait(5 * time.Second)
		for _, c := range []*client.Client{s.ann, s.bob} {
			if n := len(c.Participants()["eve"].GetTracks()); n > 1 { // the last has no offer after it
				t.Errorf("%d tracks are left", n)
			}
		}
	})
}
