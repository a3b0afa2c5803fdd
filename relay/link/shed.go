package link

import (
	"cmp"
	"math"
	"slices"
	"time"

	"maille/relay"
)

// shedder decides which layers do not go while the link carries less than is asked of
// it. It is pure. Queues would drop packets of every layer alike and break every
// picture; without the upper layers the rest arrives whole.
type shedder struct {
	over    int   // decisions in a row that saw overload
	calm    int64 // since when there was none
	changed int64
	wait    int64 // calm before a layer comes back; doubles when that was too soon
	begun   bool
}

// layerLoad is one layer of one stream.
type layerLoad struct {
	out               *outStream
	handle            uint16
	spatial, temporal uint8
	watchers          uint32
	rate              float64 // bytes per second, as it comes to this node
	shed              bool
}

const (
	// baseDecisions of 200 ms each in overload, with every upper layer gone, and whole
	// streams go: some pictures that arrive are worth more than all of them broken.
	baseDecisions = 10
	// shedTo and restoreTo are the shares of the capacity that are used: between them
	// nothing changes.
	shedTo, restoreTo = 0.9, 0.8
	restoreMin        = int64(2 * time.Second)
	restoreMax        = int64(30 * time.Second)
	// tooSoon after a layer came back, overload says that it should not have.
	tooSoon = int64(4 * time.Second)
)

// decide marks layers as shed or not and tells whether anything changed. capacity is in
// bytes per second; growing tells that it may be more soon, so that whole streams stay.
func (d *shedder) decide(now int64, overloaded, growing bool, capacity float64, layers []layerLoad) bool {
	if !d.begun {
		d.begun, d.calm, d.changed, d.wait = true, now, now-restoreMax, restoreMin
	}
	if !overloaded {
		d.over = 0
		return d.restore(now, capacity, layers)
	}
	d.calm = now
	if d.over++; growing {
		d.over = 1
	}
	if now-d.changed < tooSoon {
		d.wait = min(2*d.wait, restoreMax)
	} else {
		d.wait = restoreMin
	}
	total := going(layers)
	// From the top: the highest layers first, among equals the one that fewest watch, that
	// costs most, and that was asked for last.
	slices.SortFunc(layers, func(a, b layerLoad) int {
		return cmp.Or(cmp.Compare(b.spatial, a.spatial), cmp.Compare(b.temporal, a.temporal),
			cmp.Compare(a.watchers, b.watchers), cmp.Compare(b.rate, a.rate), cmp.Compare(b.handle, a.handle))
	})
	changed := false
	for i := range layers {
		l := &layers[i]
		if total <= shedTo*capacity || l.base() && d.over < baseDecisions {
			break
		}
		if !l.shed && total > l.rate { // one stream always goes
			l.shed, changed = true, true
			total -= l.rate
		}
	}
	if changed {
		d.over = 0 // and see what that does
	}
	return changed
}

func (l *layerLoad) base() bool { return l.spatial == 0 && l.temporal == 0 }

// restore brings back what fits from the lowest layer up: base layers together, upper
// ones one at a time, because what they will cost then is only guessed.
func (d *shedder) restore(now int64, capacity float64, layers []layerLoad) bool {
	if now-d.calm < d.wait || now-d.changed < restoreMin/2 {
		return false
	}
	slices.SortFunc(layers, func(a, b layerLoad) int {
		return cmp.Or(cmp.Compare(a.spatial, b.spatial), cmp.Compare(a.temporal, b.temporal),
			cmp.Compare(b.watchers, a.watchers), cmp.Compare(a.rate, b.rate), cmp.Compare(a.handle, b.handle))
	})
	total, changed := going(layers), false
	for i := range layers {
		l := &layers[i]
		if !l.shed {
			continue
		}
		if capacity > 0 && total+l.rate > restoreTo*capacity || changed && !l.base() {
			break
		}
		l.shed, d.changed, changed = false, now, true
		total += l.rate
	}
	return changed
}

func going(layers []layerLoad) (sum float64) {
	for _, l := range layers {
		if !l.shed {
			sum += l.rate
		}
	}
	return sum
}

// overWait in the queue is overload, before the queue begins to drop.
const overWait = int64(100 * time.Millisecond)

// tuneShed measures what every layer brings and sheds or restores, with every probe.
func (s *Session) tuneShed(now int64) {
	dropped := s.counters.drops[relay.DropQueueFull].Load()
	overloaded := dropped != s.droppedBefore || s.queuedFor.Swap(0) > overWait
	seconds := float64(now-s.shedAt) / 1e9
	s.droppedBefore, s.shedAt = dropped, now
	s.loads = s.loads[:0]
	demand := 0.0
	for _, o := range s.outs.all() {
		from := len(s.loads)
		s.loads = o.loads(s.loads, seconds)
		for _, l := range s.loads[from:] {
			demand += l.rate
		}
		if o.track.Kind() == relay.Audio {
			s.loads = s.loads[:from] // never shed
		}
	}
	s.counters.demand.Store(math.Float64bits(demand))
	_, delivered, _ := s.sent.path()
	capacity := max(s.sent.rateCap(), delivered)
	if !overloaded && s.sent.rateCap() == 0 {
		capacity = 0 // unknown, and not reached
	}
	if !s.shed.decide(now, overloaded, s.growing(now), capacity, s.loads) {
		return
	}
	for _, l := range s.loads {
		l.out.shedLayer(l.spatial, l.temporal, l.shed)
	}
}

// loads appends the stream's layers that bring anything.
func (o *outStream) loads(dst []layerLoad, seconds float64) []layerLoad {
	shed := relay.LayerSet(o.shedding.Load())
	for sp := range uint8(relay.MaxSpatial) {
		for te := range uint8(relay.MaxTemporal) {
			n := o.layerBytes[sp*relay.MaxTemporal+te].Swap(0)
			if n == 0 && !shed.Has(sp, te) {
				continue
			}
			dst = append(dst, layerLoad{
				out: o, handle: o.handle, watchers: o.watchers.Load(), spatial: sp, temporal: te, shed: shed.Has(sp, te),
				rate: float64(n) / max(seconds, 0.01),
			})
		}
	}
	return dst
}

// shedLayer stops or resumes a layer. A resumed one needs a keyframe to be of use.
func (o *outStream) shedLayer(spatial, temporal uint8, shed bool) {
	bit := uint32(relay.Layer(spatial, temporal))
	if shed {
		o.shedding.Or(bit)
		return
	}
	if o.shedding.And(^bit)&bit != 0 && temporal == 0 {
		o.keyframe(spatial)
	}
}
