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
	since   int64 // when the lanes began to be too few
	calm    int64 // since when there was no overload
	changed int64 // when layers came back last
	wait    int64 // calm before layers come back; doubles when that was too soon
	step    int   // upper layers that come back together next; 0 is all of them
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
	// restoreMin is a round trip of most paths with a probe on top, so that what a layer
	// that came back does is seen before more come back.
	restoreMin = int64(400 * time.Millisecond)
	restoreMax = int64(15 * time.Second)
	// tooSoon after layers came back, overload says that they should not have.
	tooSoon = int64(2 * time.Second)
	// growthFor bounds how long new lanes are waited for before anything is shed: they are
	// the better answer, if they come.
	growthFor = int64(3 * time.Second)
	// growthPause without overload ends that wait.
	growthPause = int64(time.Second)
	// settledFor without overload and with nothing shed, what failed before is forgotten.
	settledFor = int64(10 * time.Second)
)

// decide marks layers as shed or not and tells whether anything changed. capacity is in
// bytes per second, 0 unknown; growing tells that it will be more soon.
func (d *shedder) decide(now int64, overloaded, growing bool, capacity float64, layers []layerLoad) bool {
	if !d.begun {
		d.begun, d.calm, d.changed, d.wait, d.since = true, now, now-tooSoon, restoreMin, now
	}
	if !overloaded {
		d.over = 0
		if now-d.calm > growthPause {
			d.since = now
		}
		return d.restore(now, capacity, layers)
	}
	d.calm = now
	if growing && now-d.since < growthFor {
		d.over = 0
		return false
	}
	d.over++
	d.failed(now)
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

// failed notes overload: layers that have just come back were too many.
func (d *shedder) failed(now int64) {
	if now-d.changed < tooSoon {
		d.wait, d.step = min(2*d.wait, restoreMax), 1
		d.changed = now - tooSoon // each return fails once
	}
}

// restore brings back what fits from the lowest layer up. Where nothing is known to limit
// the path that is all at once; else, and after that failed, base layers together and
// then one upper layer, two, four, because what they will cost is only guessed.
func (d *shedder) restore(now int64, capacity float64, layers []layerLoad) bool {
	if now-d.calm < d.wait || now-d.changed < restoreMin {
		return false
	}
	slices.SortFunc(layers, func(a, b layerLoad) int {
		return cmp.Or(cmp.Compare(a.spatial, b.spatial), cmp.Compare(a.temporal, b.temporal),
			cmp.Compare(b.watchers, a.watchers), cmp.Compare(a.rate, b.rate), cmp.Compare(a.handle, b.handle))
	})
	total, changed, left, all := going(layers), false, max(d.step, 1), capacity == 0 && d.step == 0
	whole := true
	for i := range layers {
		l := &layers[i]
		if !l.shed {
			continue
		}
		if capacity > 0 && total+l.rate > restoreTo*capacity || !all && !l.base() && left == 0 {
			whole = false
			break
		}
		if !l.base() {
			left--
		}
		l.shed, d.changed, changed = false, now, true
		total += l.rate
	}
	switch {
	case changed:
		d.step = 2 * max(d.step, 1)
	case whole && now-d.calm > settledFor:
		d.step, d.wait = 0, restoreMin
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

const (
	// overWait in the queue is overload, before the queue begins to drop.
	overWait = int64(100 * time.Millisecond)
	// beginWait is as well when what goes is overTimes what the path is known to carry: the
	// queue only grows from there.
	beginWait = int64(20 * time.Millisecond)
	overTimes = 1.1
)

// tuneShed measures what every layer brings and sheds or restores, with every probe.
func (s *Session) tuneShed(now int64) {
	dropped := s.counters.drops[relay.DropQueueFull].Load()
	wait := max(s.queuedFor.Swap(0), s.queue.oldest(now))
	overloaded := wait > overWait || dropped != s.droppedBefore
	seconds := float64(now-s.shedAt) / 1e9
	s.droppedBefore, s.shedAt = dropped, now
	s.loads = s.loads[:0]
	demand, goes := 0.0, 0.0
	for _, o := range s.outs.all() {
		from := len(s.loads)
		s.loads = o.loads(s.loads, seconds)
		for _, l := range s.loads[from:] {
			demand += l.rate
		}
		goes += going(s.loads[from:])
		if o.track.Kind() == relay.Audio {
			s.loads = s.loads[:from] // never shed
		}
	}
	s.counters.demand.Store(math.Float64bits(demand))
	_, delivered, _ := s.sent.path()
	capacity := max(s.sent.rateCap(), delivered)
	if s.sent.rateCap() > 0 && wait > beginWait && goes > overTimes*capacity {
		overloaded = true
	}
	overloaded = overloaded && !s.cut(now)
	if !overloaded && s.sent.rateCap() == 0 {
		capacity = 0 // unknown, and not reached
	}
	growing := s.widening(now) && s.sent.rateCap() == 0
	changed := s.shed.decide(now, overloaded, growing, capacity, s.loads)
	s.shedding = slices.ContainsFunc(s.loads, func(l layerLoad) bool { return l.shed })
	if !changed {
		return
	}
	for _, l := range s.loads {
		l.out.shedLayer(l.spatial, l.temporal, l.shed)
	}
}

// widening tells that more will soon fit through the lanes: there are to be more of them,
// or those there are still open their windows.
func (s *Session) widening(now int64) bool {
	room := s.lanes.room()
	if room > s.roomBefore*wideningBy {
		s.roomAt = now
		s.roomBefore = room
	}
	s.roomBefore = min(s.roomBefore, room)
	return now-s.roomAt < int64(probeEvery)+2*s.rtt.Load() || s.growing(now)
}

// wideningBy is more than windows grow in two round trips once they have met a loss.
const wideningBy = 1.1

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

// shedLayer stops or resumes a layer, with what of it waits. A resumed one needs a keyframe to be of use.
func (o *outStream) shedLayer(spatial, temporal uint8, shed bool) {
	bit := uint32(relay.Layer(spatial, temporal))
	if shed {
		for _, e := range o.s.queue.purge(o, spatial, temporal) {
			o.leave(e.p)
			o.drop(e, relay.DropShed)
		}
		o.shedding.Or(bit)
		return
	}
	if o.shedding.And(^bit)&bit != 0 && temporal == 0 {
		o.keyframe(spatial)
	}
}
