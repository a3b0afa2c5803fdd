package scenario

import (
	"context"
	"slices"
	"testing"
	"time"

	"maille/bench/client"
	"maille/proto/livekit"
)

// H265 of a publisher who has it is taken, goes to who has it too, on another node, and
// to who has it not the backup goes instead.
func TestH265(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 75, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		modern, old := client.Options{Codecs: []string{"video/H265", "video/VP8"}}, client.Options{Codecs: []string{"video/VP8"}}
		ann := c.JoinWith(ctx, "paris", "standup", "ann", modern)
		defer ann.Close()
		if !slices.ContainsFunc(ann.Join().EnabledPublishCodecs, func(c *livekit.Codec) bool { return c.Mime == "video/H265" }) {
			t.Errorf("not among what may be published: %v", ann.Join().EnabledPublishCodecs)
		}
		v, err := ann.PublishLayered(ctx, "video/H265", "video/VP8", 25, 1000, func(r *livekit.AddTrackRequest) {
			r.BackupCodecPolicy = livekit.BackupCodecPolicy_SIMULCAST
		})
		if err != nil {
			t.Fatal(err)
		}
		sid := v.Info.Sid
		if v.Info.MimeType != "video/H265" || len(v.Info.Codecs) != 2 {
			t.Errorf("published as %v", v.Info)
		}
		bob := c.JoinWith(ctx, "lyon", "standup", "bob", modern)
		defer bob.Close()
		if err := bob.WaitPackets(ctx, sid, 100); err != nil {
			t.Fatal(err)
		}
		if got := ann.Subscribed(sid, "vp8"); !slices.Equal(got, off) {
			t.Errorf("the backup is told %v while everyone decodes H265", got)
		}
		eve := c.JoinWith(ctx, "lyon", "standup", "eve", old)
		defer eve.Close()
		if err := ann.Wait(ctx, "the backup's turn", func() bool { return slices.Equal(ann.Subscribed(sid, "vp8"), all) }); err != nil {
			t.Fatal(err)
		}
		if _, err := v.PublishBackup(ctx, 3, 25, 600); err != nil {
			t.Fatal(err)
		}
		if err := eve.WaitPackets(ctx, sid, 100); err != nil {
			t.Fatal(err)
		}
		before := bob.Track(sid).Packets.Load()
		if err := bob.WaitPackets(ctx, sid, before+100); err != nil {
			t.Fatal(err)
		}
		for who, want := range map[*client.Client]string{bob: "video/H265", eve: "video/VP8"} {
			if r := who.Track(sid); r.Mime != want || r.Corrupt.Load() > 0 || r.Keyframes.Load() == 0 {
				t.Errorf("%s gets %s, want %s; %d corrupt, %d keyframes", who.Join().Participant.Identity, r.Mime, want, r.Corrupt.Load(), r.Keyframes.Load())
			}
		}
	})
}
