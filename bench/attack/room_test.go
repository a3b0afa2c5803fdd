package attack

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"maille/bench/client"
	"maille/node/auth"
	"maille/node/signal"
	"maille/proto/livekit"
)

// talkative is a participant of the victims' room that may change its own metadata.
func (s *siege) talkative(identity string) *client.Client {
	yes := true
	return s.joinAs(&auth.Claims{Identity: identity, Name: identity, Video: &auth.Grants{
		RoomJoin: true, Room: victims, CanUpdateOwnMetadata: &yes,
	}})
}

// signalled counts the bytes of signalling that the node writes to the victims.
func (s *siege) signalled() uint64 {
	return s.c.Net.Stats("node-"+node, "client-1").StreamBytes + s.c.Net.Stats("node-"+node, "client-2").StreamBytes
}

// A participant with all the metadata there may be mutes and unmutes as fast as it can:
// each time everyone would be told all of it. The others hear of the last change, and
// no more than a little of those before.
func TestNewsFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		eve := s.talkative("eve")
		defer eve.Close()
		a, err := eve.PublishAudio(s.ctx, 100)
		s.check(err)
		s.check(eve.Send(update("", strings.Repeat("m", 60<<10), map[string]string{"a": strings.Repeat("a", 60<<10)})))
		wait(time.Second)
		before := s.signalled()
		for i := range 1000 {
			s.check(eve.Send(mute(a.Info.Sid, i%2 == 0)))
			wait(10 * time.Millisecond)
		}
		s.check(eve.Send(mute(a.Info.Sid, true)))
		// 32 kB a second for each of them, once 256 kB, and what else they are told.
		if got, most := s.signalled()-before, uint64(2*(10*32<<10+256<<10+128<<10+64<<10)); got > most {
			t.Errorf("%d bytes of news in 10 s, want at most %d", got, most)
		}
		s.wantRefused("news", 500)
		wait(10 * time.Second)
		for _, c := range []*client.Client{s.ann, s.bob} {
			if p := c.Participants()["eve"]; p == nil || !p.Tracks[0].Muted {
				t.Errorf("the last change was not told: %v", p.GetTracks())
			}
		}
	})
}

func mute(sid string, muted bool) *livekit.SignalRequest {
	return &livekit.SignalRequest{Message: &livekit.SignalRequest_Mute{Mute: &livekit.MuteTrackRequest{Sid: sid, Muted: muted}}}
}

func update(name, metadata string, attributes map[string]string) *livekit.SignalRequest {
	return &livekit.SignalRequest{Message: &livekit.SignalRequest_UpdateMetadata{
		UpdateMetadata: &livekit.UpdateParticipantMetadata{Name: name, Metadata: metadata, Attributes: attributes},
	}}
}

// Names, metadata, attributes, wishes and permissions beyond their bounds: refused, and
// nobody hears of them.
func TestBeyondBounds(t *testing.T) {
	besiege(t, func(s *siege) {
		eve := s.talkative("eve")
		defer eve.Close()
		long := strings.Repeat("x", 300)
		many := make([]string, 5000)
		for i := range many {
			many[i] = fmt.Sprintf("TR_%05d", i)
		}
		huge := make([]string, 200)
		for i := range huge {
			huge[i] = fmt.Sprintf("TR_%d%s", i, strings.Repeat("y", 2000))
		}
		permission := &livekit.SubscriptionPermission{}
		for i := range 2000 {
			permission.TrackPermissions = append(permission.TrackPermissions, &livekit.TrackPermission{ParticipantIdentity: fmt.Sprint(i)})
		}
		for _, m := range []*livekit.SignalRequest{
			update(long, "", nil),
			update("", strings.Repeat("m", 65<<10), nil),
			update("", "", map[string]string{"k": strings.Repeat("v", 65<<10)}),
			{Message: &livekit.SignalRequest_Subscription{Subscription: &livekit.UpdateSubscription{TrackSids: huge, Subscribe: true}}},
			{Message: &livekit.SignalRequest_TrackSetting{TrackSetting: &livekit.UpdateTrackSettings{TrackSids: huge}}},
			// Thousands of wishes in one message: kept, at the cost of their names only.
			{Message: &livekit.SignalRequest_TrackSetting{TrackSetting: &livekit.UpdateTrackSettings{TrackSids: many}}},
			{Message: &livekit.SignalRequest_SubscriptionPermission{SubscriptionPermission: permission}},
			{Message: &livekit.SignalRequest_SubscriptionPermission{SubscriptionPermission: &livekit.SubscriptionPermission{
				TrackPermissions: []*livekit.TrackPermission{{ParticipantIdentity: strings.Repeat("z", 100<<10)}},
			}}},
		} {
			s.check(eve.Send(m))
		}
		wait(5 * time.Second)
		s.wantRefused("name", 3+2*200+2)
		if p := s.ann.Participants()["eve"]; p == nil || p.Name != "eve" || p.Metadata != "" || len(p.Attributes) > 1 {
			t.Errorf("ann sees %v", p)
		}
	})
}

// 10,000 tracks announced, none sent; one with a description of a megabyte; and tracks
// of no kind.
func TestPendingTrackFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		eve := s.join(victims, "eve")
		defer eve.Close()
		for i := range 10000 {
			s.check(eve.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: &livekit.AddTrackRequest{
				Cid: fmt.Sprint("cid-", i), Type: livekit.TrackType(i % 3), Name: "flood",
			}}}))
		}
		var layers []*livekit.VideoLayer
		for i := range 50000 {
			layers = append(layers, &livekit.VideoLayer{Width: uint32(i)})
		}
		s.check(eve.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: &livekit.AddTrackRequest{
			Cid: "huge", Type: livekit.TrackType_VIDEO, Layers: layers,
		}}}))
		wait(2 * time.Minute)
		s.wantRefused("track", 6600)
	})
}

// One participant joins again and again with its token, each time as a new session.
func TestJoinFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		token := s.c.Token(&auth.Claims{Identity: "eve", Video: &auth.Grants{RoomJoin: true, Room: victims}})
		refused := 0
		for range 100 {
			if s.ask("", token) == 429 {
				refused++
			}
			wait(20 * time.Millisecond)
		}
		if refused < 80 {
			t.Errorf("%d of 100 joins refused", refused)
		}
		s.wantRefused("session", 80)
		wait(20 * time.Second) // what was let in finds its end
	})
}

// Resumes of an own session, as fast as can be: each would restart ICE.
func TestResumeFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		eve := s.join(victims, "eve")
		defer func() { _ = eve.Drop() }()
		token := s.c.Token(&auth.Claims{Identity: "eve", Video: &auth.Grants{RoomJoin: true, Room: victims}})
		sid := url.QueryEscape(eve.Join().Participant.Sid)
		for range 60 {
			s.ask("&reconnect=1&sid="+sid, token)
			wait(time.Second)
		}
		// Some seconds later eve, who answers nothing, has no media any more: her session ends.
		s.wantRefused("restart", 5)
		wait(time.Minute)
	})
}

// Names that break out of paths, queries, logs or pages elsewhere. They are what people
// are called, and nothing more: shown as they are, and in no label. (Logs quote them:
// every line goes through slog.)
func TestNames(t *testing.T) {
	besiege(t, func(s *siege) {
		for _, name := range []string{
			"../../etc/passwd", "a/b", "a%2fb", "..", "nul\x00byte", "line\r\nbreak: forged", "\u202etxt.exe", "é", "e\u0301",
			"🦊🦊🦊", "'; DROP TABLE rooms;--", `{job="x"} or vector(1)`, "<script>alert(1)</script>", "*", " ", "%s%n%d", "\x1b[31mred",
			strings.Repeat("n", signal.MaxName),
		} {
			c := s.joinAs(&auth.Claims{
				Identity: name, Name: name, Metadata: name, Attributes: map[string]string{name: name},
				Video: &auth.Grants{RoomJoin: true, Room: name},
			})
			if p := c.Join().Participant; p.Identity != name || p.Name != name || p.Metadata != name || c.Join().Room.Name != name {
				t.Errorf("%q came back as %q in %q", name, p.Identity, c.Join().Room.Name)
			}
			for metric := range s.c.Metrics(node) {
				if strings.Contains(metric, name) && len(name) > 2 {
					t.Errorf("%q is in the metric %s", name, metric)
				}
			}
			s.check(c.Close())
		}
		for _, long := range []*auth.Claims{
			{Identity: strings.Repeat("n", signal.MaxName+1), Video: &auth.Grants{RoomJoin: true, Room: "lobby"}},
			{Identity: "eve", Video: &auth.Grants{RoomJoin: true, Room: strings.Repeat("é", signal.MaxName/2+1)}},
			{Identity: "eve", Name: strings.Repeat("n", signal.MaxName+1), Video: &auth.Grants{RoomJoin: true, Room: "lobby"}},
		} {
			if status := s.ask("", s.c.Token(long)); status != 400 {
				t.Errorf("a name that is too long: status %d", status)
			}
		}
	})
}
