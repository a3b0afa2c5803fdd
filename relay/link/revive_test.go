package link

import (
	"testing"
	"testing/synctest"
	"time"
)

// A path that is cut for a second costs the packets of that second: the session lives on,
// audio is back at once, video as soon as new lanes are up.
func TestOutageIsOverWhenThePathIsBack(t *testing.T) {
	const cutAt, cutFor = 5 * time.Second, time.Second
	for name, oneWay := range map[string]bool{"both ways": false, "towards the receiver": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// Measured from half a second after the path is back.
				ld := load{videos: 20, videoPPS: 125, size: 1198, audios: 3, warm: cutAt + cutFor + 500*ms, measured: 2 * time.Second}
				clean := conditions{delay: 50 * ms}
				x := deliver(t, clean, ld, func(p *pair, at time.Duration) {
					dead := clean
					dead.cut = true
					switch at.Truncate(100 * ms) {
					case cutAt:
						p.set(p.a.host, p.b.host, dead)
						if !oneWay {
							p.set(p.b.host, p.a.host, dead)
						}
					case cutAt + cutFor:
						p.both(p.a.host, p.b.host, clean)
					case cutAt + cutFor + 100*ms:
						if ups, downs := p.a.counts(); ups != 1 || downs != 0 {
							t.Errorf("%d sessions began and %d ended", ups, downs)
						}
					}
				})
				x.log(t)
				if x.audio.within(100*ms) < .999 {
					t.Errorf("audio %v", &x.audio)
				}
				if x.video.within(220*ms) < .99 {
					t.Errorf("video %v", &x.video)
				}
			})
		})
	}
}

func TestLagIsWhatIsNewOfTheDifference(t *testing.T) {
	var r recentLag
	var s steadyLag
	span := int64(300 * ms)
	now := int64(0)
	look := func(lag int64) (recent, steady int64) {
		now += int64(10 * ms)
		return r.above(lag, now, span), s.above(lag, now, span)
	}
	look(0)
	if recent, steady := look(3); recent != 3 || steady != 3 {
		t.Fatalf("three losses that QUIC has not declared: %d and %d", recent, steady)
	}
	for i := range 200 {
		look(3 + int64(i%2)) // three drift, now and then one more is lost
	}
	if recent, steady := look(4); recent != 1 || steady != 4 {
		t.Errorf("one new loss beside three old ones: %d and %d", recent, steady)
	}
	for range 100 {
		look(4)
	}
	if recent, steady := look(4); recent != 0 || steady != 0 {
		t.Errorf("no new loss: %d and %d", recent, steady)
	}
}

// A peer whose process is said to have died is let go of within a round trip and a half
// if it does not answer, and not at all if it does.
func TestSuspectedPeer(t *testing.T) {
	for _, dead := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, conditions{delay: 50 * ms})
			defer p.stop()
			_, sb := p.sessions(t)
			settle(2 * time.Second)
			if dead {
				p.both(p.a.host, p.b.host, conditions{cut: true})
			}
			began := time.Now()
			for range 3 {
				sb.Suspect()
			}
			select {
			case <-sb.Done():
				if took := time.Since(began); !dead || took > 300*ms {
					t.Errorf("dead is %v: ended after %v", dead, took)
				}
			case <-time.After(600 * ms): // silence would take a second
				if dead {
					t.Error("a dead peer is not let go of")
				}
			}
			if suspected := sb.suspected.Load(); !dead && suspected != 0 {
				t.Error("a peer that answered is still suspected")
			}
		})
	}
}

// What QUIC was given and keeps shuts a lane, and nothing else does: not what QUIC sends of
// its own, and not for long what it drops.
func TestBacklog(t *testing.T) {
	var b backlog
	now, handed, sent := int64(0), int64(0), int64(4000) // the handshake
	step := func(give, send int64) int64 {
		now += pollEvery
		handed, sent = handed+give, sent+send
		b.poll(handed, sent, now)
		return b.waiting
	}
	step(0, 0)
	for range 1000 {
		if got := step(24000, 24000+600); got > 0 {
			t.Fatalf("%d bytes wait while all are sent", got)
		}
	}
	step(12000, 0)
	if got := step(0, 0); got < 11000 || got > 12000 {
		t.Errorf("%d bytes wait, of 12000 that do", got)
	}
	if got := step(0, 12100); got > 0 {
		t.Errorf("%d bytes wait once all are sent", got)
	}
	step(5000, 0) // dropped
	if step(0, 0) < 4900 {
		t.Error("what is dropped is not taken for waiting")
	}
	for until := now + 2*droppedFor + 2*pollEvery; now < until; {
		step(0, 0)
	}
	if got := step(0, 0); got > 0 {
		t.Errorf("%d bytes that were dropped wait for ever", got)
	}
}
