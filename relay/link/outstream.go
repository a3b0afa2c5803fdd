package link

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"maille/relay"
	"maille/relay/audio"
	"maille/relay/track"

	linkpb "maille/proto/link"
)

// outStream is one track on its way to the peer: a sink of the track.
type outStream struct {
	s      *Session
	handle uint16
	ref    TrackRef
	track  *track.Track
	tap    atomic.Pointer[track.Tap]

	// Guarded by the session's queue.mu.
	pending fifo
	room    *roomQueue // once it had anything pending
	deficit int
	behind  bool // what waits began with the past
	closed  bool

	// Touched by the bundler only: the lane each encoding is on, and since when.
	bound [relay.MaxSpatial]binding

	replays replays

	mu      sync.Mutex // guards history and left
	history [relay.MaxSpatial]*history
	left    [relay.MaxSpatial]*leftOut

	layers   atomic.Uint32
	watchers atomic.Uint32 // behind the peer, as it says
	// layerBytes came of each layer since the last decision on shedding; shedding is the
	// relay.LayerSet that does not go.
	layerBytes [relay.MaxSpatial * relay.MaxTemporal]atomic.Uint64
	shedding   atomic.Uint32

	packets atomic.Uint64
	bytes   atomic.Uint64
	shed    atomic.Uint64
	repairs atomic.Uint64
	ended   atomic.Bool
}

// Push implements relay.Sink.
func (o *outStream) Push(p *relay.Packet) {
	layer := p.Spatial*relay.MaxTemporal + p.Temporal
	if relay.LayerSet(o.layers.Load())>>layer&1 == 0 {
		o.leave(p)
		return
	}
	past := o.replays.past(p.Encoding)
	if !past {
		o.layerBytes[layer].Add(uint64(len(p.Payload)) + overhead)
	}
	if o.shedding.Load()>>layer&1 != 0 {
		o.shed.Add(1)
		o.s.counters.drops.Add(relay.DropShed)
		o.leave(p)
		return
	}
	o.s.queue.push(entry{p: p, out: o, at: relay.Now(), past: past})
}

// Clock implements relay.Sink.
func (o *outStream) Clock(c relay.Clock) {
	o.s.tell(&linkpb.Control{Body: &linkpb.Control_Clock{Clock: &linkpb.Clock{
		Handle: uint32(o.handle), Spatial: uint32(c.Spatial), Ntp: c.NTP, Rtp: c.RTP,
	}}})
}

// Close implements relay.Sink: the track has ended.
func (o *outStream) Close() {
	if o.close() {
		o.s.tell(&linkpb.Control{Body: &linkpb.Control_Ended{Ended: &linkpb.Ended{Handle: uint32(o.handle)}}})
	}
}

// close detaches from the track, once.
func (o *outStream) close() bool {
	if o.ended.Swap(true) {
		return false
	}
	o.s.outs.remove(o)
	o.s.queue.forget(o)
	if tap := o.tap.Load(); tap != nil {
		tap.Detach()
	}
	return true
}

// drop counts a packet that does not go, and lets go of it.
func (o *outStream) drop(e entry, why relay.Drop) {
	o.s.counters.drops.Add(why)
	if !e.repair {
		o.shed.Add(1)
	}
	e.p.Release()
}

func (o *outStream) keyframe(spatial uint8) {
	if tap := o.tap.Load(); tap != nil {
		tap.Keyframe(spatial)
	}
}

// resend answers a request from behind the peer out of the ring; what the ring lacks
// is asked for upstream and passes as a late packet when it comes.
func (o *outStream) resend(encoding uint8, seqs []uint32) {
	var missing []uint16
	seqs = seqs[:min(len(seqs), maxResend)]
	if !o.s.spend(len(seqs)) {
		return
	}
	for _, q := range seqs {
		seq := uint16(q)
		p := o.track.Lookup(encoding, seq)
		if p == nil {
			missing = append(missing, seq)
			continue
		}
		if relay.LayerSet(o.layers.Load()).Has(p.Spatial, p.Temporal) {
			o.again(p)
		}
		p.Release()
	}
	if len(missing) > 0 {
		o.track.Resend(encoding, missing)
	}
}

// maxResend bounds the packets of one request.
const maxResend = 256

// repair answers a gap that the peer found in the chain.
func (o *outStream) repair(encoding uint8, from uint16, mask uint32) {
	if !o.s.spend(bits.OnesCount32(mask)) {
		return
	}
	now, twice := relay.Now(), o.s.repairsTwice(o.track.Kind())
	for ; mask != 0; mask &= mask - 1 {
		seq := from + uint16(bits.TrailingZeros32(mask))
		o.mu.Lock()
		var ok bool
		if h := o.history[encoding]; h != nil {
			ok = h.mayRepeat(seq, now)
		}
		o.mu.Unlock()
		if !ok {
			continue
		}
		if p := o.track.Lookup(encoding, seq); p != nil {
			e := o.again(p)
			if twice && o.s.seconds.put(e) {
				o.s.wake()
			}
			p.Release()
		} else {
			o.s.counters.repairMisses.Add(1)
		}
	}
}

// again queues a packet that was sent before.
func (o *outStream) again(p *relay.Packet) entry {
	e := entry{p: p, out: o, at: relay.Now(), repair: true}
	o.mu.Lock()
	if h := o.history[p.Encoding]; h != nil {
		e.prev, e.hasPrev = h.before(p.Seq)
	}
	o.mu.Unlock()
	o.requeue(e)
	return e
}

func (o *outStream) requeue(e entry) {
	o.repairs.Add(1)
	o.s.counters.answered.Add(1)
	o.s.queue.push(e)
}

// omitted tells how many packets before p do not leave on purpose. The classifier of an
// audio track counts the silent ones, which leave if the peer wants them too.
func (o *outStream) omitted(p *relay.Packet) uint16 {
	if o.track.Kind() == relay.Audio && relay.LayerSet(o.layers.Load()).Has(0, audio.Silent) {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.left[p.Encoding]; l != nil {
		return max(p.Omitted, l.before(p.Seq))
	}
	return p.Omitted
}

// leave notes a video packet that is heard and does not go.
func (o *outStream) leave(p *relay.Packet) {
	if o.track.Kind() != relay.Video {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.left[p.Encoding]
	if l == nil {
		l = new(leftOut)
		o.left[p.Encoding] = l
	}
	l.add(p.Seq, p.Omitted)
}

// note records that a packet leaves now and tells what left before it, and whether
// its SSRC should travel along.
func (o *outStream) note(p *relay.Packet) (prev uint16, hasPrev, ssrc bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.history[p.Encoding]
	if h == nil {
		h = newHistory(o.track.Kind())
		o.history[p.Encoding] = h
	}
	return h.note(p.Seq, p.SSRC, p.Keyframe)
}

// oweSSRC asks for the SSRC to travel with the next packet after all.
func (o *outStream) oweSSRC(encoding uint8) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.history[encoding].since = ssrcEvery
}
