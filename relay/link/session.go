package link

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"maille/relay"
	"maille/relay/wire"
)

// Session is a live session to one peer. A new one is made after every loss; nothing
// of the old one carries over.
type Session struct {
	e      *Endpoint
	peer   string
	id     uint64
	dialer bool
	remote net.Addr

	conn    *quic.Conn // the control connection
	control *lane      // its datagrams: probes, before and beside the lanes
	stream  *quic.Stream
	outbox  outbox

	ctx    context.Context // done when the session ends; its cause is why
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	downed chan struct{} // closed after Handler.Down returned

	heard atomic.Int64 // relay.Now of the last thing received
	// revived: something came after an outage.
	revived atomic.Bool
	rtt     atomic.Int64 // smoothed, nanoseconds; 0 before the first echo
	// suspected is since when the peer may be dead, 0 if nothing says so.
	suspected atomic.Int64
	// probed is when the last probes left, by id; 0 once answered.
	probed [16]atomic.Int64

	narrow atomic.Bool // the path carries no packets of widePacket bytes

	small atomic.Bool // datagrams are smaller than wire.MaxDatagram

	lanes    laneSet
	queue    queue
	sent     sentLog
	arrivals arrivalLog
	ins      inTable
	outs     outTable
	openings openings
	held     atomic.Int32 // datagrams that came and are in no hand yet, of all lanes
	channels channels
	joiner   struct {
		sync.Mutex // guards the Joiner
		wire.Joiner
	}
	waited    atomic.Int64  // longest wait in the queue since the last decision on lanes
	queuedFor atomic.Int64  // longest wait in the queue since the last decision on shedding
	blocked   atomic.Int64  // time since then in which only lanes were missing
	nudge     chan struct{} // wakes the upkeep before its timer
	counters  counters
	budget    budget
	past      budget // what may go of it
	seconds   seconds
	refusals  reasons

	// Touched by the upkeep only.
	gapped        []*Upstream
	copies        []askCopy // oldest first
	turn          int
	probes        int
	count         laneCount
	shed          shedder
	loads         []layerLoad
	shedAt        int64
	shedding      bool // some layer is shed
	droppedBefore uint64
	roomBefore    float64 // what the lanes allowed when it last grew, and when that was
	roomAt        int64
}

func newSession(e *Endpoint, peer string, id uint64, conn *quic.Conn, stream *quic.Stream, dialer bool) *Session {
	s := &Session{
		e: e, peer: peer, id: id, dialer: dialer, remote: conn.RemoteAddr(),
		conn: conn, stream: stream, downed: make(chan struct{}),
		nudge: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancelCause(e.ctx)
	s.control = newLane(s, conn)
	s.control.limit.Store(narrowDatagram)
	s.outbox.init()
	s.queue.init()
	s.lanes.init(e.cfg.Lanes)
	s.channels.init()
	s.heard.Store(relay.Now())
	return s
}

// Peer is the peer node's name.
func (s *Session) Peer() string { return s.peer }

// RTT is the smoothed round trip of the probes, 0 until the first came back.
func (s *Session) RTT() time.Duration { return time.Duration(s.rtt.Load()) }

// Done is closed when the session ends; Handler.Down follows.
func (s *Session) Done() <-chan struct{} { return s.ctx.Done() }

// Remote is the peer's address.
func (s *Session) Remote() net.Addr { return s.remote }

// Dialer tells whether this side dialed the session: it is the one with the lower name.
func (s *Session) Dialer() bool { return s.dialer }

// end makes the session end; the first error is the reason.
func (s *Session) end(err error) { s.cancel(err) }

// run owns the session from Up to Down.
func (s *Session) run() {
	s.e.log.Debug("link up", "peer", s.peer, "addr", s.remote)
	s.e.cfg.Handler.Up(s)
	for _, f := range []func(){
		s.readControl, s.writeControl, s.acceptChannels, s.upkeep, s.bundle,
	} {
		s.wg.Go(f)
	}
	s.wantLanes(s.e.firstLanes(s.peer))
	s.control.start()
	if s.dialer {
		s.wg.Go(s.dialLanes)
	}
	<-s.ctx.Done()
	err := context.Cause(s.ctx)
	code := quic.ApplicationErrorCode(codeFailed)
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrForgotten) {
		code = codeClosed
	}
	_ = s.conn.CloseWithError(code, err.Error())
	s.lanes.close(code)
	s.channels.close()
	s.wg.Wait()

	s.ins.end(err)
	s.outs.end()
	s.queue.release()
	s.seconds.release()
	s.joiner.Lock()
	s.joiner.Reset()
	s.joiner.Unlock()
	s.e.log.Debug("link down", "peer", s.peer, "err", err)
	s.e.cfg.Handler.Down(s, err)
	s.e.discharge(s)
}

// fail ends the session because of what came from, or went to, the peer. It is called
// where an error may be only the echo of the session ending.
func (s *Session) fail(err error) {
	if s.ctx.Err() == nil {
		s.end(err)
	}
}

// upkeep watches for silence, probes, and sends what feedback is due.
func (s *Session) upkeep() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var (
		id        uint32
		nextProbe = relay.Now()
		asked     int64
		checked   int64 // the suspicion that was probed for
	)
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-timer.C:
		case <-s.nudge:
		}
		now := relay.Now()
		silent := s.heard.Load() + int64(downAfter+probeEvery)
		if now > silent {
			s.end(ErrSilent)
			return
		}
		suspected := s.suspected.Load()
		if suspected != 0 && now-suspected > s.suspicion() {
			s.end(ErrDied)
			return
		}
		if suspected != checked && suspected != 0 {
			checked, nextProbe = suspected, now
		}
		s.revive(now)
		quiet := suspected != 0 || now-s.heard.Load() > int64(quietAfter)
		if quiet && now < nextProbe && now-asked >= int64(quietEvery) {
			asked = now
			s.control.offer(wire.AppendProbe(newDatagram(), wire.TypeProbe, id))
		}
		if now >= nextProbe {
			nextProbe = now + int64(probeEvery)
			asked = now
			id++
			s.probed[id%uint32(len(s.probed))].Store(now)
			s.control.offer(wire.AppendProbe(newDatagram(), wire.TypeProbe, id))
			s.tellStats()
			s.channels.endIdle(now)
			s.lanes.unstick(now)
			s.tuneSize(now)
			s.tuneLanes(now)
			s.tuneShed(now)
		}
		next := min(nextProbe, s.sendFeedback(now))
		if quiet {
			next = min(next, asked+int64(quietEvery))
		}
		timer.Reset(max(time.Duration(min(next, silent+1)-now), time.Millisecond))
	}
}

// echoed takes the answer to a probe. The round trip is smoothed by an eighth, as RFC
// 6298 does.
func (s *Session) echoed(id uint32, now int64) {
	at := s.probed[id%uint32(len(s.probed))].Swap(0)
	if at == 0 || now < at {
		return
	}
	if since := s.suspected.Load(); since != 0 && at >= since {
		s.suspected.CompareAndSwap(since, 0)
	}
	sample, old := now-at, s.rtt.Load()
	if old == 0 {
		old = sample
	}
	s.rtt.Store(old + (sample-old)/8)
}

// wake makes the upkeep look again soon.
func (s *Session) wake() {
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}
