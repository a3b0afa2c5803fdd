package layer

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"maille/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = int64(1e6)

// world is a publisher with simulcast or spatial layers, the path from it, and a
// subscriber that chooses by a selector. Time goes on in steps of a millisecond.
type world struct {
	now    int64 // ms
	s      *Selector
	svc    bool
	path   int64 // ms from the publisher to the subscriber, and back
	period int64 // ms from picture to picture
	live   [relay.MaxSpatial]bool
	exact  bool // the publisher's node sends Needs, not Demand

	asks     []string // "ms:layer"
	due      [relay.MaxSpatial]int64
	pictures [relay.MaxSpatial]int
	wire     []sent

	shows     []string // changes of what is shown, "ms:layer"
	switches  int
	forwarded int
	last      map[relay.Drop]int
}

type sent struct {
	at int64
	p  *relay.Packet
}

func newWorld(svc bool, want Want, layers ...int) *world {
	w := &world{svc: svc, path: 20, period: 33, now: 1000, last: map[relay.Drop]int{}}
	for _, l := range layers {
		w.live[l] = true
	}
	w.s = New(svc, want, w.now*ms)
	return w
}

// temporal is the pattern of three temporal layers and where a decoder may move up.
var temporal = []struct {
	layer uint8
	up    bool
}{{0, true}, {2, true}, {1, true}, {2, false}}

func (w *world) run(until int64) {
	for ; w.now < until; w.now++ {
		w.feedback()
		if w.now%w.period == 0 {
			w.publish()
		}
		for len(w.wire) > 0 && w.wire[0].at <= w.now {
			w.receive(w.wire[0].p)
			w.wire = w.wire[1:]
		}
		if w.now%100 == 0 {
			w.s.Tick(w.now * ms)
		}
	}
}

// feedback carries a keyframe request to the publisher.
func (w *world) feedback() {
	if spatial, ask := w.s.Keyframe(w.now * ms); ask {
		w.asks = append(w.asks, fmt.Sprintf("%d:%d", w.now-1000, spatial))
		w.due[spatial] = w.now + w.path
	}
}

// publish sends a picture of each live layer that is asked for, two packets each.
func (w *world) publish() {
	demand := w.s.Demand()
	if w.exact {
		demand = w.s.Needs()
	}
	key := false
	for spatial := range uint8(relay.MaxSpatial) {
		if !w.live[spatial] {
			continue
		}
		if !w.svc || spatial == 0 {
			key = w.due[spatial] != 0 && w.due[spatial] <= w.now
		}
		if key {
			w.due[spatial], w.pictures[spatial] = 0, 0
		}
		if w.svc { // one picture, all layers of it
			w.pictures[spatial] = w.pictures[0]
		}
		step := temporal[w.pictures[spatial]%len(temporal)]
		if !w.svc {
			w.pictures[spatial]++
		}
		for i := range 2 {
			p := relay.NewPacket()
			p.Spatial, p.Temporal = spatial, step.layer
			if !w.svc {
				p.Encoding = spatial
			}
			p.FrameStart = i == 0 && (!w.svc || spatial == 0)
			p.Keyframe = i == 0 && key
			p.SwitchPoint = step.up || key
			p.Arrived = (w.now + w.path) * ms
			p.Payload = p.Buffer()[:100]
			if demand.Has(p.Spatial, p.Temporal) {
				w.wire = append(w.wire, sent{w.now + w.path, p})
			}
		}
	}
	if w.svc {
		w.pictures[0]++
	}
}

func (w *world) receive(p *relay.Packet) {
	v := w.s.Packet(p)
	if v.Switched {
		w.switches++
	}
	if !v.Forward {
		w.last[v.Why]++
		return
	}
	w.forwarded++
	current, _, _ := w.s.Current()
	if show := fmt.Sprint(current); len(w.shows) == 0 || w.shows[len(w.shows)-1][len(w.shows[len(w.shows)-1])-1:] != show {
		w.shows = append(w.shows, fmt.Sprintf("%d:%s", w.now-1000, show))
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// showing returns the layer shown after all.
func (w *world) showing(t *testing.T, want int) {
	t.Helper()
	current, _, ok := w.s.Current()
	if !ok {
		current = 255
	}
	if want < 0 && ok || want >= 0 && int(current) != want {
		t.Fatalf("at %d ms layer %d is shown, want %d (shown %v, asked %v)", w.now-1000, int8(current), want, w.shows, w.asks)
	}
}
