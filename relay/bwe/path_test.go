package bwe

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// client is a scripted path to one client, packet by packet in steps of a millisecond: a
// sender with layers to choose from, a bottleneck with a bounded queue, and the reports
// that a browser makes.
type client struct {
	s   *Sender
	now int64
	rng *rand.Rand

	rate    float64 // bytes per second of the bottleneck
	buffer  float64 // bytes; 0 is 200 ms
	rtt     time.Duration
	jitter  time.Duration
	loss    float64
	others  float64 // bytes per second of traffic that does not yield
	every   time.Duration
	lose    float64   // share of reports lost, doubled and held back by one
	double  float64   //
	swap    float64   //
	ladder  []float64 // bytes per second of each choice of layers
	noProbe bool
	unheard bool // what probes consist of is dropped by the client
	// rx and tx are when the client and the node get no processor; reading is what one
	// packet takes the client after that.
	rx, tx  stalls
	reading time.Duration
	// airtime is how long a radio waits before it sends all that stands at it; 0 is a wire.
	airtime time.Duration
	// keyframe in bytes begins each choice of layers.
	keyframe float64

	seq      uint16
	layer    int
	probe    float64
	probeEnd int64
	owed     float64
	media    float64 // bytes that wait to be sent
	level    float64 // bytes that may be sent
	standing float64
	latest   int64

	reportAt int64

	got     []arrivalOf
	due     []report
	held    []byte
	count   uint8
	base    uint16
	baseSet bool

	// what a step brought
	offered, arrived float64
	delays           []float64 // ms queued
	switches         int
	floor, peak      float64 // of the budget
}

type arrivalOf struct {
	seq uint16
	at  int64
}

type report struct {
	at   int64
	body []byte
}

const mbit = 1e6 / 8

func newClient(rate float64) *client {
	return &client{
		s: NewSender(), now: int64(time.Hour), rng: rand.New(rand.NewPCG(3, 4)), rate: rate,
		rtt: 50 * time.Millisecond, every: 100 * time.Millisecond,
		ladder: []float64{0, .06 * mbit, .15 * mbit, .5 * mbit, 1 * mbit, 1.7 * mbit, 3 * mbit, 4.5 * mbit, 8 * mbit},
	}
}

const tickNS = int64(time.Millisecond)

// run lets time pass and measures it.
func (c *client) run(d time.Duration) {
	c.offered, c.arrived, c.delays, c.switches = 0, 0, c.delays[:0], 0
	c.floor, c.peak = math.Inf(1), 0
	for end := c.now + int64(d); c.now < end; c.now += tickNS {
		c.drain()
		runs := c.tx.at(c.now) == c.now
		if runs {
			c.choose()
		}
		if c.picture(); runs {
			c.send()
		}
		if c.now%int64(c.every) == 0 {
			c.reportAt = c.rx.at(c.now)
		}
		if c.reportAt == c.now {
			c.feedback()
		}
		if !runs {
			continue
		}
		for len(c.due) > 0 && c.due[0].at <= c.now {
			if err := c.s.Feedback(c.now, c.due[0].body); err != nil {
				panic(err)
			}
			c.due = c.due[1:]
		}
		if c.now%int64(250*time.Millisecond) == 0 {
			c.s.Tick(c.now, uint64(c.seq))
		}
		if c.now%int64(100*time.Millisecond) == 0 {
			b := c.s.Budget(c.now)
			c.floor, c.peak = min(c.floor, b), max(c.peak, b)
		}
	}
}

func (c *client) drain() {
	c.standing = max(0, c.standing+(c.others-c.rate)*float64(tickNS)/1e9)
	c.standing = min(c.standing, c.size())
}

func (c *client) size() float64 {
	if c.buffer > 0 {
		return c.buffer
	}
	return max(c.rate/5, 15000)
}

// choose is a small allocator: down at once, up a margin later, probing for it.
func (c *client) choose() {
	if c.now%int64(100*time.Millisecond) != 0 {
		return
	}
	b := c.s.Budget(c.now)
	was := c.layer
	for c.layer > 0 && c.ladder[c.layer] > b {
		c.layer--
	}
	for c.layer+1 < len(c.ladder) && 1.1*c.ladder[c.layer+1] <= b {
		c.layer++
	}
	if c.layer != was {
		c.switches++
		if c.keyframe > 0 {
			c.media = c.keyframe // and nothing before it
		}
	}
	if c.layer+1 < len(c.ladder) {
		want := 1.1 * c.ladder[c.layer+1]
		if c.noProbe {
			c.s.Assume(c.now, want)
		} else if rate, ok := c.s.Probe(c.now, want); ok {
			c.probe, c.probeEnd = rate, c.now+int64(ProbeFor)
			c.owed = 0
		}
	}
}

func (c *client) picture() {
	if c.now%int64(40*time.Millisecond) == 0 {
		c.media += c.ladder[c.layer] / 25 * (0.7 + 0.6*c.rng.Float64())
	}
}

func (c *client) send() {
	// The publisher paces its pictures, and so does the node.
	if pace := c.s.Pace(c.now); pace > 0 {
		c.level = min(c.level+max(pace, c.media/.7)*float64(tickNS)/1e9, 1500)
	} else {
		c.level = 1e6
	}
	for n := 0; c.media > 0 && n < 3 && c.level > 0; n++ {
		size := min(c.media, 1200)
		c.level -= size
		c.packet(int(size), false)
		c.media -= size
		c.owed -= size
	}
	if c.now < c.probeEnd && c.s.Probing() {
		c.owed += c.probe * float64(tickNS) / 1e9
		for ; c.owed > 0; c.owed -= 255 {
			c.packet(255, true)
		}
	}
}

func (c *client) packet(size int, probe bool) {
	c.s.History.Sent(c.seq, c.now, size, probe)
	seq := c.seq
	c.seq++
	if !probe {
		c.offered += float64(size)
	}
	if c.standing+float64(size) > c.size() || c.rng.Float64() < c.loss || probe && c.unheard {
		return
	}
	c.standing += float64(size)
	queued := c.standing / c.rate * 1e9
	c.delays = append(c.delays, queued/1e6)
	at := c.now + int64(c.rtt/2) + int64(queued+c.rng.ExpFloat64()*float64(c.jitter))
	if c.airtime > 0 {
		at += int64(c.airtime) - at%int64(c.airtime)
	}
	c.latest = max(c.latest+int64(c.reading), c.rx.at(at))
	c.got = append(c.got, arrivalOf{seq, c.latest})
	if !probe {
		c.arrived += float64(size)
	}
}

// feedback makes the report of what arrived since the last one.
func (c *client) feedback() {
	n := 0
	for n < len(c.got) && c.got[n].at <= c.now {
		n++
	}
	if n == 0 {
		return
	}
	body := encode(c.got[:n], c.base, c.baseSet, c.count)
	c.base, c.baseSet = c.got[n-1].seq+1, true
	c.got = c.got[n:]
	c.count++
	if c.rng.Float64() < c.lose {
		return
	}
	at := c.now + int64(c.rtt/2)
	if c.held != nil {
		c.due = append(c.due, report{at, body}, report{at, c.held})
		c.held = nil
		return
	}
	if c.rng.Float64() < c.swap {
		c.held = body
		return
	}
	c.due = append(c.due, report{at, body})
	if c.rng.Float64() < c.double {
		c.due = append(c.due, report{at, body})
	}
}

// encode writes feedback with two-byte deltas, in order of sequence numbers.
func encode(got []arrivalOf, base uint16, based bool, count uint8) []byte {
	got = slices.Clone(got)
	if !based {
		base = got[0].seq
	}
	last := got[len(got)-1].seq
	n := int(last-base) + 1
	reference := got[0].at / 64e6
	out := binary.BigEndian.AppendUint16(nil, base)
	out = binary.BigEndian.AppendUint16(out, uint16(n))
	out = append(out, byte(reference>>16), byte(reference>>8), byte(reference), count)
	at, i := reference*64e6, 0
	var deltas []byte
	for done := 0; done < n; done += 7 {
		chunk := uint16(3) << 14
		for k := range 7 {
			if seq := base + uint16(done+k); done+k < n && i < len(got) && got[i].seq == seq {
				chunk |= 2 << (12 - 2*k)
				d := (got[i].at - at) / 250e3
				at += d * 250e3
				deltas = binary.BigEndian.AppendUint16(deltas, uint16(int16(d)))
				i++
			}
		}
		out = binary.BigEndian.AppendUint16(out, chunk)
	}
	return append(out, deltas...)
}

// queued is a percentile of the queue that packets met, in milliseconds.
func (c *client) queued(p float64) float64 {
	if len(c.delays) == 0 {
		return 0
	}
	d := slices.Clone(c.delays)
	slices.Sort(d)
	return d[int(p*float64(len(d)-1))]
}
