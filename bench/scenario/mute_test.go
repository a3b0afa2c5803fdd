package scenario

import (
	"context"
	"testing"
	"time"
)

// A client that is muted, and sends all the same, is not heard on any node, nor by those
// of its own; once it is not muted any more all goes on, with no number missing.
func TestMutedIsNotHeard(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 73, 20*time.Millisecond, "paris", "lyon")
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
		sid := voice.Info.Sid
		for _, node := range []string{"paris", "lyon"} {
			bob := c.Join(ctx, node, "standup", "in-"+node, "")
			defer bob.Close()
			if err := bob.WaitPackets(ctx, sid, 50); err != nil {
				t.Fatal(err)
			}
			if err := ann.Mute(sid, true); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
			r := bob.Track(sid)
			before, sent := r.Packets.Load(), voice.Sent[0].Load()
			pass(4 * time.Second)
			if n := r.Packets.Load() - before; n > 0 {
				t.Errorf("%s: %d of %d packets came while muted", node, n, voice.Sent[0].Load()-sent)
			}
			if bob.Speaking(ann.Join().Participant.Sid) {
				t.Errorf("%s: speaks while muted", node)
			}
			if err := ann.Mute(sid, false); err != nil {
				t.Fatal(err)
			}
			if err := bob.WaitPackets(ctx, sid, before+100); err != nil {
				t.Errorf("%s: %v", node, err)
			}
			if n := r.Gaps.Load(); n > 0 {
				t.Errorf("%s: %d numbers missing", node, n)
			}
		}
	})
}
