package link

import (
	"math"
	"sync/atomic"
	"time"

	"maille/relay"
)

// What a peer newly wants of a picture begins with the running group of pictures, so that
// those behind it see it at once and the publisher makes no keyframe for them. The past must
// not make the present wait, other rooms' least of all, so it is bounded in bytes; beyond
// that the publisher is asked.
const (
	// replayEvery is the least time between two replays of the same group of pictures;
	// replayCost is what one takes from the budget of lookups.
	replayEvery = int64(500 * time.Millisecond)
	replayCost  = 64
	// replayAtOnce bytes may go to a peer at once, two of the largest groups or many small
	// ones, and replayRate bytes per second fill that up.
	replayAtOnce, replayRate = 512 << 10, 1 << 20
	// Where the path is known to carry no more than it does, the past gets a share of it, and
	// at once no more than what passes within replayFor.
	replayShare = 0.1
	replayFor   = 100 * time.Millisecond
	// While some of the past waits the link sends no faster than paceOfDemand times what is
	// asked of it, and replayPace bytes per second: a window may allow much more, which the
	// path has never carried.
	replayPace   = 1 << 20
	paceOfDemand = 1.25
	// maxBehind is how long the past may wait.
	maxBehind = int64(time.Second)
	// overtaken is how much later than a round trip after a replay a request for a keyframe
	// may have been sent before the replay came.
	overtaken = int64(100 * time.Millisecond)
)

// replays is what a stream has sent of the past. Who opens the stream touches it, and then
// the control reader alone, but for running, which is read with every packet.
type replays struct {
	tried [relay.MaxSpatial]int64 // when the group of an encoding was last to go
	went  [relay.MaxSpatial]int64 // and when it was there to go
	// running is the set of encodings whose group is being pushed, a bit each.
	running atomic.Uint32
}

// want changes the layers that are sent. For a spatial layer that is new, the running
// group of pictures goes first, so that the far side starts without a new keyframe.
func (o *outStream) want(layers relay.LayerSet) {
	tap := o.tap.Load()
	if o.track.Kind() != relay.Video {
		o.layers.Store(uint32(layers))
		tap.Want(layers)
		return
	}
	hear := relay.NoLayers
	if layers != relay.NoLayers {
		hear = relay.AllLayers // an encoding's layers left out are told from its losses
	}
	tap.Hear(hear)
	old, now := relay.LayerSet(o.layers.Load()), relay.Now()
	var groups, refused [relay.MaxSpatial]bool
	for enc := range uint8(relay.MaxSpatial) {
		if !layers.HasSpatial(enc) || old.HasSpatial(enc) {
			continue
		}
		groups[enc] = o.mayReplay(enc, now)
		refused[enc] = !groups[enc]
	}
	o.replays.mark(groups)
	pushed := tap.Begin(layers, groups, func() { o.layers.Store(uint32(layers)) })
	o.replays.running.Store(0)
	for enc := range uint8(relay.MaxSpatial) {
		if pushed[enc] {
			o.replays.went[enc] = now
		}
		if refused[enc] {
			tap.Keyframe(enc)
		}
	}
}

func (r *replays) mark(groups [relay.MaxSpatial]bool) {
	var set uint32
	for enc, yes := range groups {
		if yes {
			set |= 1 << enc
		}
	}
	r.running.Store(set)
}

// past tells that packets of the encoding are pushed from its running group.
func (r *replays) past(encoding uint8) bool { return r.running.Load()>>encoding&1 != 0 }

// mayReplay tells whether the running group of an encoding may go, and counts it.
func (o *outStream) mayReplay(enc uint8, now int64) bool {
	r := &o.replays
	if r.tried[enc] != 0 && now-r.tried[enc] < replayEvery {
		return false
	}
	r.tried[enc] = now
	return o.s.spend(replayCost) && o.s.affords(o.tap.Load().Behind(enc), now)
}

// affords tells whether so many bytes of the past may go to the peer, and takes them from
// what may.
func (s *Session) affords(n int, now int64) bool {
	rate, burst := float64(replayRate), float64(replayAtOnce)
	if limit := s.sent.rateCap(); limit > 0 {
		rate, burst = replayShare*limit, min(limit*replayFor.Seconds(), burst)
	}
	s.past.Lock()
	defer s.past.Unlock()
	b := &s.past.bucket
	b.set(rate, burst, now)
	if b.tokens < float64(n) {
		return false
	}
	b.take(n)
	return true
}

// pastPace is how fast the link sends while some of the past waits, in bytes per second.
func (s *Session) pastPace() float64 {
	return paceOfDemand*math.Float64frombits(s.counters.demand.Load()) + replayPace
}

// asked passes the peer's request for a keyframe on. One that it sent before the running
// group came, for those who watch there begin with asking, the group has answered.
func (o *outStream) asked(spatial uint8) {
	if at := o.replays.went[spatial]; at == 0 || relay.Now()-at > o.s.rtt.Load()+overtaken {
		o.keyframe(spatial)
	}
}
