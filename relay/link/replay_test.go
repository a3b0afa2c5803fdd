package link

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"maille/relay"
	"maille/relay/track"
)

// camera is a track whose running group of pictures is a second old and large, and what
// came of it at the peer.
type camera struct {
	src          source
	origin, here *track.Track

	mu    sync.Mutex // guards all below
	first int64      // when something came
	seqs  []uint16
}

func (c *camera) Push(p *relay.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == 0 {
		c.first = relay.Now()
	}
	c.seqs = append(c.seqs, p.Seq)
}
func (c *camera) Clock(relay.Clock) {}
func (c *camera) Close()            {}

// film sends a keyframe and then pictures, 25 a second, until stop.
func (c *camera) film(stop func() bool, key, each, size int) {
	seq := uint16(1)
	for n := uint32(0); !stop(); n++ {
		count := each
		if n == 0 {
			count = key
		}
		for i := range count {
			p := fill(seq, size)
			p.Timestamp, p.FrameStart, p.Keyframe = n*3600, i == 0, n == 0 && i == 0
			c.origin.Push(p)
			seq++
		}
		pass(40 * ms)
	}
}

// A peer that begins to watch a dozen cameras at once gets their running groups as far as
// the link affords it, whole and in order; the rest costs a keyframe each. What the link
// carries for another room arrives as before: nothing is shed, and sound is not delayed.
func TestReplaysDelayNobody(t *testing.T) {
	for _, c := range []struct {
		name   string
		c      conditions
		groups int // at least, that are replayed
		// Delays of what else is on the link: of video the 99th percentile, of audio the longest.
		video, audio time.Duration
	}{
		{"wide", conditions{delay: 50 * ms}, 2, 60 * ms, 55 * ms},
		{"40 Mbit/s", conditions{delay: 50 * ms, rate: 40e6, queue: 500_000}, 2, 100 * ms, 100 * ms},
		{"wide, 2 % loss", conditions{delay: 50 * ms, loss: .02}, 2, time.Second, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cameras := make([]camera, 12)
				var wg sync.WaitGroup
				var asked int64
				ld := meeting
				ld.videos = 10
				over := false
				var mu sync.Mutex
				stop := func() bool { mu.Lock(); defer mu.Unlock(); return over }
				x := deliver(t, c.c, ld, func(p *pair, at time.Duration) {
					switch at.Truncate(20 * ms) {
					case 5 * time.Second:
						for i := range cameras {
							c, id := &cameras[i], relay.TrackID(fmt.Sprint("camera", i))
							c.origin, c.here = track.New(id, relay.Video, ""), track.New(id, relay.Video, "")
							c.origin.SetSource(&c.src)
							p.a.mu.Lock()
							p.a.tracks[id] = c.origin
							p.a.mu.Unlock()
							wg.Go(func() { c.film(stop, 30, 6, 1100) })
						}
					case 6 * time.Second:
						asked = relay.Now()
						for i := range cameras {
							c := &cameras[i]
							tap := c.here.Attach(c, relay.Spatial(0))
							p.b.Session("a").Pull(TrackRef{Room: "new", ID: c.here.ID()}, c.here)
							tap.Keyframe(0)
						}
					case 8 * time.Second:
						mu.Lock()
						over = true
						mu.Unlock()
					}
				})
				wg.Wait()
				x.log(t)
				replays, last := 0, time.Duration(0)
				for i := range cameras {
					c, loss := &cameras[i], c.c.loss
					replayed := slices.Contains(c.seqs, 1)
					if replayed {
						replays++
						last = max(last, time.Duration(c.first-asked))
						slices.Sort(c.seqs)
						if n, most := len(c.seqs), int(c.seqs[len(c.seqs)-1]); n < most && loss == 0 || float64(n) < .99*float64(most) {
							t.Errorf("camera %d: %d packets of %d", i, n, most)
						}
					}
					if (len(c.src.keyframes) == 0) != replayed {
						t.Errorf("camera %d: replayed %v, %d keyframes asked for", i, replayed, len(c.src.keyframes))
					}
					c.origin.Close()
					c.here.Close()
				}
				t.Logf("%d of %d groups replayed, the last began after %v", replays, len(cameras), last)
				if replays < c.groups || last > 150*ms {
					t.Errorf("%d groups replayed, the last began after %v", replays, last)
				}
				if x.a.Drops["shed"]+x.a.Drops["queue_full"] > 0 || x.video.share() < 1-c.c.loss/20 || x.video.at(.99) > c.video || x.audio.at(1) > c.audio {
					t.Error("others notice")
				}
			})
		})
	}
}
