package scenario

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/client"
	"maille/bench/sim"
	adminpb "maille/proto/admin"
)

// crossing is what one track sends over one link.
type crossing struct {
	from, to, track string
	packets, bytes  uint64
}

func crossings(shown *adminpb.RoomShowResponse) []crossing {
	var out []crossing
	for _, n := range shown.Nodes {
		for _, tr := range n.Tracks {
			for _, x := range tr.Crossings {
				if x.Direction == "out" && x.Packets > 0 {
					out = append(out, crossing{n.Node, x.Peer, tr.Sid, x.Packets, x.Bytes})
				}
			}
		}
	}
	return out
}

// Law 2: with two nodes in each of three regions and watchers on all of them, each
// layer crosses each region pair once.
func TestOneCopyPerRegionPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 11, 20*time.Millisecond, "paris/1", "paris/2", "lyon/1", "lyon/2", "brest/1", "brest/2")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		people := c.Spread(ctx, "standup")
		for _, cl := range people {
			defer cl.Close()
		}
		speaker := people["paris-2"]
		a, err := speaker.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		v, err := speaker.PublishVideo(ctx, 3, 30, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for node, cl := range people {
			if node == "paris-2" {
				continue
			}
			for _, sid := range []string{a.Info.Sid, v.Info.Sid} {
				if err := cl.WaitPackets(ctx, sid, 200); err != nil {
					t.Fatalf("%s: %v", node, err)
				}
			}
		}
		region := func(node string) string { return c.Nodes[node].Region }
		measure := func() (pairs map[string]int, bytes, got map[string]uint64) {
			pairs, bytes, got = make(map[string]int), make(map[string]uint64), make(map[string]uint64)
			for _, x := range crossings(c.Show(ctx, "brest-1", "standup")) {
				if region(x.from) != region(x.to) {
					key := region(x.from) + "->" + region(x.to) + " " + x.track
					pairs[key]++
					bytes[key] += x.bytes
					got[key] = people[region(x.to)+"-1"].Track(x.track).Bytes.Load()
				}
			}
			return pairs, bytes, got
		}
		pass(5 * time.Second) // layers chosen on the way up are let go of
		_, bytesBefore, gotBefore := measure()
		pass(10 * time.Second)
		pairs, bytes, got := measure()
		for _, to := range []string{"lyon", "brest"} {
			for _, sid := range []string{a.Info.Sid, v.Info.Sid} {
				key := "paris->" + to + " " + sid
				if pairs[key] != 1 {
					t.Errorf("%s crosses %d times, want once", key, pairs[key])
				}
				// What a client watches is one copy of the layers demanded.
				ratio := float64(bytes[key]-bytesBefore[key]) / float64(got[key]-gotBefore[key])
				if ratio < 0.98 || ratio > 1.02 {
					t.Errorf("%s: bytes that cross are %.3f times what a client there gets", key, ratio)
				}
				delete(pairs, key)
			}
		}
		for key, n := range pairs {
			t.Errorf("%s crosses %d times, want never", key, n)
		}
	})
}

// A cut path between two regions is gone around through the third, and taken again
// once it heals.
func TestGoesAroundACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 12, 20*time.Millisecond, "paris", "lyon", "brest")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		people := make(map[string]*client.Client)
		for name := range c.Nodes {
			people[name] = c.Join(ctx, name, "standup", "in-"+name, "")
			defer people[name].Close()
		}
		a, err := people["paris"].PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		v, err := people["paris"].PublishVideo(ctx, 1, 30, 1000)
		if err != nil {
			t.Fatal(err)
		}
		lyon := people["lyon"]
		if err := lyon.WaitPackets(ctx, v.Info.Sid, 50); err != nil {
			t.Fatal(err)
		}
		if err := lyon.WaitPackets(ctx, a.Info.Sid, 50); err != nil {
			t.Fatal(err)
		}
		c.Net.Cut("paris", "lyon")
		cut := time.Now()
		had := lyon.Track(a.Info.Sid).Packets.Load()
		pass(100 * time.Millisecond)
		had = max(had, lyon.Track(a.Info.Sid).Packets.Load())
		if err := lyon.WaitPackets(ctx, a.Info.Sid, had+10); err != nil {
			t.Fatalf("cut off: %v", err)
		}
		if gap := time.Since(cut); gap > 2500*time.Millisecond {
			t.Errorf("around the cut after %s, want within 2.5 s", gap)
		} else {
			t.Logf("around the cut after %s", gap)
		}
		pass(5 * time.Second)
		sound, picture := lyon.Track(a.Info.Sid), lyon.Track(v.Info.Sid)
		// What was sent and did not come, with what is on its way: fewer by the shorter one.
		unheard := func() int64 { return int64(a.Sent[0].Load() - sound.Packets.Load()) }
		unseen := func() int64 { return int64(v.Sent[0].Load() - picture.Packets.Load()) }
		heard, seen := unheard(), unseen()
		sound.Longest.Store(0)
		picture.Longest.Store(0)
		c.Net.Heal("paris", "lyon")
		direct := func() bool {
			for _, x := range crossings(c.Show(ctx, "lyon", "standup")) {
				if x.from == "paris" && x.to == "lyon" && x.packets > 100 {
					return true
				}
			}
			return false
		}
		for !direct() {
			select {
			case <-ctx.Done():
				t.Fatal("the direct path is not taken again")
			case <-time.After(500 * time.Millisecond):
			}
		}
		pass(2 * time.Second)
		// The way around is left when the direct one has brought something.
		if n := unheard() - heard; n > 0 {
			t.Errorf("%d packets of sound missing after the change back", n)
		}
		if n := unseen() - seen; n > 0 {
			t.Errorf("%d packets of video missing after the change back", n)
		}
		if gap := time.Duration(max(sound.Longest.Load(), picture.Longest.Load())); gap > 100*time.Millisecond {
			t.Errorf("nothing for %s on the way back", gap)
		}
		around := func() (n uint64) {
			for _, x := range crossings(c.Show(ctx, "lyon", "standup")) {
				if x.from == "brest" && x.to == "lyon" {
					n += x.packets
				}
			}
			return n
		}
		before := around()
		pass(time.Second)
		if n := around(); n > before {
			t.Errorf("%d packets still go around", n-before)
		}
	})
}

// A region's gateway dies: its other nodes go straight to the origin, once for each, and
// nobody else notices. What the kernel of a dead process resets is noticed at once.
func TestGatewayDies(t *testing.T) {
	t.Run("the host vanishes", func(t *testing.T) { gatewayDies(t, (*Cluster).Kill, 1500*time.Millisecond) })
	t.Run("the process dies", func(t *testing.T) { gatewayDies(t, (*Cluster).Crash, 500*time.Millisecond) })
}

func gatewayDies(t *testing.T, dies func(c *Cluster, name string), within time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 14, 20*time.Millisecond, "paris", "lyon/1", "lyon/2", "brest")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		people := c.Spread(ctx, "standup")
		for _, cl := range people {
			defer cl.Close()
		}
		a, err := people["paris"].PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		v, err := people["paris"].PublishVideo(ctx, 1, 30, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for node, cl := range people {
			for _, sid := range []string{a.Info.Sid, v.Info.Sid} {
				if node == "paris" {
					continue
				}
				if err := cl.WaitPackets(ctx, sid, 100); err != nil {
					t.Fatalf("%s: %v", node, err)
				}
			}
		}
		gateway := ""
		for _, x := range crossings(c.Show(ctx, "brest", "standup")) {
			if x.from == "paris" && x.track == a.Info.Sid && x.to != "brest" {
				gateway = x.to
			}
		}
		other := map[string]string{"lyon-1": "lyon-2", "lyon-2": "lyon-1"}[gateway]
		if other == "" {
			t.Fatalf("lyon's gateway is %q", gateway)
		}
		for _, node := range []string{other, "brest"} {
			for _, sid := range []string{a.Info.Sid, v.Info.Sid} {
				people[node].Track(sid).Longest.Store(0)
			}
		}
		had := people["brest"].Track(a.Info.Sid).Packets.Load()
		dies(c, gateway)
		pass(10 * time.Second)
		for _, sid := range []string{a.Info.Sid, v.Info.Sid} {
			if gap := time.Duration(people[other].Track(sid).Longest.Load()); gap > within {
				t.Errorf("%s: nothing of %s for %s, want within %s", other, sid, gap, within)
			} else {
				t.Logf("%s: nothing of %s for %s", other, sid, gap)
			}
			if gap := time.Duration(people["brest"].Track(sid).Longest.Load()); gap > 100*time.Millisecond {
				t.Errorf("brest: nothing of %s for %s", sid, gap)
			}
		}
		if n := people["brest"].Track(a.Info.Sid).Packets.Load() - had; n < 495 {
			t.Errorf("brest heard %d of 500 packets", n)
		}
		straight := make(map[string]int)
		for _, x := range crossings(c.Show(ctx, "brest", "standup")) {
			if x.to != gateway {
				straight[x.from+"->"+x.to+" "+x.track]++
			}
		}
		want := make(map[string]int)
		for _, to := range []string{other, "brest"} {
			for _, sid := range []string{a.Info.Sid, v.Info.Sid} {
				want["paris->"+to+" "+sid] = 1
			}
		}
		if !maps.Equal(straight, want) {
			t.Errorf("crossings %v, want %v", straight, want)
		}
		c.Abandon(gateway)
	})
}

// Law 7: what looks encrypted crosses three nodes, a lossy path and its repairs byte
// for byte, but for the picture ids that the last hop rewrites.
func TestPayloadIsOpaque(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 13, 20*time.Millisecond, "paris", "lyon/1", "lyon/2")
		defer c.Close()
		c.Net.Path("paris", "lyon", sim.Path{Delay: 20 * time.Millisecond, Loss: 0.03, Reorder: 0.02, Duplicate: 0.01})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		people := c.Spread(ctx, "standup")
		for _, cl := range people {
			defer cl.Close()
		}
		a, err := people["paris"].PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		v, err := people["paris"].PublishVideo(ctx, 3, 30, 1150)
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range []string{"lyon-1", "lyon-2"} {
			for _, sid := range []string{a.Info.Sid, v.Info.Sid} {
				if err := people[node].WaitPackets(ctx, sid, 400); err != nil {
					t.Fatalf("%s: %v", node, err)
				}
				if n := people[node].Track(sid).Corrupt.Load(); n > 0 {
					t.Errorf("%s: %d payloads of %s were changed", node, n, sid)
				}
			}
		}
	})
}

// Newcomers begin with the running group of pictures, from the ring of their own node or
// of the one before it, also where the layer they wish for is not sent: the publisher is
// asked for nothing.
func TestNewcomersCostNoKeyframe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 15, 20*time.Millisecond, "paris/1", "paris/2", "lyon/1", "lyon/2", "brest")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris-1", "standup", "ann", "")
		defer ann.Close()
		v, err := ann.PublishVideo(ctx, 1, 60, 1000)
		if err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second) // the first keyframe is too old to begin with
		first := c.Join(ctx, "lyon-1", "standup", "first", "")
		defer first.Close()
		if err := first.WaitPackets(ctx, v.Info.Sid, 1); err != nil {
			t.Fatal(err)
		}
		asked, keys := v.Keyframes.Load(), first.Track(v.Info.Sid).Keyframes.Load()
		began := time.Now()
		for _, node := range []string{"lyon-1", "lyon-2", "brest", "paris-1", "paris-2"} {
			cl := c.Join(ctx, node, "standup", "late-"+node, "")
			defer cl.Close()
			if err := cl.WaitPackets(ctx, v.Info.Sid, 3); err != nil {
				t.Fatalf("%s: %v", node, err)
			}
			r := cl.Track(v.Info.Sid)
			if r.Keyframes.Load() == 0 || r.Gaps.Load() > 0 {
				t.Errorf("%s: %d keyframes, %d packets missing", node, r.Keyframes.Load(), r.Gaps.Load())
			}
		}
		t.Logf("all see a picture %s after the first", time.Since(began))
		if n := v.Keyframes.Load() - asked; n > 0 {
			t.Errorf("the publisher was asked for %d keyframes more", n)
		}
		if n := first.Track(v.Info.Sid).Keyframes.Load() - keys; n > 0 {
			t.Errorf("%d keyframes more were sent", n)
		}
	})
}
