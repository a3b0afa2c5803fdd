package link

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	linkpb "maille/proto/link"
)

// laneSet holds a session's lanes. Readers take the slice as it is.
type laneSet struct {
	list  atomic.Pointer[[]*lane] // written under mu
	mu    sync.Mutex              // guards the fields below
	own   int                     // lanes this side wants
	peers int                     // lanes the peer wants
	ended bool
	// changed wakes the dialer: a lane was lost or more are wanted.
	changed chan struct{}
}

func (ls *laneSet) init(lanes int) {
	ls.own = lanes
	ls.list.Store(new([]*lane))
	ls.changed = make(chan struct{}, 1)
}

func (ls *laneSet) all() []*lane { return *ls.list.Load() }

// addLane makes conn a lane of the session; false when it has enough or is ending.
func (s *Session) addLane(conn *quic.Conn, narrow bool) bool {
	ls := &s.lanes
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.ended || len(ls.all()) >= maxLanes {
		return false
	}
	l := newLane(s, conn)
	if narrow {
		l.limit.Store(narrowDatagram)
	}
	list := append(slices.Clone(ls.all()), l)
	ls.list.Store(&list)
	l.start()
	s.queue.wakeAll()
	return true
}

func (ls *laneSet) remove(l *lane) {
	l.gone.Store(true)
	ls.mu.Lock()
	list := slices.DeleteFunc(slices.Clone(ls.all()), func(o *lane) bool { return o == l })
	ls.list.Store(&list)
	ls.mu.Unlock()
	ls.signal()
}

func (ls *laneSet) signal() {
	select {
	case ls.changed <- struct{}{}:
	default:
	}
}

// wish notes how many lanes the peer wants.
func (ls *laneSet) wish(n int) {
	ls.mu.Lock()
	ls.peers = min(n, maxLanes)
	ls.mu.Unlock()
	ls.signal()
}

// wantLanes sets how many lanes this side wants, and tells the dialing side.
func (s *Session) wantLanes(n int) {
	n = min(max(n, 1), s.e.cfg.MaxLanes)
	s.lanes.mu.Lock()
	same := s.lanes.own == n
	s.lanes.own = n
	s.lanes.mu.Unlock()
	if same {
		return
	}
	if s.dialer {
		s.lanes.signal()
		return
	}
	s.tell(&linkpb.Control{Body: &linkpb.Control_Lanes{Lanes: &linkpb.Lanes{Want: uint32(n)}}})
}

// want is how many lanes there should be.
func (ls *laneSet) want() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return max(ls.own, ls.peers, 1)
}

// close ends every lane; none is added from now on.
func (ls *laneSet) close(code quic.ApplicationErrorCode) {
	ls.mu.Lock()
	ls.ended = true
	ls.mu.Unlock()
	for _, l := range ls.all() {
		_ = l.conn.CloseWithError(code, "")
	}
}

// dialAtOnce bounds the lane handshakes under way: each costs a millisecond of CPU at
// both ends.
const dialAtOnce = 32

// dialLanes keeps as many lanes as are wanted. Only the dialing side runs it.
func (s *Session) dialLanes() {
	results := make(chan bool, dialAtOnce)
	dialing, wait := 0, redialMin
	var again <-chan time.Time // set after a failure: nothing is dialed until then
	for {
		s.shedLanes()
		for again == nil && dialing < dialAtOnce && len(s.lanes.all())+dialing < s.lanes.want() {
			dialing++
			s.wg.Go(func() { results <- s.dialLane() })
		}
		select {
		case <-s.ctx.Done():
			return // those under way end with the session, which waits for them
		case <-s.lanes.changed:
		case <-again:
			again = nil
		case up := <-results:
			dialing--
			if up {
				wait = redialMin
			} else if again == nil {
				again = time.After(wait)
				wait = min(2*wait, redialMax)
			}
		}
	}
}

// shedLanes retires the newest lanes when fewer are wanted. A retired lane is not chosen
// any more, and closes once what it carries has had time to arrive.
func (s *Session) shedLanes() {
	for {
		list := s.lanes.all()
		if len(list) <= s.lanes.want() {
			return
		}
		s.retire(list[len(list)-1])
	}
}

func (s *Session) retire(l *lane) {
	s.lanes.remove(l)
	s.wg.Go(func() {
		select {
		case <-time.After(retireAfter):
		case <-s.ctx.Done():
		}
		_ = l.conn.CloseWithError(codeClosed, "")
	})
}

// retireAfter exceeds any round trip with a timeout of QUIC's on top.
const retireAfter = 2 * time.Second

// widePatience is how long a lane's handshake with wide packets may take when no lane
// ever came up: then the path may carry narrow ones only.
const widePatience = 2 * time.Second

// dialLane dials one lane; false when it did not come up.
func (s *Session) dialLane() bool {
	ctx, packet := s.ctx, uint16(widePacket)
	if s.narrow.Load() {
		packet = narrowPacket
	} else if len(s.lanes.all()) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, widePatience)
		defer cancel()
	}
	conn, _, err := s.e.greet(ctx, s.peer, s.remote.String(), linkpb.Hello_KIND_LANE, s.id, packet)
	if err != nil {
		if packet == widePacket && ctx.Err() != nil && len(s.lanes.all()) == 0 {
			s.narrowed()
		}
		return false
	}
	if !s.addLane(conn, packet == narrowPacket) {
		_ = conn.CloseWithError(codeClosed, "")
		return false
	}
	return true
}

// narrowed makes lanes from now on use the smallest packets, at both ends.
func (s *Session) narrowed() {
	if s.narrow.Swap(true) || s.ctx.Err() != nil {
		return
	}
	s.e.log.Info("path carries no full packets", "peer", s.peer)
	s.tell(&linkpb.Control{Body: &linkpb.Control_Lanes{Lanes: &linkpb.Lanes{Narrow: true}}})
}

// noteWait keeps the longest time a packet waited.
func (s *Session) noteWait(waited int64) {
	if waited > s.waited.Load() {
		s.waited.Store(waited)
	}
	if waited > s.queuedFor.Load() {
		s.queuedFor.Store(waited)
	}
}

// tuneLanes decides on the number of lanes, with every probe.
func (s *Session) tuneLanes(now int64) {
	if s.e.cfg.MaxLanes == s.e.cfg.Lanes {
		return
	}
	s.lanes.mu.Lock()
	own := s.lanes.own
	s.lanes.mu.Unlock()
	s.count.least, s.count.most = s.e.cfg.Lanes, s.e.cfg.MaxLanes
	loss, delivered, congested := s.sent.path()
	want, full := s.count.decide(now, laneState{
		lanes: len(s.lanes.all()), want: own, rtt: s.RTT(),
		waited: time.Duration(s.waited.Swap(0)), blocked: time.Duration(s.blocked.Swap(0)),
		loss: loss, arrived: s.counters.arrived.Load(), lost: s.counters.lost.Load(), congested: congested,
		shed: s.shedding && s.sent.rateCap() == 0, room: s.lanes.room() / max(delivered, 1),
	})
	switch {
	case full:
		s.sent.limit(now)
	case s.count.acquitted:
		s.sent.forgive()
	}
	s.wantLanes(want)
}

// growing tells that lanes were added lately or are on their way.
func (s *Session) growing(now int64) bool {
	return len(s.lanes.all()) < s.lanes.want() || s.count.grew && now-s.count.changed < int64(2*time.Second)
}

// room is what all lanes together may send, in bytes per second.
func (ls *laneSet) room() (sum float64) {
	for _, l := range ls.all() {
		sum += math.Float64frombits(l.pace.Load())
	}
	return sum
}
