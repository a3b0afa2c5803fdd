package rtc

import (
	"time"

	"github.com/pion/rtcp"

	"maille/relay"
)

const (
	// reportTick is how soon a new subscription gets its first sender report, without
	// which its sound and picture are not in step.
	reportTick = 250 * time.Millisecond
	// reportEvery is the interval after that.
	reportEvery = int64(1500 * time.Millisecond)
	// reportsTogether fit one datagram: 28 bytes each.
	reportsTogether = 30
	// clockStale is when an origin's clock pair is too old to extrapolate: with 50 ppm
	// of drift a minute is 3 ms.
	clockStale = int64(time.Minute)
)

// sentReport remembers a sender report, to know the round trip from its answer.
type sentReport struct {
	lsr uint32
	at  int64
}

// report sends the sender reports of all subscriptions, and what waits in the pacer.
func (p *Peer) report() {
	tick, pace := time.NewTicker(reportTick), time.NewTimer(reportTick)
	defer tick.Stop()
	defer pace.Stop()
	defer p.path.pacer.close()
	for {
		select {
		case <-p.done:
			return
		case <-p.path.pacer.wake:
			pace.Reset(paceTick)
			continue
		case <-pace.C:
			if p.drain(p.engine.now()) {
				pace.Reset(paceTick)
			}
			continue
		case <-tick.C:
		}
		if p.State() != Connected {
			continue
		}
		now := p.engine.now()
		p.divide(now)
		var batch []rtcp.Packet
		p.each(func(s *Subscriber) {
			s.tick(now)
			if sr := s.senderReport(now); sr != nil {
				batch = append(batch, sr)
			}
		})
		for len(batch) > 0 {
			n := min(len(batch), reportsTogether)
			if err := p.pc.WriteRTCP(batch[:n]); err != nil {
				p.log.Debug("sender reports", "err", err)
			}
			batch = batch[n:]
		}
	}
}

// senderReport mints a report from the publisher's own clock pairs, carried on to
// now: the NTP time is the publisher's, so that its tracks line up with each other on
// whichever node they leave the mesh. nil when it is not time yet or no pair is known.
func (s *Subscriber) senderReport(now int64) rtcp.Packet {
	b := s.bound.Load()
	if b == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.reported != 0 && now-s.reported < reportEvery || s.sent.Load() == 0 {
		return nil
	}
	c, ok := s.out.clock(s.track)
	if !ok || now-c.Arrived > clockStale || now < c.Arrived {
		return nil
	}
	ntp, origin := carry(c, now, s.out.codec.ClockRate())
	stamp, ok := s.out.numbers.MapClock(relay.Clock{Spatial: c.Spatial, RTP: origin})
	if !ok {
		return nil
	}
	s.reported = now
	s.reports[s.reportAt%len(s.reports)] = sentReport{lsr: uint32(ntp >> 16), at: now}
	s.reportAt++
	return &rtcp.SenderReport{
		SSRC: b.ssrc, NTPTime: ntp, RTPTime: stamp,
		PacketCount: uint32(s.sent.Load()), OctetCount: uint32(s.bytes.Load()),
	}
}

// carry extrapolates a clock pair to now at the codec's clock rate.
func carry(c relay.Clock, now int64, rate uint32) (ntp uint64, rtp uint32) {
	d := uint64(now - c.Arrived)
	seconds, rest := d/1e9, d%1e9
	ntp = c.NTP + seconds<<32 + rest<<32/1e9
	return ntp, c.RTP + uint32(seconds*uint64(rate)+rest*uint64(rate)/1e9)
}

// roundTrip computes the time to the client and back from its answer to a sender
// report (RFC 3550 section 6.4.1), 0 when it answers none that is remembered.
func (s *Subscriber) roundTrip(now int64, lsr, delay uint32) int64 {
	if lsr == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.reports {
		if r.lsr == lsr {
			return max(0, now-r.at-int64(delay)*1e9/65536)
		}
	}
	return 0
}
