package rtc

import (
	"encoding/binary"

	"maille/relay"
)

// RTCP packet types and formats (RFC 3550, 4585, 5104).
const (
	typeSenderReport   = 200
	typeReceiverReport = 201
	typeTransport      = 205
	typePayload        = 206

	formatNack = 1
	formatCC   = 15
	formatPLI  = 1
	formatFIR  = 4
	formatAFB  = 15 // application layer feedback, of which REMB is the one known here
)

// nameREMB is how a REMB message begins (draft-alvestrand-rmcat-remb-03 section 2.2).
const nameREMB = 'R'<<24 | 'E'<<16 | 'M'<<8 | 'B'

// maxNackedAtOnce bounds the packets looked up for one RTCP datagram.
const maxNackedAtOnce = 256

// Heard is what the client last reported of a subscription (RFC 3550 section 6.4.2).
type Heard struct {
	Fraction uint8  // lost since the report before, of 256
	Lost     uint32 // packets lost in total, 24 bits
	Highest  uint32 // extended highest sequence number
	Jitter   uint32 // in RTP clock units
	RTT      int64  // nanoseconds, 0 when unknown
	At       int64  // when it came, on Packet.Arrived's clock
}

// asked is what one RTCP datagram says about one of our streams.
type asked struct {
	nacks    []uint16
	keyframe bool
	report   *Heard
	lsr      uint32 // middle 32 bits of the sender report it answers
	delay    uint32 // since then at the client, in 1/65536 s
	remb     uint64 // what the client thinks its path carries, in bits per second, 0 if it did not say
}

// read parses a compound RTCP datagram for ssrc. It reuses the space of nacks and
// stops at the first thing that is not RTCP.
func (a *asked) read(b []byte, ssrc uint32) {
	a.nacks, a.keyframe, a.report, a.remb = a.nacks[:0], false, nil, 0
	for len(b) >= 8 && b[0]>>6 == 2 {
		size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		if size < 8 || size > len(b) {
			return
		}
		p, count := b[:size], b[0]&0x1f
		switch b[1] {
		case typeSenderReport: // of a client that sends on the same connection
			a.reports(p[min(28, size):], int(count), ssrc)
		case typeReceiverReport:
			a.reports(p[8:], int(count), ssrc)
		case typeTransport:
			if count == formatNack && size >= 12 && binary.BigEndian.Uint32(p[8:]) == ssrc {
				a.lost(p[12:])
			}
		case typePayload:
			if size < 12 {
				break
			}
			switch {
			case count == formatPLI:
				a.keyframe = a.keyframe || binary.BigEndian.Uint32(p[8:]) == ssrc
			case count == formatFIR:
				for f := p[12:]; len(f) >= 8; f = f[8:] {
					a.keyframe = a.keyframe || binary.BigEndian.Uint32(f) == ssrc
				}
			case count == formatAFB && size >= 20 && binary.BigEndian.Uint32(p[12:]) == nameREMB:
				v := binary.BigEndian.Uint32(p[16:])
				a.remb = rembRate(v>>18&0x3f, v&0x3ffff)
			}
		}
		b = b[size:]
	}
}

// rembRate is mantissa times two to the exponent, at most maxREMB.
func rembRate(exponent, mantissa uint32) uint64 {
	const maxREMB = 1 << 40
	if mantissa == 0 {
		return 1 // nothing at all, but said
	}
	return min(uint64(mantissa)<<min(exponent, 40), maxREMB)
}

func (a *asked) reports(b []byte, count int, ssrc uint32) {
	for ; count > 0 && len(b) >= 24; count, b = count-1, b[24:] {
		if binary.BigEndian.Uint32(b) != ssrc {
			continue
		}
		loss := binary.BigEndian.Uint32(b[4:])
		a.report = &Heard{
			Fraction: uint8(loss >> 24), Lost: loss & 0xffffff,
			Highest: binary.BigEndian.Uint32(b[8:]), Jitter: binary.BigEndian.Uint32(b[12:]),
		}
		a.lsr, a.delay = binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	}
}

func (a *asked) lost(b []byte) {
	for ; len(b) >= 4; b = b[4:] {
		seq, mask := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		for i := uint16(0); i <= 16; i++ {
			if len(a.nacks) == maxNackedAtOnce {
				return
			}
			if i == 0 || mask>>(i-1)&1 != 0 {
				a.nacks = append(a.nacks, seq+i)
			}
		}
	}
}

// feedback answers one RTCP datagram of the client about this subscription. a is the
// caller's, to be used again.
func (s *Subscriber) feedback(datagram []byte, a *asked) {
	b := s.bound.Load()
	if b == nil {
		return
	}
	a.read(datagram, b.ssrc)
	now := s.peer.engine.now()
	if a.report != nil {
		a.report.At, a.report.RTT = now, s.roundTrip(now, a.lsr, a.delay)
		s.peer.missed(s, b, s.heard.Load(), a.report)
		s.heard.Store(a.report)
		s.told(a.report)
	}
	if a.remb > 0 {
		s.peer.estimated(b, float64(a.remb)/8)
	}
	if a.keyframe {
		s.keyframes.Add(1)
		s.wantKeyframe()
	}
	if len(a.nacks) > 0 {
		s.nacked.Add(uint64(len(a.nacks)))
		s.answer(now, a.nacks)
	}
}

// wantKeyframe passes a client's request on; package track makes many into one.
func (s *Subscriber) wantKeyframe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if spatial, ok := s.out.encoding(); ok && s.tap != nil && s.down.Kind == relay.Video {
		s.tap.Keyframe(spatial)
	}
}
