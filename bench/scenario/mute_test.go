package scenario

import (
	"context"
	"slices"
	"testing"
	"time"

	"maille/bench/client"
	"maille/proto/livekit"
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

// Nor is it seen, in the codec that most watch nor in the backup; once it is not muted any
// more all goes on with a keyframe.
func TestMutedIsNotSeen(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 74, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		v, err := ann.PublishLayered(ctx, "video/VP9", "video/VP8", 25, 1000, func(r *livekit.AddTrackRequest) {
			r.BackupCodecPolicy = livekit.BackupCodecPolicy_SIMULCAST
		})
		if err != nil {
			t.Fatal(err)
		}
		sid := v.Info.Sid
		watchers := map[string]*client.Client{
			"here":  c.Join(ctx, "paris", "standup", "bob", ""),
			"there": c.Join(ctx, "lyon", "standup", "eve", ""),
			"old":   c.JoinWith(ctx, "lyon", "standup", "old", client.Options{Codecs: []string{"video/VP8"}}),
		}
		for _, w := range watchers {
			defer w.Close()
		}
		if err := ann.Wait(ctx, "the backup's turn", func() bool { return slices.Equal(ann.Subscribed(sid, "vp8"), all) }); err != nil {
			t.Fatal(err)
		}
		backup, err := v.PublishBackup(ctx, 3, 25, 600)
		if err != nil {
			t.Fatal(err)
		}
		for where, w := range watchers {
			if err := w.WaitPackets(ctx, sid, 50); err != nil {
				t.Fatal(where, err)
			}
		}
		for _, round := range []time.Duration{4 * time.Second, 15 * time.Second} {
			if err := ann.Mute(sid, true); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
			asked, before, keys, gaps := v.Keyframes.Load()+backup.Keyframes.Load(), map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
			for where, w := range watchers {
				r := w.Track(sid)
				before[where], keys[where], gaps[where] = r.Packets.Load(), r.Keyframes.Load(), r.Gaps.Load()
			}
			late := c.Join(ctx, "lyon", "standup", "late", "") // who asks for keyframes
			pass(round)
			late.Close()
			if n := v.Keyframes.Load() + backup.Keyframes.Load() - asked; n > 0 {
				t.Errorf("%d keyframes asked for while muted", n)
			}
			for where, w := range watchers {
				if n := w.Track(sid).Packets.Load() - before[where]; n > 0 {
					t.Errorf("%s: %d packets came while muted", where, n)
				}
			}
			if err := ann.Mute(sid, false); err != nil {
				t.Fatal(err)
			}
			for where, w := range watchers {
				r := w.Track(sid)
				if err := w.WaitPackets(ctx, sid, before[where]+100); err != nil {
					t.Errorf("%s: %v", where, err)
				}
				if r.Keyframes.Load() == keys[where] {
					t.Errorf("%s: goes on without a keyframe", where)
				}
				if g, d := r.Gaps.Load()-gaps[where], r.Disorder.Load(); g > 0 || d > 0 {
					t.Errorf("%s: %d numbers missing, %d out of order", where, g, d)
				}
			}
		}
	})
}
