package scenario

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"maille/node/room"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/link"
	"maille/relay/track"

	adminpb "maille/proto/admin"
)

// noRooms is a node that serves nothing.
type noRooms struct{}

func (noRooms) Up(*link.Session)                      {}
func (noRooms) Down(*link.Session, error)             {}
func (noRooms) Message(*link.Session, string, []byte) {}
func (noRooms) Serve(*link.Session, link.TrackRef) (*track.Track, error) {
	return nil, errors.New("nothing here")
}

// A node with a certificate of the cluster that asks another for what that does not serve,
// or does not serve to it, is refused each time; whoever looks at that node sees how often
// and why, although gossip knows nothing of the one that asks.
func TestTracksNotServedAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 21, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		sound, err := ann.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		cleo := c.Join(ctx, "paris", "standup", "cleo", "")
		defer cleo.Close()
		open, err := cleo.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		bob := c.Join(ctx, "lyon", "retro", "bob", "")
		defer bob.Close()
		far, err := bob.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		// Only bob may hear ann, and he is in another room: no node may have her sound.
		if err := ann.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_SubscriptionPermission{
			SubscriptionPermission: &livekit.SubscriptionPermission{
				TrackPermissions: []*livekit.TrackPermission{{ParticipantIdentity: "bob", AllTracks: true}},
			},
		}}); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)

		host := c.Net.Host("eve", "brest", "10.0.99.1")
		conn, err := host.ListenPacket("udp", ":7883")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		id, err := c.ca.Issue("eve", "brest", nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		eve, err := link.Listen(link.Config{Self: "eve", Conn: conn, TLS: id, Handler: noRooms{}})
		if err != nil {
			t.Fatal(err)
		}
		defer eve.Close()
		eve.Peer("paris", c.Nodes["paris"].Host.IP().String()+":7883")
		for eve.Session("paris") == nil && ctx.Err() == nil {
			pass(100 * time.Millisecond)
		}
		s := eve.Session("paris")
		if s == nil {
			t.Fatal("no link to paris")
		}
		// It knows the room's instance, which placement tells any node that asks, and says that
		// it serves it; a node that gossip does not know is not believed.
		shown, err := c.Nodes["paris"].Node.Admin().RoomShow(ctx, &adminpb.RoomShowRequest{Room: "standup"})
		if err != nil {
			t.Fatal(err)
		}
		claim, err := proto.Marshal(&linkpb.RoomMessage{
			RoomSid: shown.Room.Sid, Epoch: shown.Room.Epoch, Body: &linkpb.RoomMessage_Want{Want: &linkpb.SnapshotRequest{}},
		})
		if err == nil {
			err = s.Send(room.Channel("standup"), claim)
		}
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if n := c.Metrics("paris")[`maille_client_refused_total{reason="node"}`]; n != 1 {
			t.Errorf("%v claims to serve the room refused, want 1", n)
		}
		asked := []struct{ name, room, id string }{
			{"a room that nobody serves", "nowhere", sound.Info.Sid},
			{"a room served elsewhere", "retro", far.Info.Sid},
			{"a track of another room", "standup", far.Info.Sid},
			{"a track that does not exist", "standup", "TR_none"},
			{"a track that nobody may have", "standup", sound.Info.Sid},
			{"a track for all, of a room that it does not serve", "standup", open.Info.Sid},
		}
		for _, a := range asked {
			into := track.New(relay.TrackID(a.id), relay.Audio, "audio/opus")
			up := s.Pull(link.TrackRef{Room: a.room, ID: into.ID()}, into)
			select {
			case <-up.Done():
				if !errors.Is(up.Err(), link.ErrRefused) {
					t.Errorf("%s: %v", a.name, up.Err())
				}
			case <-time.After(time.Second):
				t.Errorf("%s: not refused", a.name)
			}
			into.Close()
		}

		status, err := c.Nodes["paris"].Node.Admin().Status(ctx, &adminpb.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		refused := uint64(0)
		for _, l := range status.Links {
			if l.Peer == "eve" {
				for why, n := range l.Refused {
					t.Logf("%d refused: %s", n, why)
					refused += n
				}
			}
		}
		if refused != uint64(len(asked)) {
			t.Errorf("the status shows %d refused tracks, want %d", refused, len(asked))
		}
		if n := c.Metrics("paris")[`maille_link_tracks_refused_total{peer="eve"}`]; n != float64(len(asked)) {
			t.Errorf("the metrics show %v refused tracks, want %d", n, len(asked))
		}
	})
}
