package scenario

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/sim"
	adminpb "maille/proto/admin"
)

func (c *Cluster) read(name string) map[string]float64 { return c.Metrics(name) }

// What crosses a lossy link is seen by operators at both ends, and no counter goes back
// when those it counted for leave.
func TestMetricsOfAMeeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 31, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		c.Net.Path("paris", "lyon", sim.Path{Delay: 20 * time.Millisecond, Loss: 0.03})
		speaker, listener := c.Join(ctx, "paris", "standup", "ann", ""), c.Join(ctx, "lyon", "standup", "bob", "")
		defer speaker.Close()
		defer listener.Close()
		if _, err := speaker.PublishAudio(ctx, 20); err != nil {
			t.Fatal(err)
		}
		v, err := speaker.PublishVideo(ctx, 1, 30, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if err := listener.WaitPackets(ctx, v.Info.Sid, 2000); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)

		paris, lyon := c.read("paris"), c.read("lyon")
		for _, want := range []struct {
			what     string
			of       map[string]float64
			metric   string
			min, max float64
		}{
			{"paris", paris, `maille_participants_active`, 1, 1},
			{"paris", paris, `maille_tracks_active{kind="video",origin="client"}`, 1, 1},
			{"paris", paris, `maille_client_packets_total{direction="in",kind="video"}`, 2000, 1e6},
			{"paris", paris, `maille_client_bytes_total{direction="in",kind="video"}`, 2e5, 1e9},
			{"paris", paris, `maille_link_rtt_seconds{peer="lyon"}`, 0.04, 0.05},
			{"paris", paris, `maille_link_loss_ratio{peer="lyon"}`, 0.01, 0.06},
			{"paris", paris, `maille_link_packets_total{direction="out",peer="lyon"}`, 2000, 1e6},
			{"paris", paris, `maille_link_demand_bytes_per_second{peer="lyon"}`, 1e4, 3e4}, // 8 KB/s of video, 4 of sound, with headers
			{"paris", paris, `maille_link_tracks_refused_total{peer="lyon"}`, 0, 0},
			{"lyon", lyon, `maille_link_repairs_late_total{peer="paris"}`, 0, 100},
			{"paris", paris, `maille_link_streams{direction="out",peer="lyon"}`, 2, 2},
			{"paris", paris, `maille_link_repairs_answered_total{peer="lyon"}`, 10, 1e4},
			{"paris", paris, `maille_link_datagrams_total{outcome="lost",peer="lyon"}`, 10, 1e4},
			{"lyon", lyon, `maille_tracks_active{kind="video",origin="link"}`, 1, 1},
			{"lyon", lyon, `maille_client_estimates`, 1, 1},
			{"lyon", lyon, `maille_client_estimate_bytes_per_second{of="least"}`, 1e4, 1e9},
			{"paris", paris, `maille_client_estimates`, 0, 0}, // nobody there watches anything
			{"lyon", lyon, `maille_subscriptions_active{kind="video"}`, 1, 1},
			{"lyon", lyon, `maille_link_repairs_asked_total{peer="paris"}`, 10, 1e4},
			{"lyon", lyon, `maille_link_repairs_filled_total{peer="paris"}`, 10, 1e4},
			{"lyon", lyon, `maille_link_packets_lost_total{peer="paris"}`, 0, 5},
			{"lyon", lyon, `maille_client_packets_total{direction="out",kind="video"}`, 2000, 1e6},
		} {
			if got, ok := want.of[want.metric]; !ok || got < want.min || got > want.max {
				t.Errorf("%s: %s is %v (%v), want %v to %v", want.what, want.metric, got, ok, want.min, want.max)
			}
		}
		shown, err := c.Nodes["lyon"].Node.Admin().RoomShow(ctx, &adminpb.RoomShowRequest{Room: "standup", LocalOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if bob := shown.Nodes[0].Participants[0]; bob.Identity != "bob" || bob.EstimateBps < 8e4 || bob.Short {
			t.Errorf("shown of bob: %v", bob)
		}
		s, err := c.Nodes["lyon"].Node.Admin().Status(ctx, &adminpb.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if l := s.Links[0]; !l.Up || l.RepairsAsked < 10 || l.StreamsIn != 2 || l.RttMs < 40 {
			t.Errorf("status of the link: %v", l)
		}

		speaker.Close()
		listener.Close()
		pass(30 * time.Second)
		for name, before := range map[string]map[string]float64{"paris": paris, "lyon": lyon} {
			after := c.read(name)
			if after["maille_participants_active"] != 0 || after[`maille_tracks_active{kind="video",origin="link"}`] != 0 {
				t.Errorf("%s still holds something", name)
			}
			for metric, v := range before {
				if family, _, _ := strings.Cut(metric, "{"); strings.HasPrefix(family, "maille_") && strings.HasSuffix(family, "_total") && after[metric] < v {
					t.Errorf("%s: %s went from %v to %v", name, metric, v, after[metric])
				}
			}
		}
	})
}
