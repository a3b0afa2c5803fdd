package attack

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"maille/bench/client"
	"maille/node/auth"
	"maille/proto/livekit"
)

// bytesTo counts the media sent to a client, by what follows the RTP header's start.
func (s *siege) mediaTo(ip netip.Addr) func() int {
	var mu sync.Mutex
	packets := 0
	s.tap(func(from, to netip.AddrPort, b []byte) {
		if p := (seen{from, to, b}); from == s.media && to.Addr() == ip && p.rtp() {
			mu.Lock()
			packets++
			mu.Unlock()
		}
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		n := packets
		packets = 0
		return n
	}
}

func subscribe(sids []string, on bool) *livekit.SignalRequest {
	return &livekit.SignalRequest{Message: &livekit.SignalRequest_Subscription{Subscription: &livekit.UpdateSubscription{TrackSids: sids, Subscribe: on}}}
}

func (s *siege) victimSids() (out []string) {
	for _, f := range s.flows {
		out = append(out, f.sent.Info.Sid)
	}
	return out
}

// Tracks of another room by their sid, named in every way a request can name one: no
// packet, and no word of them.
func TestSubscribeAcrossRooms(t *testing.T) {
	besiege(t, func(s *siege) {
		eve := s.join("lobby", "eve")
		defer eve.Close()
		packets := s.mediaTo(netip.MustParseAddr("10.1.0.4"))
		sids := s.victimSids()
		s.check(eve.Send(subscribe(sids, true)))
		s.check(eve.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Subscription{Subscription: &livekit.UpdateSubscription{
			Subscribe: true, ParticipantTracks: []*livekit.ParticipantTracks{{ParticipantSid: s.ann.Join().Participant.Sid, TrackSids: sids}},
		}}}))
		s.check(eve.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_TrackSetting{TrackSetting: &livekit.UpdateTrackSettings{
			TrackSids: sids, Quality: livekit.VideoQuality_HIGH, Priority: 1,
		}}}))
		s.check(eve.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Mute{Mute: &livekit.MuteTrackRequest{Sid: sids[0], Muted: true}}}))
		wait(10 * time.Second)
		if n := packets(); n > 0 || len(eve.Participants()) > 0 {
			t.Errorf("%d packets and %v of another room", n, eve.Participants())
		}
		if p := s.bob.Participants()["ann"]; p.Tracks[0].Muted || p.Tracks[1].Muted {
			t.Error("someone else's track was muted")
		}
	})
}

// Who may not subscribe gets nothing, whatever it asks for.
func TestSubscribeWithoutGrant(t *testing.T) {
	besiege(t, func(s *siege) {
		no := false
		eve := s.joinAs(&auth.Claims{Identity: "eve", Video: &auth.Grants{RoomJoin: true, Room: victims, CanSubscribe: &no}})
		defer eve.Close()
		packets := s.mediaTo(netip.MustParseAddr("10.1.0.4"))
		s.check(eve.Send(subscribe(s.victimSids(), true)))
		wait(5 * time.Second)
		if n := packets(); n > 0 {
			t.Errorf("%d packets without the grant", n)
		}
	})
}

// A publisher takes back who may have its tracks: within 100 ms the last packet is
// sent, and asking again brings none, nor does asking for them once more by NACK.
func TestSubscriptionRevoked(t *testing.T) {
	besiege(t, func(s *siege) {
		eve, ssrc := s.watcher("eve")
		defer eve.Close()
		at := netip.MustParseAddr("10.1.0.4")
		newest := s.newest(at, ssrc)
		var mu sync.Mutex
		var last time.Time
		s.tap(func(from, to netip.AddrPort, b []byte) {
			if p := (seen{from, to, b}); from == s.media && to.Addr() == at && p.rtp() && binary.BigEndian.Uint32(b[8:]) == ssrc {
				mu.Lock()
				last = time.Now()
				mu.Unlock()
			}
		})
		wait(time.Second)
		// bob stays allowed: nothing of this is for him to notice.
		s.check(s.ann.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_SubscriptionPermission{
			SubscriptionPermission: &livekit.SubscriptionPermission{TrackPermissions: []*livekit.TrackPermission{
				{ParticipantIdentity: "bob", AllTracks: true},
			}},
		}}))
		revoked := time.Now()
		for range 50 {
			s.check(eve.Send(subscribe(s.victimSids(), true)))
			s.check(eve.Subscriber().WriteRTCP(nackAll(ssrc, uint16(newest.Load()))))
			wait(100 * time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		if after := last.Sub(revoked); after > 100*time.Millisecond || last.IsZero() {
			t.Errorf("the last packet left %v after the permission was taken back", after)
		}
	})
}

// A hidden participant is in nobody's list, heard and seen by nobody, and its tracks
// are not there to be asked for.
func TestHiddenStaysHidden(t *testing.T) {
	besiege(t, func(s *siege) {
		ghost := s.joinAs(&auth.Claims{Identity: "ghost", Video: &auth.Grants{RoomJoin: true, Room: victims, Hidden: true}})
		defer ghost.Close()
		r, info := s.rogue(ghost, "audio/opus")
		for seq := range uint16(100) {
			r.send(r.header(seq), make([]byte, 60))
			wait(20 * time.Millisecond)
		}
		for _, c := range []*client.Client{s.ann, s.bob} {
			s.check(c.Send(subscribe([]string{info.Sid}, true)))
		}
		wait(2 * time.Second)
		for _, c := range []*client.Client{s.ann, s.bob} {
			if c.Participants()["ghost"] != nil || c.Track(info.Sid) != nil || c.Speaking(ghost.Join().Participant.Sid) {
				t.Errorf("a hidden participant shows: %v", c.Participants())
			}
		}
	})
}

// A track that one has unsubscribed from: its layers are not sent, its stream's
// feedback brings nothing, and settings do not bring it back.
func TestPeekingUnsubscribed(t *testing.T) {
	besiege(t, func(s *siege) {
		eve, ssrc := s.watcher("eve")
		defer eve.Close()
		newest := s.newest(netip.MustParseAddr("10.1.0.4"), ssrc)
		wait(time.Second)
		s.check(eve.Send(subscribe(s.victimSids(), false)))
		wait(time.Second)
		packets := s.mediaTo(netip.MustParseAddr("10.1.0.4"))
		for range 50 {
			s.check(eve.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_TrackSetting{TrackSetting: &livekit.UpdateTrackSettings{
				TrackSids: s.victimSids(), Quality: livekit.VideoQuality_HIGH, Width: 1280, Height: 720,
			}}}))
			s.check(eve.Subscriber().WriteRTCP(nackAll(ssrc, uint16(newest.Load()))))
			wait(100 * time.Millisecond)
		}
		if n := packets(); n > 0 {
			t.Errorf("%d packets of tracks that were unsubscribed from", n)
		}
	})
}
