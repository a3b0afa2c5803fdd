package scenario

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"

	"maille/bench/client"
	"maille/bench/sim"
	"maille/proto/livekit"
)

// Sizes of the pictures of a camera that tells its layers apart by them: with 100
// pictures a second about 290, 530 and 1,000 kbit/s.
const (
	cameraFPS  = 100
	cameraSize = 1200
)

// viewer is someone who watches through a narrow path.
type viewer struct {
	*client.Client
	mu     sync.Mutex // guards paused
	paused map[string]bool
}

// watch joins a client and remembers what it hears of streams held back.
func (c *Cluster) watch(ctx context.Context, entry, room, identity string) *viewer {
	v := &viewer{paused: make(map[string]bool)}
	v.Client = c.JoinWith(ctx, entry, room, identity, client.Options{OnSignal: func(m *livekit.SignalResponse) {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, s := range m.GetStreamStateUpdate().GetStreamStates() {
			v.paused[s.TrackSid] = s.State == livekit.StreamState_PAUSED
		}
	}})
	return v
}

// layer is what the viewer sees of a camera, -1 for nothing during 300 ms.
func (v *viewer) layer(sid string) int {
	r := v.Track(sid)
	if r == nil {
		return -1
	}
	before := r.Packets.Load()
	pass(300 * time.Millisecond)
	if r.Packets.Load() == before {
		return -1
	}
	for i := range 3 {
		if r.Size.Load() == cameraSize>>(2-i) {
			return i
		}
	}
	return -1
}

// A viewer's path shrinks to half a megabit and recovers: sound never stops, the
// picture gets smaller within three seconds, and comes back within fifteen.
func TestNarrowPathKeepsSound(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 31, 20*time.Millisecond, "paris")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		alice := c.Join(ctx, "paris", "demo", "alice", "")
		defer alice.Close()
		mic, err := alice.PublishAudio(ctx, 30)
		if err != nil {
			t.Fatal(err)
		}
		camera, err := alice.PublishVideo(ctx, 3, cameraFPS, cameraSize)
		if err != nil {
			t.Fatal(err)
		}
		bob := c.watch(ctx, "paris", "demo", "bob")
		defer bob.Close()
		if err := bob.WaitPackets(ctx, camera.Info.Sid, 100); err != nil {
			t.Fatal(err)
		}
		pass(4 * time.Second)
		sound := bob.Track(mic.Info.Sid)
		look := func(what string) int {
			l := bob.layer(camera.Info.Sid)
			t.Logf("%s: layer %d, longest gap of sound %v, packets of picture %d, %d resent or filled", what, l, time.Duration(sound.Longest.Load()), bob.Track(camera.Info.Sid).Packets.Load(), bob.Track(camera.Info.Sid).Gaps.Load())
			return l
		}
		if l := look("before"); l != 2 {
			t.Fatalf("layer %d on a path without limit", l)
		}
		sound.Longest.Store(0)

		narrow := time.Now()
		c.Net.OneWay("node-paris", "client-2", sim.Path{Delay: 10 * time.Millisecond, Rate: 500e3, Queue: 12500})
		within := time.Duration(0)
		for l := 2; l != 0; l = look(fmt.Sprint(time.Since(narrow))) {
			if within = time.Since(narrow); within > 3*time.Second {
				t.Fatalf("still layer %d after %v", l, within)
			}
		}
		steady := 0
		for time.Since(narrow) < 20*time.Second {
			if look(fmt.Sprint(time.Since(narrow))) == 0 {
				steady++
			}
		}
		if steady < 40 {
			t.Errorf("the small picture was seen in %d of some 56 looks", steady)
		}
		if gap := time.Duration(sound.Longest.Load()); gap > 200*time.Millisecond {
			t.Errorf("sound stopped for %v", gap)
		}

		free := time.Now()
		c.Net.OneWay("node-paris", "client-2", sim.Path{Delay: 10 * time.Millisecond})
		for l := 0; l != 2; l = look(fmt.Sprint(time.Since(free))) {
			if time.Since(free) > 15*time.Second {
				t.Fatalf("layer %d fifteen seconds after the path is wide again", l)
			}
		}
		if gap := time.Duration(sound.Longest.Load()); gap > 200*time.Millisecond {
			t.Errorf("sound stopped for %v", gap)
		}
		if sound.Gaps.Load() > 10 {
			t.Errorf("%d packets of sound lost", sound.Gaps.Load())
		}
	})
}

// Through half a megabit, layers that it does not carry are not even tried, whether or not
// the viewer's node has seen what they take, or hears from their publisher, and with
// however many temporal layers. Their publisher is far away: the viewer's node gets nothing that it
// does not ask for.
func TestNarrowPathTriesNoMore(t *testing.T) {
	for _, temporals := range []int{1, 2, 3} {
		for _, declared := range []bool{false, true} {
			for _, seen := range []time.Duration{0, 8 * time.Second} {
				t.Run(fmt.Sprintf("%d temporal layers, declared %t, seen for %v", temporals, declared, seen), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { narrowTries(t, temporals, declared, seen) })
				})
			}
		}
	}
}

func narrowTries(t *testing.T, temporals int, declared bool, seen time.Duration) {
	c := Start(t, 32, 20*time.Millisecond, "paris", "lyon")
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	alice := c.Join(ctx, "lyon", "demo", "alice", "")
	defer alice.Close()
	camera, err := alice.PublishScaled(ctx, 3, temporals, cameraFPS, cameraSize, declared)
	if err != nil {
		t.Fatal(err)
	}
	bob := c.watch(ctx, "paris", "demo", "bob")
	defer bob.Close()
	if err := bob.WaitPackets(ctx, camera.Info.Sid, 20); err != nil {
		t.Fatal(err)
	}
	pass(seen)
	c.Net.OneWay("node-paris", "client-2", sim.Path{Delay: 10 * time.Millisecond, Rate: 500e3, Queue: 18750})
	narrow := time.Now()
	for bob.layer(camera.Info.Sid) != 0 {
		if time.Since(narrow) > 3*time.Second {
			t.Fatal("no lowest layer after three seconds")
		}
	}
	t.Logf("the lowest layer after %v", time.Since(narrow))
	tries, before := 0, true
	for time.Since(narrow) < 40*time.Second {
		pass(20 * time.Millisecond)
		high := bob.Track(camera.Info.Sid).Size.Load() == cameraSize
		if high && !before {
			tries++
		}
		before = high
	}
	if tries > 0 {
		t.Errorf("the highest layer was tried %d times", tries)
	}
	c.Net.OneWay("node-paris", "client-2", sim.Path{Delay: 10 * time.Millisecond})
	free := time.Now()
	for bob.layer(camera.Info.Sid) != 2 {
		if time.Since(free) > 15*time.Second {
			t.Fatal("no highest layer fifteen seconds after the path is wide again")
		}
	}
	t.Logf("the highest layer after %v", time.Since(free))
}

// Through a path that hardly carries sound, video is held back: the viewer is told, and
// nothing of it crosses the link. It returns when the path is wide again.
func TestHeldVideoCrossesNoLink(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 32, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		alice := c.Join(ctx, "paris", "demo", "alice", "")
		defer alice.Close()
		mic, err := alice.PublishAudio(ctx, 30)
		if err != nil {
			t.Fatal(err)
		}
		camera, err := alice.PublishVideo(ctx, 3, cameraFPS, cameraSize)
		if err != nil {
			t.Fatal(err)
		}
		bob := c.watch(ctx, "lyon", "demo", "bob")
		defer bob.Close()
		if err := bob.WaitPackets(ctx, camera.Info.Sid, 100); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		sid := camera.Info.Sid
		cross := func() (n uint64) {
			for _, x := range crossings(c.Show(ctx, "paris", "demo")) {
				if x.track == sid {
					n += x.packets
				}
			}
			return n
		}
		c.Net.OneWay("node-lyon", "client-2", sim.Path{Delay: 10 * time.Millisecond, Rate: 120e3, Queue: 6000})
		if err := bob.Wait(ctx, "the news that video is held back", func() bool { return bob.isPaused(sid) }); err != nil {
			t.Fatal(err)
		}
		pass(8 * time.Second) // lower layers are told upstream after a while
		sound := bob.Track(mic.Info.Sid)
		sound.Longest.Store(0)
		held, before := 0, cross()
		for range 10 {
			pass(time.Second)
			if now := cross(); now == before {
				held++
			} else {
				before = now
			}
		}
		if held < 7 {
			t.Errorf("video crossed the link in %d of 10 seconds", 10-held)
		}
		if gap := time.Duration(sound.Longest.Load()); gap > 200*time.Millisecond {
			t.Errorf("sound stopped for %v", gap)
		}
		c.Net.OneWay("node-lyon", "client-2", sim.Path{Delay: 10 * time.Millisecond})
		free := time.Now()
		for bob.isPaused(sid) || bob.layer(sid) < 1 {
			pass(100 * time.Millisecond)
			if time.Since(free) > 20*time.Second {
				t.Fatalf("paused %v, layer %d, twenty seconds after the path is wide again", bob.isPaused(sid), bob.layer(sid))
			}
		}
	})
}

func (v *viewer) isPaused(sid string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.paused[sid]
}

// Of two cameras that do not both fit in full, the one of who speaks is larger.
func TestSpeakerIsSeenBest(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 33, 20*time.Millisecond, "paris")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		const quiet, loud = 80, 20
		var mics [2]*client.Published
		var cameras [2]string
		for i, name := range []string{"alice", "carol"} {
			p := c.Join(ctx, "paris", "demo", name, "")
			defer p.Close()
			var err error
			if mics[i], err = p.PublishAudio(ctx, quiet); err != nil {
				t.Fatal(err)
			}
			camera, err := p.PublishVideo(ctx, 3, cameraFPS, cameraSize)
			if err != nil {
				t.Fatal(err)
			}
			cameras[i] = camera.Info.Sid
		}
		bob := c.watch(ctx, "paris", "demo", "bob")
		defer bob.Close()
		for _, sid := range cameras {
			if err := bob.WaitPackets(ctx, sid, 100); err != nil {
				t.Fatal(err)
			}
		}
		c.Net.OneWay("node-paris", "client-3", sim.Path{Delay: 10 * time.Millisecond, Rate: 1.1e6, Queue: 30000})
		for _, speaker := range []int{1, 0} {
			mics[speaker].SetLevel(loud)
			mics[1-speaker].SetLevel(quiet)
			pass(10 * time.Second)
			better, worse := 0, 0
			for range 20 {
				switch of, other := bob.layer(cameras[speaker]), bob.layer(cameras[1-speaker]); {
				case of > other:
					better++
				case of < other:
					worse++
				}
			}
			if t.Logf("speaker %d is seen better in %d of 20 looks, worse in %d", speaker, better, worse); better < 5 || worse > 2 {
				t.Errorf("speaker %d is not seen best", speaker)
			}
		}
	})
}

// Whether video is held back may change while a socket is gone: the client is told when
// it resumes.
func TestResumeTellsWhatIsHeld(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 34, 20*time.Millisecond, "paris")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		alice := c.Join(ctx, "paris", "demo", "alice", "")
		defer alice.Close()
		camera, err := alice.PublishVideo(ctx, 3, cameraFPS, cameraSize)
		if err != nil {
			t.Fatal(err)
		}
		sid := camera.Info.Sid
		bob := c.watch(ctx, "paris", "demo", "bob")
		defer bob.Close()
		if err := bob.WaitPackets(ctx, sid, 100); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		c.Net.OneWay("node-paris", "client-2", sim.Path{Delay: 10 * time.Millisecond, Rate: 120e3, Queue: 6000})
		if err := bob.Wait(ctx, "the news that video is held back", func() bool { return bob.isPaused(sid) }); err != nil {
			t.Fatal(err)
		}
		bob.Cut()
		c.Net.OneWay("node-paris", "client-2", sim.Path{Delay: 10 * time.Millisecond})
		pass(time.Second) // what was on the way has come
		for bob.layer(sid) < 0 {
			pass(100 * time.Millisecond)
		}
		if !bob.isPaused(sid) {
			t.Fatal("told without a socket")
		}
		if err := bob.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		pass(200 * time.Millisecond)
		if bob.isPaused(sid) {
			t.Error("bob sees video that he was told is held back")
		}
	})
}

// A client without transport-wide feedback tells what it thinks of its path (REMB): what
// is less than is sent counts.
func TestOwnEstimateOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 35, 20*time.Millisecond, "paris")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		alice := c.Join(ctx, "paris", "demo", "alice", "")
		defer alice.Close()
		camera, err := alice.PublishVideo(ctx, 3, cameraFPS, cameraSize)
		if err != nil {
			t.Fatal(err)
		}
		bob := &viewer{Client: c.JoinWith(ctx, "paris", "demo", "bob", client.Options{NoTransportCC: true})}
		defer bob.Close()
		if err := bob.WaitPackets(ctx, camera.Info.Sid, 100); err != nil {
			t.Fatal(err)
		}
		var streams []uint32
		for _, r := range bob.Subscriber().GetReceivers() {
			streams = append(streams, uint32(r.Track().SSRC()))
		}
		for _, step := range []struct {
			bits float32
			want int
		}{{5e6, 2}, {300e3, 0}, {5e6, 2}} {
			for range 20 {
				if err := bob.Subscriber().WriteRTCP([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: step.bits, SSRCs: streams}}); err != nil {
					t.Fatal(err)
				}
				pass(500 * time.Millisecond)
			}
			if got := bob.layer(camera.Info.Sid); got != step.want {
				t.Errorf("at %.0f bit/s: layer %d, want %d", step.bits, got, step.want)
			}
		}
	})
}
