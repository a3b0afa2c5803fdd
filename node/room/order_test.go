package room

import (
	"log/slog"
	"net"
	"testing"

	"google.golang.org/protobuf/proto"

	"maille/node/rtc"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// What is asked of a participant is done by its node, whichever node was asked.
func TestOrdersReachTheNodeOfAParticipant(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	engine, err := rtc.NewEngine(rtc.Config{UDP: udp, HostIPs: []net.IP{net.IPv4(127, 0, 0, 1)}, AllowLoopback: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	l := newLand(t, engine)
	defer l.close()
	encode := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, asked := range []string{"lyon", "brest"} {
		order := func(o *linkpb.Order) bool {
			o.Identity = "ann"
			found := l.rooms[asked].Order(o)
			l.settle()
			return found
		}
		if order(&linkpb.Order{Remove: true}) {
			t.Errorf("%s: someone who is not there was found", asked)
		}
		ann := l.enter("lyon", "ann", nil)
		ann.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: &livekit.AddTrackRequest{Cid: "c", Type: livekit.TrackType_AUDIO}}}
		sid := ann.await(t, "track", func(m *livekit.SignalResponse) bool { return m.GetTrackPublished() != nil }).GetTrackPublished().Track.Sid
		l.settle()

		if !order(&linkpb.Order{Mute: encode(&livekit.MuteTrackRequest{Sid: sid, Muted: true})}) {
			t.Errorf("%s: ann was not found", asked)
		}
		ann.await(t, asked+": mute", func(m *livekit.SignalResponse) bool { return m.GetMute().GetSid() == sid && m.GetMute().Muted })

		order(&linkpb.Order{Update: encode(&livekit.UpdateParticipantRequest{
			Name: "Ann", Metadata: "null", Attributes: map[string]string{"hand": "up"}, Permission: &livekit.ParticipantPermission{CanSubscribe: true},
		})})
		for who, d := range map[string]*desk{"she": ann, "another": l.eyes["paris"]} {
			d.await(t, asked+": update for "+who, func(m *livekit.SignalResponse) bool {
				for _, p := range m.GetUpdate().GetParticipants() {
					if p.Identity == "ann" && p.Name == "Ann" && p.Metadata == "null" && p.Attributes["hand"] == "up" && !p.Permission.CanPublish {
						return true
					}
				}
				return false
			})
		}

		order(&linkpb.Order{Subscriptions: encode(&livekit.UpdateSubscriptionsRequest{
			TrackSids: []string{"TR_a"}, ParticipantTracks: []*livekit.ParticipantTracks{{TrackSids: []string{"TR_b"}}}, Subscribe: true,
		})})
		_ = l.rooms["lyon"].call(func() {
			if c := l.rooms["lyon"].local["ann"].choices; !c["TR_a"] || !c["TR_b"] {
				t.Errorf("%s: choices %v", asked, c)
			}
		})

		order(&linkpb.Order{Remove: true})
		ann.await(t, asked+": leave", isLeave(livekit.DisconnectReason_PARTICIPANT_REMOVED, livekit.LeaveRequest_DISCONNECT))
		<-l.done["ann"]
		l.settle()
		l.check()
	}
}
