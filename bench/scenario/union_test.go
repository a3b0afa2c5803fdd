package scenario

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/client"
	"maille/proto/livekit"
)

// Law 2, with people who publish in every region and who watch different layers on the two
// nodes of each: what crosses from one region to another is one copy of each layer that
// somebody there watches, and nothing of the others.
func TestOneCopyOfEachLayerDemanded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 17, 20*time.Millisecond, "paris/1", "paris/2", "lyon/1", "lyon/2", "brest/1", "brest/2")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		people := c.Spread(ctx, "standup")
		for _, cl := range people {
			defer cl.Close()
		}
		region := func(node string) string { return c.Nodes[node].Region }
		const size = 1000
		cameras := make(map[string]*client.Published) // by track
		home := make(map[string]string)               // region of each track
		var sids []string
		for _, node := range []string{"paris-1", "lyon-2", "brest-1"} {
			v, err := people[node].PublishVideo(ctx, 3, 30, size)
			if err != nil {
				t.Fatal(err)
			}
			cameras[v.Info.Sid], home[v.Info.Sid] = v, region(node)
			sids = append(sids, v.Info.Sid)
		}
		for node, cl := range people {
			for _, sid := range sids {
				if home[sid] == region(node) {
					continue
				}
				if err := cl.WaitPackets(ctx, sid, 50); err != nil {
					t.Fatalf("%s: %v", node, err)
				}
			}
			if node[len(node)-1] == '2' { // a small tile
				if err := cl.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_TrackSetting{
					TrackSetting: &livekit.UpdateTrackSettings{TrackSids: sids, Quality: livekit.VideoQuality_LOW},
				}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		pass(20 * time.Second) // layers chosen on the way up are let go of
		type pair struct{ from, to, track string }
		measure := func() (copies map[pair]int, bytes map[pair]uint64, sent map[string]uint64) {
			copies, bytes, sent = make(map[pair]int), make(map[pair]uint64), make(map[string]uint64)
			for _, x := range crossings(c.Show(ctx, "brest-1", "standup")) {
				if p := (pair{region(x.from), region(x.to), x.track}); p.from != p.to {
					copies[p]++
					bytes[p] += x.bytes
				}
			}
			for sid, v := range cameras {
				sent[sid] = size/4*v.Sent[0].Load() + size*v.Sent[2].Load() // the lowest is sent in smaller packets
			}
			return copies, bytes, sent
		}
		_, bytesBefore, sentBefore := measure()
		pass(10 * time.Second)
		copies, bytes, sent := measure()
		for sid, from := range home {
			for _, to := range []string{"paris", "lyon", "brest"} {
				p := pair{from, to, sid}
				if to == from {
					continue
				}
				if copies[p] != 1 {
					t.Errorf("%v crosses %d times, want once", p, copies[p])
				}
				ratio := float64(bytes[p]-bytesBefore[p]) / float64(sent[sid]-sentBefore[sid])
				if ratio < 0.97 || ratio > 1.03 {
					t.Errorf("%v: %.3f times the two layers that are watched", p, ratio)
				}
				delete(copies, p)
			}
		}
		for p, n := range copies {
			t.Errorf("%v crosses %d times, want never", p, n)
		}
	})
}
