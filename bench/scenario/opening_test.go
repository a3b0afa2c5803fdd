package scenario

import (
	"context"
	"testing"
	"time"
)

// What is muted when it is subscribed is heard of before it is not muted any more, on any
// node, by a client that knows tracks by their first packet; then it begins with a
// keyframe, and no number is missing.
func TestMutedIsHeardOf(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 75, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		voice, err := ann.PublishAudio(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		face, err := ann.PublishVideo(ctx, 2, 25, 600)
		if err != nil {
			t.Fatal(err)
		}
		tracks := map[string]string{"voice": voice.Info.Sid, "face": face.Info.Sid}
		for _, sid := range tracks {
			if err := ann.Mute(sid, true); err != nil {
				t.Fatal(err)
			}
		}
		pass(2 * time.Second)
		for _, node := range []string{"paris", "lyon"} {
			bob := c.Join(ctx, node, "standup", "in-"+node, "")
			defer bob.Close()
			for what, sid := range tracks {
				if err := bob.Wait(ctx, "word of "+what, func() bool { return bob.Track(sid) != nil }); err != nil {
					t.Fatal(node, err)
				}
			}
			pass(3 * time.Second)
			for what, sid := range tracks {
				r := bob.Track(sid)
				if o, n := r.Openings.Load(), r.Packets.Load(); o != 1 || n != 0 {
					t.Errorf("%s: %d openings of %s and %d packets while muted", node, o, what, n)
				}
				if err := ann.Mute(sid, false); err != nil {
					t.Fatal(err)
				}
			}
			for what, sid := range tracks {
				if err := bob.WaitPackets(ctx, sid, 50); err != nil {
					t.Fatalf("%s: %s: %v", node, what, err)
				}
				r := bob.Track(sid)
				if g, d := r.Gaps.Load(), r.Disorder.Load(); g > 0 || d > 0 {
					t.Errorf("%s: %s: %d numbers missing, %d out of order", node, what, g, d)
				}
				if err := ann.Mute(sid, true); err != nil {
					t.Fatal(err)
				}
			}
			if !bob.Track(face.Info.Sid).Keyed.Load() {
				t.Errorf("%s: the picture does not begin with a keyframe", node)
			}
			pass(2 * time.Second)
		}
	})
}
