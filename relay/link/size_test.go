package link

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"maille/relay/wire"
)

// A path that begins to drop full datagrams in the middle of a meeting, and later
// carries them again.
func TestSilentMTUDrop(t *testing.T) {
	for _, mtu := range []int{1230, 1200, 1100} {
		t.Run(fmt.Sprint(mtu), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ld := load{videos: 8, videoPPS: 125, size: 1198, audios: 3, warm: 5 * time.Second, measured: 25 * time.Second}
				small := conditions{delay: 20 * ms, loss: .005}
				wide := small
				small.mtu = mtu
				var during, after int
				x := deliver(t, wide, ld, func(p *pair, at time.Duration) {
					switch at.Truncate(100 * ms) {
					case 3 * time.Second:
						p.both(p.a.host, p.b.host, small)
					case 12 * time.Second:
						during = p.a.Session("b").Stats().DatagramSize
						p.both(p.a.host, p.b.host, wide)
					case 29 * time.Second:
						after = p.a.Session("b").Stats().DatagramSize
					}
				}, func(c *Config) { c.Lanes = 16 }) // below 1,228 bytes no new connection comes up
				x.log(t)
				if during >= wire.MaxDatagram || after != wire.MaxDatagram {
					t.Errorf("datagrams of %d bytes while full ones are lost, of %d in the end", during, after)
				}
				if x.video.share() < .999 || x.audio.share() < .999 {
					t.Errorf("two seconds later: video %v, audio %v", &x.video, &x.audio)
				}
			})
		})
	}
}

// A path that never carried more than QUIC's smallest packets.
func TestSessionOverNarrowPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ld := load{videos: 8, videoPPS: 125, size: 1198, audios: 3, warm: 5 * time.Second, measured: 5 * time.Second}
		x := deliver(t, conditions{delay: 20 * ms, mtu: narrowPacket + 28}, ld, nil)
		x.log(t)
		if x.video.share() < 1 || x.audio.share() < 1 {
			t.Errorf("video %v, audio %v", &x.video, &x.audio)
		}
	})
}

func TestSizer(t *testing.T) {
	var z sizer
	now := int64(time.Second)
	send := func(size int, arrives bool) {
		now += int64(10 * ms)
		z.sent(size, now)
		if arrives {
			z.came(size, now)
		} else {
			z.missed(size, now, now)
		}
	}
	for range 10 * blackAfter {
		send(wire.MaxDatagram, false)
	}
	if got := z.max(now); got != wire.MaxDatagram {
		t.Fatalf("%d bytes after an outage that small datagrams did not survive either", got)
	}
	for i := 0; i < blackAfter && z.rung == 0; i++ {
		send(100, true)
		send(wire.MaxDatagram, false)
	}
	if got := z.max(now); got != datagramSizes[1] {
		t.Fatalf("%d bytes though only small ones arrive", got)
	}
	now += tryMin
	tries := 0
	for ; z.max(now) > datagramSizes[1]; tries++ {
		send(z.max(now), false)
	}
	if tries != tryDatagrams || z.max(now+3*tryMin/2) != datagramSizes[1] {
		t.Errorf("%d tries, and again too soon", tries)
	}
	now += 2 * tryMin
	send(z.max(now), true)
	if got := z.max(now); got != wire.MaxDatagram {
		t.Errorf("%d bytes after a full one came through", got)
	}
}

// Loss and full queues, as long as some full datagram passes now and then, are no reason
// for smaller ones.
func TestSizeStaysUnderLoss(t *testing.T) {
	if raceEnabled {
		t.Skip("a figure, not a race")
	}
	for _, c := range []conditions{
		{delay: 50 * ms, loss: .2},
		{delay: 50 * ms, rate: 4e6, queue: 20_000},
	} {
		synctest.Test(t, func(t *testing.T) {
			ld := load{videos: 8, videoPPS: 125, size: 1198, audios: 8, warm: time.Second, measured: 10 * time.Second}
			x := deliver(t, c, ld, nil)
			if x.a.DatagramSize != wire.MaxDatagram {
				t.Errorf("datagrams of %d bytes", x.a.DatagramSize)
			}
		})
	}
}
