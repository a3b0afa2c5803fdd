package linkbench

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"sync"
	"time"

	"maille/bench/sim"
	"maille/mesh/identity"
	"maille/relay"
)

// Plan is the timing of a run: what is sent in [Warm, Warm+Measured) counts. The
// impairment begins at Warm+Lead and ends after Fault when the pattern is a passing one;
// then the load goes on for After.
//
// The load begins Settle after the tracks are asked for. Packets that come before a link
// has its connections tell nothing about its steady state; the pattern Cold is about
// them.
type Plan struct {
	Settle             time.Duration
	Warm, Measured     time.Duration
	Lead, Fault, After time.Duration
}

// settle is how long a link has to open its connections.
const settle = time.Second

// DefaultWarm is how long a link has to find its pace before its packets count.
const DefaultWarm = 5 * time.Second

// PlanFor is the plan of a pattern.
func PlanFor(pattern string, warm time.Duration) Plan {
	p := Plan{Settle: settle, Warm: warm, Measured: 10 * time.Second}
	switch pattern {
	case Bottleneck, Shallow:
		p.Measured, p.Fault, p.After = 20*time.Second, 20*time.Second, 25*time.Second
	case Blackhole:
		p.Lead, p.Fault, p.After = 2*time.Second, time.Second, 20*time.Second
	case Cold:
		p.Settle, p.Warm, p.Measured = 0, 0, 30*time.Second
	}
	return p
}

// bottleneckRate is bits per second of the two bottleneck patterns.
const bottleneckRate = 10e6

// Path is what a spec does to packets at rest, and during its fault.
func (s Spec) Path() (rest, fault sim.Path) {
	rest = sim.Path{Delay: s.RTT / 2, Loss: s.Loss}
	switch s.Pattern {
	case Burst:
		rest.Burst = 5
	case Reorder:
		rest.Reorder = .05
	case Duplicate:
		rest.Duplicate = .01
	}
	fault = rest
	switch s.Pattern {
	case Bottleneck:
		fault.Rate, fault.Queue = bottleneckRate, bottleneckRate/8
	case Shallow:
		fault.Rate, fault.Queue = bottleneckRate, bottleneckRate/80
	}
	return rest, fault
}

// Outcome is what came of one run.
type Outcome struct {
	Spec    Spec
	Variant string
	Quality Quality
	// Forward is UDP payload bytes from sender to receiver in the measured time,
	// acknowledgements and control included.
	Forward uint64
	// Media and Repairs are RTP bytes sent once and again in that time.
	Media, Repairs uint64
	Sent           Sent
	// Queue is the 95th percentile of the path's queueing delay, two seconds after the
	// fault began until its end.
	Queue time.Duration
	// Upper and Audio are how long after the fault's end the upper encodings and the
	// audio were back; negative when they were not.
	Upper, Audio time.Duration
	// Cold is how long after the first packet all video was there; negative when it never
	// was.
	Cold time.Duration
}

// BytesRatio is Forward over the RTP bytes offered.
func (o *Outcome) BytesRatio() float64 {
	return float64(o.Forward) / float64(max(o.Quality.MediaBytes, 1))
}

// Framing is what Forward is, without the RTP bytes sent again, over the RTP bytes sent
// once: what was shed is no merit.
func (o *Outcome) Framing() float64 {
	return float64(o.Forward-min(o.Forward, o.Repairs)) / float64(max(o.Media, 1))
}

// Repaired is the share of bytes sent again.
func (o *Outcome) Repaired() float64 { return float64(o.Repairs) / float64(max(o.Media, 1)) }

func ms(d time.Duration) float64 { return float64(d.Round(time.Microsecond)) / 1e6 }

// Row is the outcome as reported.
func (o *Outcome) Row() Row {
	ratio := o.BytesRatio()
	return Row{
		RTT: ms(o.Spec.RTT), Loss: o.Spec.Loss, Pattern: o.Spec.Pattern, Variant: o.Variant,
		InTime: o.Quality.Video, P50: ms(o.Quality.P50), P99: ms(o.Quality.P99), Audio: o.Quality.Audio,
		BytesRatio: &ratio,
	}
}

// ledger holds what became of each packet, by id.
type ledger struct {
	mu      sync.Mutex // guards samples
	samples []Sample
}

func (l *ledger) sent(p Offered, now int64) {
	l.mu.Lock()
	l.samples = append(l.samples, Sample{Sent: now, Video: p.Video, Encoding: p.Encoding, Bytes: p.Bytes})
	l.mu.Unlock()
}

func (l *ledger) got(m Mark) {
	now := relay.Now()
	l.mu.Lock()
	if m.ID >= 0 && m.ID < len(l.samples) && l.samples[m.ID].Got == 0 {
		l.samples[m.ID].Got = now
	}
	l.mu.Unlock()
}

func (s Spec) seed(base uint64) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %v", base, s)
	return h.Sum64()
}

// Run measures one variant on one row. It must be called in a synctest bubble, which no
// context from outside may enter, and leaves nothing behind.
func Run(spec Spec, variant string, load Load, plan Plan, seed uint64) (Outcome, error) {
	out := Outcome{Spec: spec, Variant: variant, Upper: -1, Audio: -1, Cold: -1}
	ctx := context.Background()
	n := sim.New(spec.seed(seed))
	defer n.Close()
	rest, fault := spec.Path()
	hosts := [2]*sim.Host{n.Host(senderName, "west", "10.0.0.1"), n.Host(receiverName, "east", "10.0.0.2")}
	n.Path("west", "east", rest)

	ca, err := identity.NewCA("bench", 0)
	if err != nil {
		return out, err
	}
	var ends [2]Ends
	for i, h := range hosts {
		conn, err := h.ListenPacket("udp", ":7883")
		if err != nil {
			return out, err
		}
		defer conn.Close()
		id, err := ca.Issue(h.Name(), h.Region(), []string{h.IP().String()}, 0)
		if err != nil {
			return out, err
		}
		ends[i] = Ends{Conn: conn, Identity: id, Load: load}
	}
	addr := netip.MustParseAddrPort("10.0.0.2:7883")
	ends[0].To = udpAddr(addr)

	var book ledger
	receiver, err := OpenReceiver(variant, ends[1], book.got)
	if err != nil {
		return out, err
	}
	defer receiver.Close()
	sender, err := OpenSender(variant, ends[0])
	if err != nil {
		return out, err
	}
	defer sender.Close()
	ready, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := sender.Ready(ready); err != nil {
		return out, fmt.Errorf("%s on %v: %w", variant, spec, err)
	}
	if err := wait(ctx, plan.Settle); err != nil {
		return out, err
	}
	gauge, err := startGauge(hosts[0], hosts[1])
	if err != nil {
		return out, err
	}
	defer gauge.close()

	offer := NewOffer(seed, load)
	start := relay.Now()
	at := func(d time.Duration) int64 { return start + int64(d) }
	from, to := plan.Warm+plan.Lead, plan.Warm+plan.Lead+plan.Fault
	var before, after Sent
	var bytesBefore uint64
	events := []event{
		{plan.Warm, func() { before, bytesBefore = sender.Sent(), forward(n) }},
		{plan.Warm + plan.Measured, func() { after, out.Forward = sender.Sent(), forward(n)-bytesBefore }},
	}
	if plan.Fault > 0 {
		events = append(events, event{from, func() { begin(n, spec, fault) }}, event{to, func() { heal(n, spec, rest) }})
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	// Half a second more is offered than measured, so that what follows the last packet
	// shows its loss.
	end := max(plan.Warm+plan.Measured+500*time.Millisecond, to+plan.After)
	if err := play(ctx, offer, start, end, events, func(p Offered, now int64) {
		book.sent(p, now)
		sender.Send(p, Mark{ID: p.ID, At: now})
	}); err != nil {
		return out, err
	}
	if err := wait(ctx, time.Second+3*spec.RTT); err != nil {
		return out, err
	}

	book.mu.Lock()
	defer book.mu.Unlock()
	out.Quality = Judge(book.samples, spec.RTT, at(plan.Warm), at(plan.Warm+plan.Measured))
	out.Sent = sender.Sent()
	if d, ok := Restored(book.samples, spec.RTT, start, func(s Sample) bool { return s.Video }); ok {
		out.Cold = d
	}
	// A new session counts from 0.
	if after.MediaBytes >= before.MediaBytes && after.RepairBytes >= before.RepairBytes {
		out.Media, out.Repairs = after.MediaBytes-before.MediaBytes, after.RepairBytes-before.RepairBytes
	}
	if plan.Fault > 0 {
		out.Queue = gauge.queue(at(from+2*time.Second), at(to), rest.Delay)
		if d, ok := Restored(book.samples, spec.RTT, at(to), func(s Sample) bool { return s.Video && s.Encoding > 0 }); ok {
			out.Upper = d
		}
		if d, ok := Restored(book.samples, spec.RTT, at(to), func(s Sample) bool { return !s.Video }); ok {
			out.Audio = d
		}
	}
	return out, nil
}

// event is something that happens while a load is played.
type event struct {
	at time.Duration
	do func()
}

// play offers the packets until end, each when it is due.
func play(ctx context.Context, o *Offer, start int64, end time.Duration, events []event, send func(Offered, int64)) error {
	for {
		p, more := o.Next()
		if !more || p.At >= end {
			p.At = end
		}
		for len(events) > 0 && events[0].at <= p.At {
			if err := until(ctx, start+int64(events[0].at)); err != nil {
				return err
			}
			events[0].do()
			events = events[1:]
		}
		if err := until(ctx, start+int64(p.At)); err != nil {
			return err
		}
		if p.At == end {
			return nil
		}
		send(p, relay.Now())
	}
}

// until waits for an instant of relay.Now.
func until(ctx context.Context, at int64) error {
	if d := at - relay.Now(); d > 0 {
		return wait(ctx, time.Duration(d))
	}
	return nil
}

func begin(n *sim.Network, s Spec, fault sim.Path) {
	if s.Pattern == Blackhole {
		n.Cut("west", "east")
		return
	}
	n.Path("west", "east", fault)
}

func heal(n *sim.Network, s Spec, rest sim.Path) {
	if s.Pattern == Blackhole {
		n.Heal("west", "east")
		return
	}
	n.Path("west", "east", rest)
}

// forward is the UDP payload bytes handed to the path so far. The gauge's are among
// them: 0.01 %.
func forward(n *sim.Network) uint64 { return n.Stats("west", "east").SentBytes }
