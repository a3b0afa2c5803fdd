package link

import (
	"math"
	"time"

	"maille/relay"
)

const (
	// suspectTrips round trips and suspectSlack are what a suspected peer has to answer in.
	suspectTrips = 1.5
	// suspectSlack beyond a round trip and a half lets two more probes be sent and answered.
	suspectSlack = 100 * time.Millisecond
	// outageAfter is a silence in which QUIC has backed off so far that new lanes are up
	// before old ones would try again.
	outageAfter = int64(500 * time.Millisecond)
	// Nothing heard for halfDeaf is no time to judge what the path carries: reports come
	// several times in it.
	halfDeaf = int64(120 * time.Millisecond)
	// initialWindow is what quic-go lets a new connection have in flight.
	initialWindow = 32 * widePacket
)

// Suspect tells that the peer's process may have died: some connection to it was reset. It
// is probed at once, and if it does not answer, the session ends long before silence
// alone would end it.
func (s *Session) Suspect() {
	s.suspected.CompareAndSwap(0, relay.Now())
	s.wake()
}

// suspicion is how long a suspected peer has to answer.
func (s *Session) suspicion() int64 {
	return int64(suspectSlack) + int64(suspectTrips*float64(min(s.RTT(), downAfter/2)))
}

// hear notes that something came. After an outage it wakes the upkeep.
func (s *Session) hear(now int64) {
	if before := s.heard.Swap(now); now-before > outageAfter {
		s.revived.Store(true)
		s.wake()
	}
}

// revive replaces the lanes after an outage. Their windows are full of what was lost, and
// they wait for timeouts that have doubled several times; until others are up, audio goes
// by the control connection. What was lost tells nothing of the path as it is.
func (s *Session) revive(now int64) {
	if !s.revived.Swap(false) {
		return
	}
	s.sent.forget()
	s.count.forgive(now)
	s.lanes.mu.Lock()
	own := s.lanes.own
	s.lanes.mu.Unlock()
	demand := math.Float64frombits(s.counters.demand.Load())
	s.wantLanes(min(max(own, int(demand*s.RTT().Seconds()/initialWindow)+1), pastMost))
	for _, l := range s.lanes.all() {
		if s.dialer {
			s.retire(l)
		} else {
			_ = l.conn.CloseWithError(codeClosed, "") // the peer dials another
		}
	}
	s.queue.wakeAll()
}

// forget takes everything off the log that is not reported yet.
func (g *sentLog) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.ring {
		if d := &g.ring[i]; d.l != nil {
			d.l.flying.Add(-int64(d.size))
			d.l = nil
		}
	}
}

// cut tells that nothing was heard for so long that the path may be cut.
func (s *Session) cut(now int64) bool { return now-s.heard.Load() > halfDeaf }

// bypass is the way of audio while there is no lane, or the path may be cut and the lanes
// have filled their windows: the control connection, nil while it is stuck.
func (s *Session) bypass(now int64) *lane {
	l := s.control
	l.refresh(now)
	if len(l.out) >= laneQueue-1 {
		return nil
	}
	return l
}
