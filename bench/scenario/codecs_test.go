package scenario

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/client"
	"maille/bench/sim"
	"maille/proto/livekit"
	"maille/relay/codec"
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
		v, err := ann.PublishLayered(ctx, "video/VP9", "video/VP8", 25, 1000, func(r *livekit.AddTrackRequest) {
			r.BackupCodecPolicy = livekit.BackupCodecPolicy_SIMULCAST
		})
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

// A client that decodes none of a track's codecs is told so, and the publisher is not
// asked for what nobody can use.
func TestNoCodecInCommon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 22, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		v, err := ann.PublishLayered(ctx, "video/VP9", "", 25, 1000)
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan *livekit.SubscriptionResponse, 8)
		old := c.JoinWith(ctx, "lyon", "standup", "old", client.Options{
			Codecs: []string{"video/VP8"},
			OnSignal: func(m *livekit.SignalResponse) {
				if r := m.GetSubscriptionResponse(); r != nil {
					told <- r
				}
			},
		})
		defer old.Close()
		select {
		case r := <-told:
			if r.TrackSid != v.Info.Sid || r.Err != livekit.SubscriptionError_SE_CODEC_UNSUPPORTED {
				t.Errorf("told %v", r)
			}
		case <-ctx.Done():
			t.Fatal("not told")
		}
		pass(10 * time.Second)
		if got := ann.Subscribed(v.Info.Sid, "vp9"); slices.Contains(got, true) {
			t.Errorf("VP9 is told %v while nobody decodes it", got)
		}
	})
}

// Redundancy goes on to whoever takes it, on any node, and is taken out for others.
func TestRedundancyForThoseWhoTakeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 23, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		with := client.Options{Codecs: []string{"audio/red", "video/VP8"}}
		ann := c.JoinWith(ctx, "paris", "standup", "ann", with)
		defer ann.Close()
		viewers := make(map[string]*client.Client)
		for _, node := range []string{"paris", "lyon"} {
			viewers["plain "+node] = c.Join(ctx, node, "standup", "plain-"+node, "")
			viewers["taker "+node] = c.JoinWith(ctx, node, "standup", "taker-"+node, with)
		}
		for _, cl := range viewers {
			defer cl.Close()
		}
		a, err := ann.PublishRED(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		for name, cl := range viewers {
			if err := cl.WaitPackets(ctx, a.Info.Sid, 200); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			r := cl.Track(a.Info.Sid)
			want := "audio/opus"
			if name[:5] == "taker" {
				want = "audio/red"
			}
			if r.Mime != want || r.Corrupt.Load() > 0 || (r.Redundant.Load() > 150) != (want == "audio/red") {
				t.Errorf("%s gets %s, %d with redundancy, %d corrupt", name, r.Mime, r.Redundant.Load(), r.Corrupt.Load())
			}
		}
	})
}

// Law 7 for every codec: what looks encrypted crosses a lossy path and its repairs byte
// for byte, but for VP9's picture ids.
func TestPayloadOfEveryCodecIsOpaque(t *testing.T) {
	codecs := []string{"video/VP9", "video/AV1", "video/H265", "video/H264"}
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 24, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Net.Path("paris", "lyon", sim.Path{Delay: 20 * time.Millisecond, Loss: 0.03, Reorder: 0.02, Duplicate: 0.01})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		options := client.Options{Codecs: codecs}
		ann := c.JoinWith(ctx, "paris", "standup", "ann", options)
		defer ann.Close()
		bob := c.JoinWith(ctx, "lyon", "standup", "bob", options)
		defer bob.Close()
		for _, mime := range codecs {
			v, err := ann.PublishLayered(ctx, mime, "", 25, 1150)
			if err != nil {
				t.Fatalf("%s: %v", mime, err)
			}
			if err := bob.WaitPackets(ctx, v.Info.Sid, 200); err != nil {
				t.Fatalf("%s: %v", mime, err)
			}
			r := bob.Track(v.Info.Sid)
			if r.Mime != mime || r.Corrupt.Load() > 0 || r.Keyframes.Load() == 0 {
				t.Errorf("%s comes as %s, %d corrupt, %d keyframes", mime, r.Mime, r.Corrupt.Load(), r.Keyframes.Load())
			}
		}
	})
}

// With the policies REGRESSION and PREFER_REGRESSION everyone takes the backup once
// someone needs it, in the stream they have, and the publisher may stop the first codec.
func TestRegressionToTheBackup(t *testing.T) {
	for _, policy := range []livekit.BackupCodecPolicy{livekit.BackupCodecPolicy_REGRESSION, livekit.BackupCodecPolicy_PREFER_REGRESSION} {
		t.Run(policy.String(), func(t *testing.T) { regression(t, policy) })
	}
}

func regression(t *testing.T, policy livekit.BackupCodecPolicy) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 25, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		v, err := ann.PublishLayered(ctx, "video/VP9", "video/VP8", 25, 1000, func(r *livekit.AddTrackRequest) {
			r.BackupCodecPolicy = policy
		})
		if err != nil {
			t.Fatal(err)
		}
		sid := v.Info.Sid
		if err := bob.WaitPackets(ctx, sid, 100); err != nil {
			t.Fatal(err)
		}
		old := c.JoinWith(ctx, "paris", "standup", "old", client.Options{Codecs: []string{"video/VP8"}})
		defer old.Close()
		if err := ann.Wait(ctx, "the backup's turn", func() bool { return slices.Equal(ann.Subscribed(sid, "vp8"), all) }); err != nil {
			t.Fatal(err)
		}
		if _, err := v.PublishBackup(ctx, 3, 25, 600); err != nil {
			t.Fatal(err)
		}
		r := bob.Track(sid)
		if err := bob.Wait(ctx, "VP8 instead of VP9", func() bool { return r.Codec() == codec.VP8 }); err != nil {
			t.Fatal(err)
		}
		had, keys := r.Packets.Load(), r.Keyframes.Load()
		if err := bob.WaitPackets(ctx, sid, had+100); err != nil {
			t.Fatal(err)
		}
		if keys == 0 || r.Corrupt.Load() > 0 || r.Gaps.Load() > 5 {
			t.Errorf("bob gets %d keyframes, %d corrupt, %d gaps", keys, r.Corrupt.Load(), r.Gaps.Load())
		}
		if err := ann.Wait(ctx, "VP9's end", func() bool { return slices.Equal(ann.Subscribed(sid, "vp9"), off) }); err != nil {
			t.Fatal(err)
		}
	})
}
