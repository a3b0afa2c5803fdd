package link

import (
	"errors"
	"io"
	"sync"

	"maille/relay"

	linkpb "maille/proto/link"
)

// outbox is the bounded queue in front of the control stream.
type outbox struct {
	mu      sync.Mutex // guards pending
	pending []*linkpb.Control
	ready   chan struct{}
}

func (o *outbox) init() { o.ready = make(chan struct{}, 1) }

func (o *outbox) put(c *linkpb.Control) bool {
	o.mu.Lock()
	full := len(o.pending) >= controlQueue
	if !full {
		o.pending = append(o.pending, c)
	}
	o.mu.Unlock()
	select {
	case o.ready <- struct{}{}:
	default:
	}
	return !full
}

func (o *outbox) take() []*linkpb.Control {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.pending
	o.pending = nil
	return all
}

// tell queues a control message that must arrive; when the peer has stopped reading,
// the session ends instead.
func (s *Session) tell(c *linkpb.Control) {
	if !s.outbox.put(c) {
		s.end(ErrFull)
	}
}

func (s *Session) writeControl() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.outbox.ready:
		}
		for _, c := range s.outbox.take() {
			if err := writeMessage(s.stream, c); err != nil {
				s.fail(err)
				return
			}
		}
	}
}

func (s *Session) readControl() {
	for {
		m := new(linkpb.Control)
		if err := readMessage(s.stream, maxControl, m); err != nil {
			if errors.Is(err, io.EOF) {
				err = ErrProtocol
			}
			s.fail(err)
			return
		}
		s.heard.Store(relay.Now())
		if err := s.handleControl(m); err != nil {
			s.fail(err)
			return
		}
	}
}

// handleControl acts on one message. What names an unknown handle is ignored: the two
// sides close streams at the same time.
func (s *Session) handleControl(m *linkpb.Control) error {
	switch b := m.Body.(type) {
	case *linkpb.Control_Demand:
		return s.demanded(b.Demand)
	case *linkpb.Control_Opened:
	case *linkpb.Control_Refused:
		s.ins.fail(b.Refused.Handle, refusedBy(b.Refused.Reason))
	case *linkpb.Control_Keyframe:
		spatial := b.Keyframe.Spatial
		if spatial >= relay.MaxSpatial || s.openings.ask(b.Keyframe.Handle, func(w *wishes) { w.keyframes[spatial] = true }) {
			break
		}
		if o := s.outs.get(b.Keyframe.Handle); o != nil {
			o.asked(uint8(spatial))
		}
	case *linkpb.Control_Resend:
		if o := s.outs.get(b.Resend.Handle); o != nil && b.Resend.Encoding < relay.MaxSpatial {
			o.resend(uint8(b.Resend.Encoding), b.Resend.Seqs)
		}
	case *linkpb.Control_Clock:
		if u := s.ins.get(b.Clock.Handle); u != nil && b.Clock.Spatial < relay.MaxSpatial {
			u.track.Clock(relay.Clock{
				Spatial: uint8(b.Clock.Spatial), NTP: b.Clock.Ntp, RTP: b.Clock.Rtp, Arrived: relay.Now(),
			})
		}
	case *linkpb.Control_Closed:
		opens := s.openings.ask(b.Closed.Handle, func(w *wishes) { w.closed = true })
		if o := s.outs.get(b.Closed.Handle); o != nil && !opens {
			o.close()
		}
	case *linkpb.Control_Ended:
		s.ins.fail(b.Ended.Handle, ErrEnded)
	case *linkpb.Control_Stats:
		if u := s.ins.get(b.Stats.Handle); u != nil {
			u.peerSent.Store(b.Stats.Packets)
			u.peerShed.Store(b.Stats.Shed)
		}
	case *linkpb.Control_Lanes:
		if b.Lanes.Narrow {
			s.narrow.Store(true)
		} else {
			s.lanes.wish(int(b.Lanes.Want))
		}
	}
	return nil
}
