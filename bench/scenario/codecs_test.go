package scenario

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/client"
)

var (
	off = []bool{false, false, false}
	all = []bool{true, true, true}
)

// A subscriber on another node that decodes only VP8 makes the publisher of VP9 send its
// backup, which nobody else gets, and stops it by leaving.
func TestBackupCodecIsSentWhileNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 21, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		v, err := ann.PublishLayered(ctx, "video/VP9", "video/VP8", 25, 1000)
		if err != nil {
			t.Fatal(err)
		}
		sid := v.Info.Sid
		if err := bob.WaitPackets(ctx, sid, 200); err != nil {
			t.Fatal(err)
		}
		if got := bob.Track(sid).Mime; got != "video/VP9" {
			t.Errorf("bob gets %s", got)
		}
		if got := ann.Subscribed(sid, "vp8"); !slices.Equal(got, off) {
			t.Errorf("the backup is told %v while everyone decodes VP9", got)
		}
		if got := ann.Subscribed(sid, "vp9"); !slices.Equal(got, all) {
			t.Errorf("VP9 is told %v", got)
		}

		old := c.JoinWith(ctx, "lyon", "standup", "old", client.Options{Codecs: []string{"video/VP8"}})
		defer old.Close()
		if err := ann.Wait(ctx, "the backup's turn", func() bool { return slices.Equal(ann.Subscribed(sid, "vp8"), all) }); err != nil {
			t.Fatal(err)
		}
		backup, err := v.PublishBackup(ctx, 3, 25, 600)
		if err != nil {
			t.Fatal(err)
		}
		if backup.Info.Sid != sid || len(backup.Info.Codecs) != 2 {
			t.Errorf("the backup is published as %v", backup.Info)
		}
		if err := old.WaitPackets(ctx, sid, 200); err != nil {
			t.Fatal(err)
		}
		if r := old.Track(sid); r.Mime != "video/VP8" || r.Corrupt.Load() > 0 || r.Keyframes.Load() == 0 || r.Disorder.Load() > 0 {
			t.Errorf("old gets %s, %d corrupt, %d keyframes, %d out of order", r.Mime, r.Corrupt.Load(), r.Keyframes.Load(), r.Disorder.Load())
		}
		if r := bob.Track(sid); r.Mime != "video/VP9" || r.Corrupt.Load() > 0 {
			t.Errorf("bob gets %s, %d corrupt", r.Mime, r.Corrupt.Load())
		}

		old.Close()
		if err := ann.Wait(ctx, "the backup's end", func() bool { return slices.Equal(ann.Subscribed(sid, "vp8"), off) }); err != nil {
			t.Fatal(err)
		}
		if got := ann.Subscribed(sid, "vp9"); !slices.Equal(got, all) {
			t.Errorf("VP9 is told %v afterwards", got)
		}
	})
}
