package rewrite

import "maille/relay"

const (
	// epochs is how many epochs back late packets and NACKs are still timed right. More
	// switches within one history are not worth the memory.
	epochs = 8

	// implausible is how far, in seconds, an alignment may be from what the arrivals say
	// before it is not believed: beyond any jitter and replayed group of pictures, below
	// the damage of a clock that was set.
	implausible = 5

	// tooFar bounds the distance of two clock pairs that are compared, so that their
	// difference in ticks fits 64 bits; sender reports come every few seconds.
	tooFar = 3600 << 32 // 32.32 fixed point seconds
)

// timeline maps the timestamps of encodings onto one that only goes forward.
type timeline struct {
	rate     uint32
	first    uint32 // timestamp of the first packet
	begun    bool
	encoding uint8 // of the running epoch
	epoch    uint8
	shifts   [epochs]uint32 // what each epoch adds to its timestamps

	latest  uint32 // highest timestamp sent
	arrived int64  // when that packet arrived

	clocks [relay.MaxSpatial]relay.Clock
	known  [relay.MaxSpatial]bool
}

func (t *timeline) offset() uint32 { return t.shifts[t.epoch%epochs] }

// stamp returns the timestamp of a packet of the running epoch.
func (t *timeline) stamp(p *relay.Packet) uint32 {
	out := p.Timestamp + t.offset()
	if int32(out-t.latest) > 0 {
		t.latest, t.arrived = out, p.Arrived
	}
	return out
}

// old returns the timestamp in an epoch that may have passed.
func (t *timeline) old(epoch uint8, timestamp uint32) (uint32, bool) {
	if t.epoch-epoch >= epochs {
		return 0, false
	}
	return timestamp + t.shifts[epoch%epochs], true
}

// begin starts an epoch at p, strictly after the last timestamp. same says that p's
// timestamps continue those of the running epoch.
func (t *timeline) begin(p *relay.Packet, same bool) {
	out := t.first
	if t.begun {
		out = t.next(p, same)
	} else {
		t.latest, t.arrived = out, p.Arrived
	}
	t.begun = true
	t.epoch++
	t.shifts[t.epoch%epochs] = out - p.Timestamp
	t.encoding = p.Encoding
}

// idle carries time on to now while no encoding has come.
func (t *timeline) idle(now int64) {
	if !t.begun {
		t.begun, t.latest, t.arrived, t.encoding = true, t.first, now, relay.MaxSpatial
		return
	}
	t.latest += t.ticks(now - t.arrived)
	t.arrived = max(now, t.arrived)
}

// ticks is a time that passed, in nanoseconds, on the clock of the timestamps.
func (t *timeline) ticks(passed int64) uint32 {
	passed = max(passed, 0)
	return uint32(passed/1e9*int64(t.rate) + passed%1e9*int64(t.rate)/1e9)
}

// next chooses the timestamp of the packet that begins an epoch: exact when the
// numbers allow it, else from the time that passed between the arrivals.
func (t *timeline) next(p *relay.Packet, same bool) uint32 {
	out := t.latest + t.ticks(p.Arrived-t.arrived)
	exact, ok := p.Timestamp+t.offset(), same
	if !ok {
		exact, ok = t.align(p)
	}
	limit := int32(implausible * t.rate)
	if off := int32(exact - out); ok && off > -limit && off < limit {
		out = exact
	}
	if int32(out-t.latest) <= 0 {
		out = t.latest + 1
	}
	return out
}

// align maps p's timestamp through the wall clock onto the running epoch's encoding
// (RFC 3550 section 6.4.1), false when a clock pair is missing.
func (t *timeline) align(p *relay.Packet) (uint32, bool) {
	from, to := t.encoding, p.Encoding
	if from == to || from >= relay.MaxSpatial || to >= relay.MaxSpatial || !t.known[from] || !t.known[to] {
		return 0, false
	}
	apart := int64(t.clocks[to].NTP - t.clocks[from].NTP)
	if apart >= tooFar || apart <= -tooFar {
		return 0, false
	}
	ticks := uint32(apart * int64(t.rate) >> 32)
	return t.clocks[from].RTP + ticks + (p.Timestamp - t.clocks[to].RTP) + t.offset(), true
}

func (t *timeline) note(c relay.Clock) {
	if c.Spatial < relay.MaxSpatial {
		t.clocks[c.Spatial], t.known[c.Spatial] = c, true
	}
}
