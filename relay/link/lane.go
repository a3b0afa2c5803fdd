package link

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"maille/relay"
	"maille/relay/wire"
)

// laneQueue is what may wait for a lane's goroutine. It stays empty unless quic-go's
// own queue of 32 is full and blocks; a lane with something waiting is not chosen.
const laneQueue = 4

// lane is one QUIC connection that carries datagrams.
type lane struct {
	s    *Session
	conn *quic.Conn
	out  chan []byte

	// flying counts bytes handed over and not yet reported as arrived or lost.
	flying atomic.Int64
	// pace is what the window allows, float64 bits of bytes per second.
	pace atomic.Uint64
	// missed counts datagrams reported as lost.
	missed atomic.Int64
	// limit is the largest datagram that QUIC takes, 0 when no less than wire.MaxDatagram as
	// far as is known.
	limit atomic.Int64
	// gone: the lane is not in use any more.
	gone atomic.Bool
	// busy: the lane's goroutine is handing a datagram to QUIC, and may be stuck in it.
	busy atomic.Bool
	// handed counts bytes that QUIC took.
	handed atomic.Int64
	// handing is since when the bundler hands datagrams to QUIC itself, 0 while it does not.
	handing atomic.Int64

	// Pacing, touched by the bundler only.
	bucket bucket
	polled int64 // when the connection's statistics were last read
	window float64
	most   float64 // what may be in flight however large the window is
	rtt    float64 // seconds
	stuck  float64 // bytes that are lost but that QUIC still counts as in flight
	jammed float64 // the same, as far as can be feared
	recent recentLag
	steady steadyLag
	unsent backlog
}

var datagrams = sync.Pool{New: func() any { return new([wire.MaxDatagram]byte) }}

// newDatagram returns an empty buffer with room for one datagram.
func newDatagram() []byte { return datagrams.Get().(*[wire.MaxDatagram]byte)[:0] }

func freeDatagram(b []byte) { datagrams.Put((*[wire.MaxDatagram]byte)(b[:wire.MaxDatagram])) }

func newLane(s *Session, conn *quic.Conn) *lane {
	now := relay.Now()
	l := &lane{s: s, conn: conn, out: make(chan []byte, laneQueue), polled: now - pollEvery}
	l.bucket.at = now
	return l
}

// start runs the lane's goroutines. The caller makes sure that the session has not
// begun to wait for them.
func (l *lane) start() {
	l.s.wg.Go(l.send)
	l.s.wg.Go(l.receive)
}

// offer hands a datagram from newDatagram to the lane, without blocking; false when
// the lane is stuck and the datagram is gone.
func (l *lane) offer(b []byte) bool {
	select {
	case l.out <- b:
		return true
	default:
		freeDatagram(b)
		return false
	}
}

func (l *lane) send() {
	for {
		select {
		case <-l.conn.Context().Done():
			return
		case b := <-l.out:
			l.busy.Store(true)
			l.write(b)
			l.busy.Store(false)
			l.s.queue.roomier()
		}
	}
}

// write hands a datagram to QUIC, which copies it. It blocks while QUIC's queue is full
// because the congestion window is shut.
func (l *lane) write(b []byte) {
	err := l.conn.SendDatagram(b)
	if err == nil {
		l.handed.Add(int64(len(b)))
	}
	freeDatagram(b)
	if err != nil {
		l.refused(err)
	}
}

// open tells that QUIC has room for datagrams: what it was given and is not known to have
// arrived is hardly more than its window, so that its queue is all but empty.
func (l *lane) open() bool {
	return len(l.out) == 0 && !l.busy.Load() && !l.shut() && float64(l.flying.Load())+l.stuck <= l.window+directExcess
}

// shut tells that QUIC keeps what it was given: its window is fuller than the reports show.
func (l *lane) shut() bool { return l.unsent.waiting > directExcess }

func (l *lane) refused(err error) {
	var large *quic.DatagramTooLargeError
	if errors.As(err, &large) {
		l.limit.Store(large.MaxDatagramPayloadSize)
		l.s.counters.drops.Add(relay.DropTooLarge)
		return
	}
	l.s.counters.drops.Add(relay.DropSend)
}

// fitting is the size that a datagram of at most max bytes may have on this lane.
func (l *lane) fitting(max int) int {
	if limit := int(l.limit.Load()); limit > 0 && limit < max {
		return limit
	}
	return max
}

// lost takes a lane out of use; losing the control connection ends the session.
func (s *Session) lost(l *lane, err error) {
	if l == s.control {
		s.fail(err)
		return
	}
	s.lanes.remove(l)
}

// pollEvery is how old a lane's window and round trip may be.
const pollEvery = int64(5 * time.Millisecond)

// refresh reads the congestion window and sets the pace from it.
func (l *lane) refresh(now int64) {
	if now-l.polled < pollEvery {
		return
	}
	l.polled = now
	st := l.conn.ConnectionStats()
	rtt := st.SmoothedRTT
	if rtt <= 0 {
		rtt = 100 * time.Millisecond
	}
	l.window, l.rtt = float64(st.CongestionWindow), rtt.Seconds()
	l.most = (untaken + onTheWay*l.rtt) * fullPacket
	rate := overdrive * l.window / l.rtt
	l.bucket.set(rate, max(laneBurst, rate*burstTime), now)
	l.pace.Store(math.Float64bits(l.window / l.rtt))

	l.unsent.poll(l.handed.Load(), int64(st.BytesSent), now)

	// QUIC learns of a loss later than the reports do, up to a timeout later when little
	// is in flight. Until then the lost bytes keep its window shut.
	lag := l.missed.Load() - int64(st.PacketsLost)
	l.stuck = float64(l.recent.above(lag, now, int64(2*rtt)+int64(100*time.Millisecond))) * fullPacket
	l.jammed = float64(l.steady.above(lag, now, int64(4*rtt)+int64(200*time.Millisecond))) * fullPacket
}

// backlog follows what QUIC was given and has not sent. What it sends besides, such as
// headers, is more all the time, so that the least difference is the nearest to none.
type backlog struct {
	begun   bool
	handed  int64    // at the last poll
	least   [2]int64 // differences, in the running time of droppedFor and in the one before
	since   int64
	waiting int64 // given before the last poll and not sent
}

// droppedFor bounds how long what QUIC drops is taken for waiting. A lane on which nothing
// arrives for as long is closed by then.
const droppedFor = int64(10 * time.Second)

// poll takes what QUIC was given and what it sent, in bytes since the beginning.
func (g *backlog) poll(handed, sent, now int64) {
	more := handed - sent
	switch {
	case !g.begun:
		*g = backlog{begun: true, handed: handed, least: [2]int64{more, more}, since: now}
	case now-g.since > droppedFor:
		g.since, g.least = now, [2]int64{more, g.least[0]}
	}
	g.least[0] = min(g.least[0], more)
	g.waiting = max(g.handed-sent-min(g.least[0], g.least[1]), 0)
	g.handed = handed
}

// recentLag follows by how many losses QUIC's count is behind ours. Datagrams that QUIC put into
// one packet, probes of its own and reports that came late make the counts drift apart:
// what they differ by all the time is no news.
type recentLag struct {
	base  int64 // the least lag of the time before
	least int64 // of the time since at
	at    int64
}

// above is the lag beyond the least of some time.
func (g *recentLag) above(lag, now, span int64) int64 {
	g.least = min(g.least, lag)
	if now-g.at > span {
		g.base, g.least, g.at = g.least, lag, now
	}
	return max(lag-g.base, 0)
}

// steadyLag is more cautious: only a lag that does not change at all is no news.
type steadyLag struct {
	base, last int64
	at         int64
}

func (g *steadyLag) above(lag, now, span int64) int64 {
	switch {
	case lag != g.last:
		g.last, g.at = lag, now
	case lag != g.base && now-g.at > span:
		g.base = lag
	}
	return max(lag-g.base, 0)
}

// clear is how full the window may be if QUIC lags behind in all that it could, and what
// waits in QUIC twice; audio goes where that is least.
func (l *lane) clear() float64 {
	return (float64(l.flying.Load()+l.unsent.waiting) + l.jammed) / (l.window + fullPacket)
}

// load is how full the congestion window is; above 1, datagrams wait inside QUIC,
// where they can neither be dropped nor overtaken. One more than the window holds keeps
// the window full, which is what makes it grow.
func (l *lane) load() float64 {
	return (float64(l.flying.Load()) + l.stuck) / (min(l.window, l.most) + fullPacket)
}

// free tells whether the lane may take a datagram that can wait.
func (l *lane) free() bool {
	return !l.gone.Load() && len(l.out) == 0 && !l.shut() && l.bucket.tokens > 0 && l.load() < 1
}

const (
	// overdrive fills the congestion window a little faster than it empties: below
	// 1.0 it is never full, and a window that is never full does not grow.
	overdrive = 1.05
	// overhead is what QUIC adds to a datagram: a byte, connection ID, packet number, frame
	// type and tag.
	overhead = 1 + connectionID + 2 + 1 + 16
	// laneBurst lets a lane send this much at once after a pause, or what it sends in
	// burstTime seconds: timers are no finer.
	laneBurst = 4 * wire.MaxDatagram
	burstTime = 0.001
	// The peer's QUIC keeps 128 datagrams of a lane that the peer has not taken, and drops the
	// rest without a word. On a short path the window is no bound, so beside what is on its way
	// at onTheWay datagrams a second, no more than untaken are in flight: what is reported
	// as arrived has been taken.
	untaken, onTheWay = 96, 3000
	// directExcess is a fraction of quic-go's queue of 32, even in datagrams of one frame of
	// audio.
	directExcess = 2 * fullPacket
	fullPacket   = wire.MaxDatagram + overhead
)
