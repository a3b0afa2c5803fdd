package link

import (
	"maille/relay"
	"maille/relay/wire"
)

// receive acts on one datagram, in the goroutine of the lane it came by.
func (s *Session) receive(l *lane, b []byte, now int64) {
	s.hear(now)
	var err error
	switch wire.TypeOf(b) {
	case wire.TypeMedia, wire.TypePadded:
		err = s.receiveBundle(b, now)
	case wire.TypeReport:
		err = s.reported(b, now)
	case wire.TypeAsk:
		err = s.asked(b)
	case wire.TypeProbe:
		var id uint32
		if id, err = wire.ParseProbe(b); err == nil {
			l.offer(wire.AppendProbe(newDatagram(), wire.TypeEcho, id))
		}
	case wire.TypeEcho:
		var id uint32
		if id, err = wire.ParseProbe(b); err == nil {
			s.echoed(id, now)
		}
	default:
		err = wire.ErrInvalid
	}
	if err != nil {
		s.counters.drops.Add(relay.DropMalformed)
	}
}

func (s *Session) receiveBundle(b []byte, now int64) error {
	seq, rest, err := wire.ParseBundle(b)
	if err != nil {
		return err
	}
	s.counters.received.datagrams.Add(1)
	s.counters.received.bytes.Add(uint64(len(b)))
	if s.arrivals.note(seq, now) {
		s.wake()
	}
	for len(rest) > 0 {
		var f wire.Frame
		if rest, err = f.Next(rest); err != nil {
			return err
		}
		s.counters.received.packets.Add(1)
		if u := s.ins.get(uint32(f.Handle)); u != nil {
			u.frame(&f, now)
		} else {
			s.counters.drops.Add(relay.DropUnknown)
		}
	}
	return nil
}

// asked answers a request for what the peer misses.
func (s *Session) asked(b []byte) error {
	var buf [wire.MaxGaps]wire.Gap
	gaps, err := wire.ParseAsk(b, buf[:0])
	if err != nil {
		return err
	}
	for _, g := range gaps {
		if g.Encoding >= relay.MaxSpatial {
			return wire.ErrInvalid
		}
		if o := s.outs.get(uint32(g.Handle)); o != nil {
			o.repair(g.Encoding, g.From, g.Mask)
		}
	}
	return nil
}
