package scenario

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/client"
	"maille/node/auth"
	"maille/proto/livekit"
)

// trackPacket makes a packet of a data track: the frame's number, and as payload the
// same again.
func trackPacket(handle, frame uint16, first, last bool) []byte {
	b := make([]byte, 12, 16)
	if first {
		b[0] |= 1 << 4
	}
	if last {
		b[0] |= 1 << 3
	}
	binary.BigEndian.PutUint16(b[2:], handle)
	binary.BigEndian.PutUint16(b[6:], frame)
	return binary.BigEndian.AppendUint16(b, frame)
}

// frames counts the packets a client received under a handle, by frame, and fails on
// what is not as it was sent.
func frames(t *testing.T, cl *client.Client, handle uint32) map[int]int {
	t.Helper()
	out := make(map[int]int)
	for _, b := range cl.TrackPackets() {
		frame := binary.BigEndian.Uint16(b[6:])
		if uint32(binary.BigEndian.Uint16(b[2:])) != handle {
			continue
		}
		if !bytes.Equal(b, trackPacket(uint16(handle), frame, b[0]&(1<<4) != 0, b[0]&(1<<3) != 0)) {
			t.Errorf("%x is not what was sent", b)
		}
		out[int(frame)]++
	}
	return out
}

// dataScene is a data track published in paris, and people everywhere.
type dataScene struct {
	*Cluster
	t    *testing.T
	ctx  context.Context
	ann  *client.Client
	info *livekit.DataTrackInfo
	next uint16
}

func newDataScene(t *testing.T, seed uint64, single bool) *dataScene {
	s := &dataScene{t: t, Cluster: Start(t, seed, 20*time.Millisecond, "paris", "lyon", "brest")}
	s.Single = single
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	s.ctx = ctx
	s.ann = s.join("paris", "ann")
	s.check(s.ann.OpenData(ctx))
	var err error
	s.info, err = s.ann.PublishDataTrack(ctx, 7, "pose")
	s.check(err)
	return s
}

func (s *dataScene) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *dataScene) join(node, identity string) *client.Client {
	return s.Join(s.ctx, node, "standup", identity, "")
}

// watch subscribes and returns the handle.
func (s *dataScene) watch(cl *client.Client, fps uint32) uint32 {
	s.t.Helper()
	s.check(cl.Wait(s.ctx, "news of the track", func() bool { return len(cl.Participants()["ann"].GetDataTracks()) == 1 }))
	s.check(cl.WatchDataTrack(s.info.Sid, true, fps))
	s.check(cl.Wait(s.ctx, "a handle", func() bool { return cl.DataHandle(s.info.Sid) != 0 }))
	pass(100 * time.Millisecond) // the node asks the publisher's
	return cl.DataHandle(s.info.Sid)
}

// send sends frames of two packets, 50 a second.
func (s *dataScene) send(n int) {
	s.t.Helper()
	for range n {
		s.check(s.ann.SendRaw("_data_track", trackPacket(7, s.next, true, false)))
		s.check(s.ann.SendRaw("_data_track", trackPacket(7, s.next, false, true)))
		s.next++
		pass(20 * time.Millisecond)
	}
	pass(100 * time.Millisecond)
}

// A data track goes to those who asked for it, under their handles, and to the nodes
// where they are; each at the rate it wants.
func TestDataTrackReachesItsSubscribers(t *testing.T) {
	t.Run("two connections", func(t *testing.T) { dataTrackReaches(t, false) })
	t.Run("one connection", func(t *testing.T) { dataTrackReaches(t, true) })
}

func dataTrackReaches(t *testing.T, single bool) {
	synctest.Test(t, func(t *testing.T) {
		s := newDataScene(t, 41, single)
		defer s.Close()
		defer s.ann.Close()
		bob, cam, dan, eve := s.join("lyon", "bob"), s.join("brest", "cam"), s.join("paris", "dan"), s.join("lyon", "eve")
		for _, cl := range []*client.Client{bob, cam, dan, eve} {
			defer cl.Close()
		}
		handles := map[*client.Client]uint32{bob: s.watch(bob, 0), cam: s.watch(cam, 0), dan: s.watch(dan, 10)}
		s.send(100)
		for cl, want := range map[*client.Client]int{bob: 100, cam: 100, dan: 20} {
			got := frames(t, cl, handles[cl])
			if len(got) < want-1 || len(got) > want+1 {
				t.Errorf("%s got %d frames, want %d", cl.Join().Participant.Identity, len(got), want)
			}
			for f, n := range got {
				if n != 2 {
					t.Errorf("%s got %d of the 2 packets of frame %d", cl.Join().Participant.Identity, n, f)
				}
			}
		}
		if n := len(eve.TrackPackets()); n != 0 {
			t.Errorf("eve got %d packets she did not ask for", n)
		}
		// He looks away, and back: another handle, so that late packets fool nobody.
		s.check(bob.WatchDataTrack(s.info.Sid, false, 0))
		s.check(bob.Wait(s.ctx, "no handle", func() bool { return bob.DataHandle(s.info.Sid) == 0 }))
		pass(100 * time.Millisecond)
		before := len(bob.TrackPackets())
		s.send(20)
		if n := len(bob.TrackPackets()); n != before {
			t.Errorf("%d packets after unsubscribing", n-before)
		}
		if h := s.watch(bob, 0); h == handles[bob] {
			t.Errorf("handle %d again", h)
		}
	})
}

// A cut is gone around; what the publisher allows holds at once.
func TestDataTrackCutAndRestricted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDataScene(t, 42, false)
		defer s.Close()
		defer s.ann.Close()
		bob, cam := s.join("lyon", "bob"), s.join("brest", "cam")
		defer bob.Close()
		defer cam.Close()
		bobs, cams := s.watch(bob, 0), s.watch(cam, 0)
		s.Net.Cut("paris", "lyon")
		s.send(100) // 2 s, of which the first until the cut is noticed
		if n := len(frames(t, bob, bobs)); n < 40 || n > 60 {
			t.Errorf("bob got %d of 100 frames during the cut", n)
		}
		s.Net.Heal("paris", "lyon")
		pass(5 * time.Second)
		before := len(frames(t, bob, bobs))
		s.send(50)
		if n := len(frames(t, bob, bobs)) - before; n != 50 {
			t.Errorf("bob got %d of 50 frames after the heal", n)
		}
		s.check(s.ann.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_SubscriptionPermission{
			SubscriptionPermission: &livekit.SubscriptionPermission{TrackPermissions: []*livekit.TrackPermission{
				{ParticipantIdentity: "cam", TrackSids: []string{s.info.Sid}},
			}},
		}}))
		pass(100 * time.Millisecond)
		before = len(bob.TrackPackets())
		s.send(50)
		if n := len(bob.TrackPackets()); n != before {
			t.Errorf("bob got %d packets without permission", n-before)
		}
		if n := len(frames(t, cam, cams)); n != 200 {
			t.Errorf("cam got %d of 200 frames", n)
		}
		s.check(s.ann.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_UnpublishDataTrackRequest{
			UnpublishDataTrackRequest: &livekit.UnpublishDataTrackRequest{PubHandle: 7},
		}}))
		for _, cl := range []*client.Client{bob, cam} {
			s.check(cl.Wait(s.ctx, "its end", func() bool { return len(cl.Participants()["ann"].GetDataTracks()) == 0 }))
		}
	})
}

// Each way a data track can be refused has its reason.
func TestDataTrackRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDataScene(t, 43, false)
		defer s.Close()
		defer s.ann.Close()
		mute := s.JoinAs(s.ctx, "lyon", &auth.Claims{Identity: "mute", Video: &auth.Grants{RoomJoin: true, Room: "standup", CanPublishData: new(false)}})
		defer mute.Close()
		for _, tt := range []struct {
			cl     *client.Client
			handle uint32
			name   string
			want   livekit.RequestResponse_Reason
		}{
			{s.ann, 0, "a", livekit.RequestResponse_INVALID_HANDLE},
			{s.ann, 65536, "a", livekit.RequestResponse_INVALID_HANDLE},
			{s.ann, 7, "a", livekit.RequestResponse_DUPLICATE_HANDLE},
			{s.ann, 8, "", livekit.RequestResponse_INVALID_NAME},
			{s.ann, 8, string(make([]byte, 257)), livekit.RequestResponse_INVALID_NAME},
			{s.ann, 8, "pose", livekit.RequestResponse_DUPLICATE_NAME},
			{mute, 1, "a", livekit.RequestResponse_NOT_ALLOWED},
		} {
			before := len(tt.cl.Refused())
			s.check(tt.cl.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_PublishDataTrackRequest{
				PublishDataTrackRequest: &livekit.PublishDataTrackRequest{PubHandle: tt.handle, Name: tt.name},
			}}))
			s.check(tt.cl.Wait(s.ctx, "refusal", func() bool { return len(tt.cl.Refused()) > before }))
			got := tt.cl.Refused()[before]
			if got.Reason != tt.want || got.GetPublishDataTrack().GetPubHandle() != tt.handle {
				t.Errorf("%d %.10q: %v, want %v", tt.handle, tt.name, got, tt.want)
			}
		}
		var err error
		n := 1
		for ; err == nil && n < 100; n++ {
			_, err = s.ann.PublishDataTrack(s.ctx, uint32(100+n), string(rune('a'+n)))
		}
		refused := s.ann.Refused()
		if n > 50 || refused[len(refused)-1].Reason != livekit.RequestResponse_LIMIT_EXCEEDED {
			t.Errorf("after %d tracks: %v", n, err)
		}
	})
}
