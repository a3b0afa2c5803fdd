package bwe

import (
	"math"
	"time"

	"maille/relay/twcc"
)

const (
	// senderStart is what a client is sent before anything is known of its path, in bytes
	// per second: a first picture of everybody in a small meeting, on any path that video
	// meetings are held over.
	senderStart = 300_000
	// senderLeast is the least cap of what waits for proof: audio is not held to it.
	senderLeast = 6_000
	// senderMost bounds what a client can make this node send by reporting lies.
	senderMost = 8_000_000
	// maxSamples kept between reports: more are let go.
	maxSamples = 512
	// blindFor is how long a path without any report is held to the start.
	blindFor = int64(2 * time.Second)
	// deafAfter without a report, the path carries less than is sent: reports come at
	// least every 250 ms while anything arrives.
	deafAfter = int64(1500 * time.Millisecond)
	deafShare = 0.7
	// restAfter without any packet, queues have drained.
	restAfter = int64(400 * time.Millisecond)
)

// Sender estimates what the path to one client carries, from its transport-wide
// feedback. Unlike a link's, a client's path carries no more than was proven: by what
// was sent, or by a probe. It is guarded by its owner; History.Sent is not.
type Sender struct {
	History twcc.History

	estimate Estimator
	blind    *lossOnly // of a client that gives no such feedback; nil else
	reader   twcc.Reader
	samples  []Sample
	loss     lossMeter
	probe    probe
	first    int64 // when it began to be used
	heard    int64 // last report that told of a packet
	waiting  int64 // since when a report is due, 0 if none is
	sent     uint64
	unheard  int // probes since a packet of one arrived
}

// NewSender returns an estimator of a path about which nothing is known.
func NewSender() *Sender {
	return &Sender{
		estimate: Estimator{proof: proof{start: senderStart, least: senderLeast, most: senderMost}},
		loss:     lossMeter{limit: lossLimit},
	}
}

// Feedback takes a report: what follows the SSRCs in the RTCP packet. An error means
// that it was ignored. So is whatever it tells of packets that were not sent.
func (s *Sender) Feedback(now int64, b []byte) error {
	if err := s.reader.Reset(b); err != nil {
		return err
	}
	s.samples = s.samples[:0]
	r := &s.reader
	for r.Next() {
		if !r.Received {
			if p, ok := s.History.Missing(r.Seq, now); ok {
				if s.tells(p) {
					s.loss.lost++
				}
				s.probe.missing(p)
			}
			continue
		}
		p, ok := s.History.Received(r.Seq, now)
		if !ok {
			continue
		}
		if p.Probe {
			s.unheard = 0
		}
		if s.tells(p) {
			s.loss.came(p.Lost)
		}
		s.probe.came(p, r.At)
		s.samples = append(s.samples, Sample{Sent: p.Sent, Arrived: r.At, Size: p.Size})
	}
	if len(s.samples) > 0 {
		s.heard, s.waiting = now, 0
	}
	s.estimate.Report(now, s.loss.share, s.samples)
	if cap(s.samples) > maxSamples {
		s.samples = nil
	}
	s.weigh(now)
	s.judge(now)
	return nil
}

// tells whether a packet's loss tells anything new: not if it left before a queue, which
// may have overflowed, had time to drain after the last decrease, nor if the client seems
// not to take what probes consist of.
func (s *Sender) tells(p twcc.Packet) bool {
	return p.Sent >= s.estimate.held && (!p.Probe || s.unheard == 0)
}

// weigh gives way to loss that no queue explains.
func (s *Sender) weigh(now int64) {
	switch s.loss.settle(now) {
	case lossHigh:
		s.estimate.Limit(now)
		s.estimate.proof.disappointed = true
		s.estimate.cap = max(s.estimate.cap*cutLeast, senderLeast)
	case lossOthers:
		if !s.estimate.exceeded() {
			s.estimate.prove(0.9 * s.estimate.fair)
		}
	}
}

// Budget is what may be sent of video before long, in bytes per second; infinite while
// nothing is known and the client seems to give no reports.
func (s *Sender) Budget(now int64) float64 {
	if s.first == 0 {
		s.first = now
	}
	switch {
	case s.estimate.ready:
		return s.estimate.lasting()
	case s.blind != nil:
		return s.blind.budget()
	case now-s.first > blindFor:
		return math.Inf(1)
	}
	return senderStart
}

// Pace is how fast video should leave, in bytes per second; 0 is no limit, as long as
// the path was never found too narrow. It is below the Budget while a queue drains and
// above it in a probe, until that shows a queue.
func (s *Sender) Pace(now int64) float64 {
	if !s.estimate.ready || !s.estimate.proof.disappointed {
		return 0
	}
	if s.Probing() && now <= s.probe.until {
		return max(s.estimate.cap, s.probe.rate)
	}
	return s.estimate.cap
}

// Tick lets time pass; it is due every 250 ms or so. sent counts whatever leaves with a
// number, in any unit: the cap shrinks while no report comes of it, and while nothing
// leaves, a queue drains.
func (s *Sender) Tick(now int64, sent uint64) {
	quiet := sent == s.sent
	s.sent = sent
	s.judge(now)
	switch {
	case s.heard == 0:
	case quiet && now-s.heard > restAfter:
		s.waiting = 0
		s.estimate.rest()
	case !quiet && s.waiting == 0:
		s.waiting = now
	case s.waiting != 0 && now-s.waiting > deafAfter:
		s.estimate.cap = max(s.estimate.cap*deafShare, senderLeast)
		s.estimate.settled *= deafShare
		s.waiting = now - deafAfter/2
	}
}

// Blind is for a client that will give no transport-wide feedback: its receiver reports
// must do, see Lost.
func (s *Sender) Blind() {
	if s.blind == nil {
		s.blind = &lossOnly{loss: lossMeter{limit: lossLimit}}
	}
}

// Lost takes a receiver report (RFC 3550 section 6.4.2) on video: how many packets were
// expected since the last one and how many did not come. rate is what is sent now, in
// bytes per second. It counts for a Blind client only.
func (s *Sender) Lost(now int64, expected, lost int, rate float64) {
	if s.blind != nil && !s.estimate.ready {
		s.blind.report(now, expected, lost, rate)
	}
}

// Reports tells whether the client reports at all.
func (s *Sender) Reports() bool { return s.estimate.ready }

// Narrow tells that the path was found too narrow for what was sent, at some time.
func (s *Sender) Narrow() bool { return s.estimate.proof.disappointed }

// Queue is the delay of the queue that stands on the path.
func (s *Sender) Queue() time.Duration { return s.estimate.Queue() }

// Delivered is what arrives, in bytes per second.
func (s *Sender) Delivered() float64 { return s.estimate.Delivered() }

// Loss is the share of packets lost lately, 0 to 1.
func (s *Sender) Loss() float64 {
	if s.blind != nil && !s.estimate.ready {
		return s.blind.loss.share
	}
	return s.loss.share
}
