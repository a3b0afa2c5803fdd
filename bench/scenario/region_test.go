package scenario

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A cut between two nodes of one region is gone around through the third of it, when no
// other region serves the room.
func TestGoesAroundACutWithinARegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 18, 2*time.Millisecond, "paris/1", "paris/2", "paris/3")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		people := c.Spread(ctx, "standup")
		for _, cl := range people {
			defer cl.Close()
		}
		a, err := people["paris-1"].PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range []string{"paris-2", "paris-3"} {
			if err := people[node].WaitPackets(ctx, a.Info.Sid, 50); err != nil {
				t.Fatalf("%s: %v", node, err)
			}
		}
		c.Net.Cut("node-paris-1", "node-paris-2")
		pass(3 * time.Second)
		had := people["paris-2"].Track(a.Info.Sid).Packets.Load()
		pass(5 * time.Second)
		if n := people["paris-2"].Track(a.Info.Sid).Packets.Load() - had; n < 240 {
			t.Errorf("%d of 250 packets came around the cut", n)
		}
		c.Net.Heal("node-paris-1", "node-paris-2")
		around := func() (n uint64) {
			for _, x := range crossings(c.Show(ctx, "paris-1", "standup")) {
				if x.from == "paris-3" {
					n += x.packets
				}
			}
			return n
		}
		if around() == 0 {
			t.Error("nothing is shown to go around")
		}
		for before := uint64(0); ; {
			n := around()
			if n == before {
				break // the direct path is taken again
			}
			if before = n; ctx.Err() != nil {
				t.Fatal("packets go around long after the path has healed")
			}
			pass(time.Second)
		}
	})
}
