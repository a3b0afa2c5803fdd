package scenario

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"maille/mesh/gossip"
	"maille/mesh/view"
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

// Whoever has the key of gossip and no certificate can bring a name, in any region and
// without load: nobody is sent there, no page is told of it, no join is late for it, and
// its row in the status says that no part in Raft stands behind it.
func TestNameOfGossipAloneServesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 22, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		host := c.Net.Host("eve", "brest", "10.0.99.1")
		eve, err := gossip.Start(gossip.Config{
			Self: view.Node{
				Name: "eve", Region: "brest", Incarnation: "forged", State: view.Serving, Voter: true,
				Link: "10.0.99.1:7883", Cluster: "10.0.99.1:7884", Signal: "ws://10.0.99.1:7880",
			},
			Cluster: "scenario", Net: host, BindAddr: "10.0.99.1:7946", Keys: [][]byte{[]byte(gossipKey)},
			Seeds: []string{c.Nodes["paris"].Host.IP().String() + ":7946"}, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer eve.Close()
		for _, m := range c.Nodes {
			if line, err := m.Node.WaitMembers(ctx, 3); err != nil {
				t.Fatalf("%s does not hear of eve: %s", m.Name, line)
			}
		}
		pass(10 * time.Second)
		for _, entry := range []string{"paris", "lyon"} {
			began := time.Now()
			one := c.Join(ctx, entry, "of-"+entry, "ann", "brest")
			defer one.Close()
			if d := time.Since(began); d > time.Second {
				t.Errorf("the join through %s took %v", entry, d)
			}
			if at := one.Join().Participant.Attributes["maille.node"]; at == "eve" || at == "" {
				t.Errorf("through %s it is at %q", entry, at)
			}
			status, err := c.Nodes[entry].Node.Admin().Status(ctx, &adminpb.StatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			shown := false
			for _, n := range status.Nodes {
				shown = shown || n.Name == "eve"
				if (n.Raft == "none") != (n.Name == "eve") {
					t.Errorf("%s shows %s as %q of Raft", entry, n.Name, n.Raft)
				}
			}
			for _, r := range status.Rooms {
				for _, in := range r.Serving {
					if slices.Contains(in.Nodes, "eve") {
						t.Errorf("eve serves %s", r.Name)
					}
				}
			}
			if regions := c.get(ctx, entry, "/regions.json"); !shown || strings.Contains(regions, "brest") || !strings.Contains(regions, "lyon") {
				t.Errorf("status of %s shows eve: %v; its page is told of %s", entry, shown, regions)
			}
		}
	})
}

// get asks a node's client port for a page.
func (c *Cluster) get(ctx context.Context, name, path string) string {
	c.t.Helper()
	tr := &http.Transport{DialContext: c.newHost(c.Nodes[name].Region).DialContext, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Nodes[name].Host.IP().String()+":7880"+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}
