// Package rewrite gives one subscriber of a track numbers of its own: sequence
// numbers without gaps where packets are left out on purpose, timestamps that go on
// across a change of encoding, VP8 and VP9 picture ids that count on. Gaps that come
// from loss stay gaps, so that a late packet still finds its place and a NACK its
// origin. This is done once, at the node that faces the subscriber.
package rewrite

import (
	"math/bits"

	"maille/relay"
	"maille/relay/codec"
)

const (
	// behind is how far back a sequence number may be and still be a late packet: twice
	// what a track's ring lets pass. Farther back, the publisher began anew.
	behind = 2048

	// MaxResends bounds how often one packet is sent again: a receiver that asks more
	// often has a path that will not carry it, or asks to make us send.
	MaxResends = 3
)

// Config says how a rewriter begins.
type Config struct {
	Codec codec.Codec
	// Seq is the first sequence number; 1 to 32767 keeps SRTP's rollover counter
	// unambiguous for a receiver that misses the first packets (RFC 3711 section 3.3.1).
	Seq uint16
	// Timestamp is the first timestamp, random (RFC 3550 section 5.1).
	Timestamp uint32
	// History is how many packets stay known for NACKs, rounded up to a power of two, at
	// most 32768; 0 means 512, two to three seconds of 720p.
	History int
}

// Out is what a packet is sent with.
type Out struct {
	Seq       uint16
	Timestamp uint32
	Picture   uint16 // VP8 and VP9 picture id
	TL0       uint8  // VP8 and VP9 TL0PICIDX
}

// Rewriter is one subscriber's numbering of one track. It is not safe for concurrent
// use: its owner calls it under the lock that orders its sends.
type Rewriter struct {
	codec codec.Codec
	sent  history

	started   bool
	switching bool // the next packet of encoding begins a new epoch
	encoding  uint8
	ssrc      uint32
	newest    uint16 // newest origin sequence number seen, sent or not
	time      timeline
	picture   pictures
}

// New returns a rewriter; its first packet decides the rest.
func New(c Config) *Rewriter {
	if c.History == 0 {
		c.History = 512
	}
	size := 1 << bits.Len(uint(min(max(c.History, 2), 1<<15)-1))
	r := &Rewriter{codec: c.Codec, sent: history{entries: make([]entry, size), last: c.Seq - 1}}
	r.time = timeline{rate: c.Codec.ClockRate(), first: c.Timestamp}
	r.picture = pictures{codec: c.Codec}
	return r
}

// Switch makes the next packet of an encoding the start of a new epoch: what the
// subscriber sees goes on from its last packet. It is called before Next of the
// keyframe that begins another encoding, and after a pause of the same one.
func (r *Rewriter) Switch(encoding uint8) {
	r.encoding, r.switching = encoding, true
}

// Recode makes the next packet the first of another codec of the same kind: numbers
// and time go on from what was sent. What was sent before is no longer known.
func (r *Rewriter) Recode(c codec.Codec) {
	r.codec, r.picture = c, pictures{codec: c}
	r.sent.count = 0
	r.time.encoding = relay.MaxSpatial // of another clock: time goes on by arrival
}

// Next numbers a packet to be sent. It is false for one that has no place: of
// another encoding, from before the epoch, sent already, or empty (Skip it).
func (r *Rewriter) Next(p *relay.Packet) (Out, bool) {
	if len(p.Payload) == 0 {
		return Out{}, false
	}
	switch r.order(p) {
	case begins:
		r.begin(p)
	case late:
		return r.fill(p)
	}
	o := Out{Timestamp: r.time.stamp(p)}
	o.Picture, o.TL0 = r.picture.pass(p)
	o.Seq = r.sent.add(entry{origin: p.Seq, encoding: p.Encoding, epoch: r.time.epoch, state: sent, picture: o.Picture, tl0: o.TL0})
	return o, true
}

// Skip notes a packet that is left out on purpose, so that the next one follows
// without a gap. If a gap was already left for it, Skip is true and says with which
// numbers to send a packet of padding only, that the receiver stops asking for it.
func (r *Rewriter) Skip(p *relay.Packet) (Out, bool) {
	switch r.order(p) {
	case late:
		at, e := r.sent.find(p.Encoding, p.Seq)
		if e == nil || e.state != reserved {
			return Out{}, false
		}
		e.state = hollow
		return Out{Seq: at, Timestamp: r.time.latest}, true
	case follows:
		r.picture.skip(p)
	}
	return Out{}, false
}

// Pad numbers a packet that is no packet of the publisher, sent at now, on the clock of
// relay.Packet.Arrived. Before the first packet it begins the numbers and the time, and
// that packet follows it without a gap.
func (r *Rewriter) Pad(now int64) Out {
	if !r.started {
		r.time.idle(now)
	}
	return Out{Seq: r.sent.add(entry{state: hollow}), Timestamp: r.time.latest}
}

// Started reports whether a packet of the publisher was numbered yet.
func (r *Rewriter) Started() bool { return r.started }

type place uint8

const (
	follows place = iota // the next of its epoch, perhaps after a gap
	late                 // older than the newest of its epoch, or of an older epoch
	begins               // the first of a new epoch
)

// order files the packet among those seen, and reserves numbers for what is missing
// before it.
func (r *Rewriter) order(p *relay.Packet) place {
	if !r.started || r.switching && p.Encoding == r.encoding {
		return begins
	}
	if p.Encoding != r.encoding || r.switching {
		return late
	}
	ahead := int16(p.Seq - r.newest)
	switch {
	case p.SSRC != r.ssrc || ahead < -behind:
		return begins
	case ahead <= 0:
		return late
	}
	missing := int(ahead) - 1
	meant := min(missing, int(p.Omitted))
	r.reserve(missing - meant)
	if meant > 0 && missing == meant {
		r.picture.omitted(p)
	}
	r.newest = p.Seq
	return follows
}

// reserve leaves room for packets missing after the newest. A gap too long to be repaired is kept as
// a gap of one: enough to tell the receiver.
func (r *Rewriter) reserve(missing int) {
	if missing > len(r.sent.entries)/2 {
		r.sent.add(entry{state: hollow})
		return
	}
	picture, tl0 := r.picture.offsets()
	for i := range missing {
		r.sent.add(entry{
			origin: r.newest + 1 + uint16(i), encoding: r.encoding, epoch: r.time.epoch,
			state: reserved, picture: picture, tl0: tl0,
		})
	}
}

// begin starts a new epoch at p. One that nobody asked for (a publisher that began
// anew) leaves a gap, for what was lost with it.
func (r *Rewriter) begin(p *relay.Packet) {
	if r.started && !r.switching {
		r.sent.add(entry{state: hollow})
	}
	r.time.begin(p, r.started && p.Encoding == r.time.encoding && p.SSRC == r.ssrc)
	r.picture.begin(p)
	r.started, r.switching = true, false
	r.encoding, r.ssrc, r.newest = p.Encoding, p.SSRC, p.Seq
}

// fill gives a late packet the numbers that were kept for it.
func (r *Rewriter) fill(p *relay.Packet) (Out, bool) {
	at, e := r.sent.find(p.Encoding, p.Seq)
	if e == nil || e.state != reserved {
		return Out{}, false
	}
	return r.settle(at, e, p)
}

// settle turns a reserved number into a sent one.
func (r *Rewriter) settle(at uint16, e *entry, p *relay.Packet) (Out, bool) {
	timestamp, ok := r.time.old(e.epoch, p.Timestamp)
	if !ok {
		return Out{}, false
	}
	e.state = sent
	e.picture, e.tl0 = r.picture.late(p, e.picture, e.tl0)
	return Out{Seq: at, Timestamp: timestamp, Picture: e.picture, TL0: e.tl0}, true
}

// Origin returns which packet of the publisher a sent sequence number stands for,
// false when it is too old, was padding or was never sent.
func (r *Rewriter) Origin(seq uint16) (encoding uint8, origin uint16, ok bool) {
	e := r.sent.at(seq)
	if e == nil || e.state == hollow {
		return 0, 0, false
	}
	return e.encoding, e.origin, true
}

// Again numbers p, the origin of seq, as it was or would have been sent, to answer a
// NACK. It is false after MaxResends answers, or when p is not the origin.
func (r *Rewriter) Again(seq uint16, p *relay.Packet) (Out, bool) {
	e := r.sent.at(seq)
	if e == nil || e.state == hollow || e.origin != p.Seq || e.encoding != p.Encoding || e.resent >= MaxResends {
		return Out{}, false
	}
	if e.state == reserved {
		return r.settle(seq, e, p)
	}
	timestamp, ok := r.time.old(e.epoch, p.Timestamp)
	if !ok {
		return Out{}, false
	}
	e.resent++
	return Out{Seq: seq, Timestamp: timestamp, Picture: e.picture, TL0: e.tl0}, true
}

// AppendPayload appends p's payload to dst with o's picture ids, and allocates nothing
// within dst's capacity.
func (r *Rewriter) AppendPayload(dst []byte, p *relay.Packet, o Out) []byte {
	at := len(dst)
	dst = append(dst, p.Payload...)
	r.picture.write(dst[at:], o)
	return dst
}

// Clock notes a clock pair of an encoding: with those of two encodings timestamps are
// aligned exactly when one follows the other.
func (r *Rewriter) Clock(c relay.Clock) { r.time.note(c) }

// MapClock returns the subscriber's timestamp of a clock pair's instant, for the
// sender report that goes with it. It is false unless the pair is of the encoding
// that is being sent.
func (r *Rewriter) MapClock(c relay.Clock) (timestamp uint32, ok bool) {
	if !r.started || c.Spatial != r.time.encoding {
		return 0, false
	}
	return c.RTP + r.time.offset(), true
}
