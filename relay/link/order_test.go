package link

import (
	"testing"
	"testing/synctest"
	"time"
)

// Browsers take a packet that was overtaken for lost and ask for it.
func TestLanesKeepOrder(t *testing.T) {
	for _, c := range []struct {
		name string
		load load
	}{
		{"cameras", load{videos: 20, videoPPS: 125, size: 1198, audios: 3, warm: time.Second, measured: 4 * time.Second}},
		{"one burst a picture", load{videos: 2, videoPPS: 1250, size: 1198, audios: 3, warm: time.Second, measured: 4 * time.Second}},
		{"simulcast", load{videos: 12, videoPPS: 150, size: 1198, simulcast: true, audios: 3, warm: time.Second, measured: 4 * time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := deliver(t, conditions{delay: 20 * ms}, c.load, nil)
				x.log(t)
				if x.a.Lost != 0 {
					t.Errorf("%d taken for lost on a path that loses nothing", x.a.Lost)
				}
				for _, r := range []*result{&x.video, &x.lower, &x.audio} {
					if r.disordered() >= .001 {
						t.Errorf("%.3f%% out of order", 100*r.disordered())
					}
				}
			})
		})
	}
}
