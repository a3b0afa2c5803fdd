package link

import (
	"time"

	"maille/relay"
	"maille/relay/wire"
)

// bundler holds what the bundling goroutine works with.
type bundler struct {
	s     *Session
	from  int   // where the search for a lane begins, so that equals take turns
	last  *lane // the lane that was used last
	held  entry // what can wait and did not fit the last bundle; held.p nil when none
	audio entry // likewise audio
	// tail is the second half of a split packet, tailP the packet it aliases; nil when
	// none.
	tail     wire.Frame
	tailP    *relay.Packet
	tailLane *lane // where the first half went
	// pace is the link's own, above those of the lanes.
	pace   bucket
	double doubler
	hand   handover
	gather gather
	size   int // of the last datagram
	// gathering: the bundler waits for more audio, not for a lane.
	gathering bool
	now       int64 // of the step under way
	// blocked is since when something waits although the cap would let it go.
	blocked int64
	stuck   bool // blocked is set
}

// bundle sends what is queued: everything that waits now goes into as few datagrams
// as fit; nothing waits for more to come, save audio while there is much of it.
func (s *Session) bundle() {
	b := &bundler{s: s}
	defer b.release()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.queue.ready:
		case <-timer.C:
		}
		for s.ctx.Err() == nil {
			wait, more := b.step(relay.Now())
			if more {
				continue
			}
			b.hand.flush()
			if wait < idleWait && !b.gathering && !s.queue.stalled.Swap(true) {
				continue // look again: a lane that got room meanwhile woke nobody
			}
			timer.Reset(wait)
			break
		}
	}
}

// idleWait is how long the bundler sleeps when only a new packet can wake it.
const idleWait = time.Hour

const (
	// stuckWait is how soon the bundler looks at stuck lanes again if none wakes it.
	stuckWait = 10 * time.Millisecond
	// maxAudioHeld is how late audio may leave: what is later misses any playout buffer.
	maxAudioHeld = int64(200 * time.Millisecond)
)

// step sends one datagram if it can. Otherwise it tells how long to wait.
func (b *bundler) step(now int64) (wait time.Duration, more bool) {
	s := b.s
	b.now = now
	lanes := s.lanes.all()
	urgent, free, delay := b.pick(lanes, now)
	if len(lanes) == 0 || s.cut(now) {
		urgent = s.bypass(now)
	}
	waits := b.follows()
	if !waits {
		wait = b.gathers(now)
	}
	if b.gathering = wait > 0; b.gathering {
		return wait, false
	}
	capped := b.capped(now)
	b.noteBlocked(waits && free == nil && capped == 0 && len(lanes) > 0, now)
	if capped > 0 {
		free, delay = nil, capped
	}
	audio := b.nextAudio()
	target := free
	if audio.p != nil {
		target = urgent
	}
	if target == nil {
		if audio.p != nil {
			return b.hold(audio, now) // every lane is stuck
		}
		if !waits || len(lanes) == 0 {
			return idleWait, false
		}
		return max(time.Duration(delay), time.Millisecond), false
	}
	switch {
	case audio.p != nil && b.double.copies > 0 && urgent != nil:
		// Where much is lost, lanes are often shut when they seem open.
		if target = urgent; free != nil && !target.free() {
			free = nil
		}
	case free != nil:
		target = b.follow(free, now)
	}
	bundle := wire.NewBundleMax(newDatagram(), wire.TypeMedia, target.fitting(s.sent.maxSize(now)))
	b.double.judge(s.sent.loss())
	for ; audio.p != nil; audio = b.nextAudio() {
		if !b.add(&bundle, audio) {
			b.audio, b.gather.full = audio, bundle.Frames()
			break
		}
	}
	if b.double.first(now, bundle.Frames() > 0) {
		b.echo(&bundle, now)
	}
	if free != nil {
		b.fill(&bundle, target, now)
	}
	if bundle.Frames() == 0 {
		freeDatagram(bundle.Seal(0))
		return idleWait, false
	}
	b.echo(&bundle, now)
	b.double.count++
	switch {
	case s.small.Load():
		bundle.Pad(aloneSize)
	case b.size-bundle.Len() <= padWithin && s.sent.loss() < padBelow && b.follows():
		bundle.Pad(b.size)
	}
	b.size = bundle.Len()
	b.launch(&bundle, target, now)
	return 0, true
}

// padWithin is what may be wasted to make a datagram as large as the one before, when
// another follows at once: 2 % of it. What is of one size leaves in one system call. Where
// more than padBelow is lost, repairs need the bytes.
const (
	padWithin = 24
	padBelow  = 0.02
)

// follows tells that more is to leave at once.
func (b *bundler) follows() bool { return b.held.p != nil || b.tailP != nil || b.s.queue.waiting() }

// hold keeps an audio packet until a lane takes it or it comes too late.
func (b *bundler) hold(audio entry, now int64) (wait time.Duration, more bool) {
	if now-audio.at > maxAudioHeld {
		audio.out.drop(audio, relay.DropSend)
		return 0, true
	}
	b.audio = audio
	return stuckWait, false
}

func (b *bundler) nextAudio() entry {
	if e := b.audio; e.p != nil {
		b.audio = entry{}
		return e
	}
	e, _ := b.s.queue.popUrgent()
	return e
}

// fill adds what can wait and may take the lane, as far as it fits.
func (b *bundler) fill(bundle *wire.Bundle, l *lane, now int64) {
	if b.tailP != nil {
		if !bundle.Add(&b.tail) {
			return
		}
		b.endTail()
	}
	for b.tailP == nil && !bundle.Full() {
		e := b.next(now)
		if e.p == nil {
			return
		}
		if bound := e.out.lane(e, now); bound != nil && bound != l && bundle.Frames() > 0 && bound.free() {
			b.held = e
			return
		}
		if e.repair && bundle.Frames() > 0 && b.apart(e, l, now) != l {
			b.held = e
			return
		}
		encoding := e.p.Encoding // which add lets go of
		if !b.add(bundle, e) {
			b.held = e
			return
		}
		if !e.repair {
			e.out.bound[encoding] = binding{l, now}
		}
		b.tailLane = l
	}
}

// next takes what waits longest of what can wait.
func (b *bundler) next(now int64) entry {
	if e := b.held; e.p != nil {
		b.held = entry{}
		return e
	}
	e, ok := b.s.queue.pop(now, func(e entry) { e.out.drop(e, relay.DropQueueFull) })
	if ok && !e.past {
		b.s.noteWait(now - e.at)
	}
	return e
}

// follow returns the lane for a bundle that begins with what waits longest: the one its
// stream is on, if that has room.
func (b *bundler) follow(free *lane, now int64) *lane {
	bound := b.tailLane
	if b.tailP == nil {
		b.held = b.next(now)
		if b.held.p == nil {
			return free
		}
		if b.held.repair {
			return b.apart(b.held, free, now)
		}
		bound = b.held.out.lane(b.held, now)
	}
	if bound != nil && bound.free() {
		return bound
	}
	return free
}

// add puts a packet into the bundle, the first half of it if it is too large for any,
// and lets go of it; false if it does not fit.
func (b *bundler) add(bundle *wire.Bundle, e entry) bool {
	var f wire.Frame
	f.From(e.p, e.out.handle)
	f.Omitted = e.out.omitted(e.p)
	f.Prev, f.HasPrev = e.prev, e.hasPrev
	if bundle.Left() < f.Size(false)+maxNoted && bundle.Frames() > 0 {
		return false
	}
	if !e.repair {
		f.Prev, f.HasPrev, f.HasSSRC = e.out.note(e.p)
	}
	if f.HasSSRC && f.HasPrev && !bundle.Holds(&f) {
		f.HasSSRC = false // only the first of a stream is split for it
		e.out.oweSSRC(e.p.Encoding)
	}
	if bundle.Holds(&f) {
		if !bundle.Add(&f) {
			return false
		}
		if !e.repair && e.out.track.Kind() == relay.Audio {
			b.double.keep(e, f.Prev, f.HasPrev, b.now)
			b.gather.took(b.now)
		}
		e.out.count(e)
		e.p.Release()
		return true
	}
	first, second := f.Split()
	if !bundle.Add(&first) {
		return false
	}
	e.out.count(e)
	b.tail, b.tailP = second, e.p
	return true
}

// maxNoted is what the chain may add to a frame's size: prev and SSRC.
const maxNoted = 2 + 4

func (o *outStream) count(e entry) {
	if e.repair {
		return
	}
	o.packets.Add(1)
	o.bytes.Add(uint64(len(e.p.Payload)))
}

func (b *bundler) endTail() {
	b.tailP.Release()
	b.tail, b.tailP = wire.Frame{}, nil
}

func (b *bundler) release() {
	b.hand.flush()
	b.double.waiting.release()
	for _, p := range []*relay.Packet{b.held.p, b.audio.p, b.tailP} {
		if p != nil {
			p.Release()
		}
	}
}

// pick finds the lane that audio takes, which may be in debt, and the least loaded one
// that has room for what can wait, nil if none. delay is when to look again. The lane
// used last stays in use while its window is not half full: what leaves together is cheap
// together, at both ends.
func (b *bundler) pick(lanes []*lane, now int64) (urgent, free *lane, delay int64) {
	if l := b.last; l != nil {
		l.refresh(now)
		l.bucket.advance(now)
		if l.free() && l.load() < stayBelow && b.double.copies == 0 {
			return l, l, 0
		}
	}
	b.from++
	delay = int64(stuckWait)
	var bestUrgent, bestFree float64
	for i := range lanes {
		l := lanes[(b.from+i)%len(lanes)]
		l.refresh(now)
		l.bucket.advance(now)
		if len(l.out) < laneQueue-1 {
			if load := l.clear(); urgent == nil || load < bestUrgent {
				urgent, bestUrgent = l, load
			}
		}
		if l.free() {
			if room := l.bucket.tokens / l.bucket.burst; free == nil || room > bestFree {
				free, bestFree = l, room
			}
		} else if w := l.bucket.wait(); w > 0 {
			delay = min(delay, w)
		}
	}
	return urgent, free, delay
}

// stayBelow is the load up to which the bundler stays with a lane.
const stayBelow = 0.5

// capped tells how long the link's cap forbids what can wait; 0 if it does not.
func (b *bundler) capped(now int64) int64 {
	rate := b.s.sent.rateCap()
	if b.s.queue.behind.Load() > 0 {
		if most := b.s.pastPace(); rate == 0 || most < rate {
			rate = most
		}
	}
	if rate == 0 {
		b.pace = bucket{at: now}
		return 0
	}
	b.pace.set(rate, max(laneBurst, rate*0.005), now)
	return b.pace.wait()
}

// noteBlocked adds up the time in which only lanes are missing.
func (b *bundler) noteBlocked(blocked bool, now int64) {
	if b.stuck {
		b.s.blocked.Add(now - b.blocked)
	}
	b.stuck, b.blocked = blocked, now
}

// launch gives the bundle to the lane.
func (b *bundler) launch(bundle *wire.Bundle, l *lane, now int64) {
	s := b.s
	size := bundle.Len() + overhead
	d := bundle.Seal(s.sent.note(l, size, l.load() >= 1, now))
	l.bucket.take(size)
	if b.pace.rate > 0 {
		b.pace.take(size)
	}
	s.counters.sent.datagrams.Add(1)
	s.counters.sent.bytes.Add(uint64(len(d)))
	s.counters.sent.packets.Add(uint64(bundle.Frames()))
	if l != s.control {
		b.last = l
	}
	if !b.hand.put(l, d) {
		s.counters.drops.Add(relay.DropSend)
	}
}
