package sim

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// window is how much one direction of a stream holds between Write and the far Read.
	window = 1 << 20
	// chunkBytes is what travels as one event, a TCP offload's size on a LAN.
	chunkBytes = 16 << 10
	// giveUp is how long unanswered data is sent again before the stream fails, the TCP
	// user timeout that services set (RFC 5482); the kernel's own would be minutes.
	giveUp = 15 * time.Second
	// keepAlive and keepAliveTries are Go's defaults for idle streams.
	keepAlive      = 15 * time.Second
	keepAliveTries = 9
	overheadTCP    = 20 + 32
)

// stream is one end of a TCP connection. What it sends is an event of its own: at most one
// is scheduled, for the arrival of the first segment under way or the next try to send it.
type stream struct {
	h             *Host
	id            uint64 // order of opening on this host
	local, remote *net.TCPAddr
	dialing       *handshake // nil at the accepting end

	mu       *sync.Mutex // shared by both ends, guards what follows
	peer     *stream
	readable sync.Cond
	writable sync.Cond
	in       [][]byte
	unread   int
	eof      bool  // the peer's FIN has arrived
	deaf     bool  // CloseRead
	closed   bool  // Close, or the host died
	gone     bool  // the kernel forgot this end: reset, timed out, died
	err      error // why gone
	abort    bool  // SetLinger(0)

	flight   []segment
	inFlight int
	fin      bool
	armed    bool
	last     int64 // latest arrival of a segment
	busy     int64 // pacing at the path's rate
	since    int64 // what is stalled was sent then
	retry    time.Duration
	rd, wd   deadline
}

// segment is a chunk under way; a FIN has no data.
type segment struct {
	data         []byte
	sent, arrive int64
}

func newStream(h *Host, mu *sync.Mutex, local, remote *net.TCPAddr) *stream {
	s := &stream{h: h, mu: mu, local: local, remote: remote}
	s.readable.L, s.writable.L = mu, mu
	return s
}

// addStream enters a stream in the host's table. n.mu is held.
func (h *Host) addStream(s *stream) {
	h.n.seq++
	s.id = h.n.seq
	h.streams[s] = struct{}{}
}

func (s *stream) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if err := s.rd.err(s.closed); err != nil {
			return 0, opError("read", "tcp", s.local, err)
		}
		switch {
		case s.deaf:
			return 0, io.EOF
		case len(s.in) > 0 && len(b) > 0:
			return s.take(b), nil
		case s.err != nil:
			return 0, opError("read", "tcp", s.local, s.err)
		case s.eof:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		s.readable.Wait()
	}
}

func (s *stream) take(b []byte) int {
	total := 0
	for len(s.in) > 0 && total < len(b) {
		n := copy(b[total:], s.in[0])
		total += n
		if s.in[0] = s.in[0][n:]; len(s.in[0]) == 0 {
			s.in[0] = nil
			s.in = s.in[1:]
		}
	}
	s.unread -= total
	s.peer.writable.Broadcast()
	return total
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := 0
	for {
		err := s.wd.err(s.closed)
		if err == nil {
			err = s.err
		}
		if err == nil && s.fin {
			err = os.NewSyscallError("write", syscall.EPIPE)
		}
		if err != nil {
			return done, opError("write", "tcp", s.local, err)
		}
		if done == len(b) {
			return done, nil
		}
		room := window - s.inFlight - s.peer.unread
		if room <= 0 {
			s.writable.Wait()
			continue
		}
		n := min(room, chunkBytes, len(b)-done)
		s.push(append([]byte(nil), b[done:done+n]...))
		done += n
	}
}

// push sends a segment. s.mu is held.
func (s *stream) push(data []byte) {
	n := s.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.link(s.h, s.peer.h)
	l.stats.StreamBytes += uint64(len(data))
	now := n.now()
	s.flight = append(s.flight, segment{data, now, s.arrival(l, now, len(data))})
	s.inFlight += len(data)
	if !s.armed {
		s.armed = true
		n.schedule(s.flight[0].arrive, s)
	}
}

// arrival is when a segment sent now arrives: paced, and in order. n.mu is held.
func (s *stream) arrival(l *link, now int64, size int) int64 {
	s.busy = max(s.busy, now)
	if rate := l.pipe.Rate; rate > 0 {
		s.busy += int64(float64(size+overheadTCP) * 8e9 / rate)
	}
	s.last = max(s.last, l.carryStream(s.busy, size))
	return s.last
}

// fire is the arrival of what is under way, or the next try to send it.
func (s *stream) fire(n *Network) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	if s.gone || len(s.flight) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now, l := n.now(), n.link(s.h, s.peer.h)
	switch {
	case !l.open() || !n.link(s.peer.h, s.h).open():
		// Acknowledgements need the other direction, so one cut stalls both.
		s.stall(n, now)
		return
	case s.retry > 0:
		s.retry, s.busy = 0, now
		for i := range s.flight {
			s.flight[i].arrive = s.arrival(l, now, len(s.flight[i].data))
		}
	}
	for len(s.flight) > 0 && s.flight[0].arrive <= now && !s.gone {
		seg := s.flight[0]
		s.flight[0] = segment{}
		s.flight = s.flight[1:]
		s.inFlight -= len(seg.data)
		s.deliver(n, seg)
	}
	if len(s.flight) > 0 {
		s.armed = true
		n.schedule(s.flight[0].arrive, s)
	} else if s.closed {
		delete(s.h.streams, s)
	}
}

// deliver hands an arrived segment to the peer. Both mutexes are held.
func (s *stream) deliver(n *Network, seg segment) {
	p := s.peer
	switch {
	case p.gone, p.closed && seg.data != nil:
		n.schedule(n.now()+n.link(p.h, s.h).flight(), &reset{s})
		s.flight, s.inFlight = nil, 0
	case seg.data == nil:
		p.eof = true
		p.readable.Broadcast()
	case p.deaf:
		s.writable.Broadcast()
	default:
		p.in = append(p.in, seg.data)
		p.unread += len(seg.data)
		p.readable.Broadcast()
	}
}

// stall schedules the next try, or gives up. Both mutexes are held.
func (s *stream) stall(n *Network, now int64) {
	if s.retry == 0 {
		s.since = s.flight[0].sent
		s.retry = retransmit + 2*n.link(s.h, s.peer.h).pipe.Delay
	} else {
		s.retry *= 2
	}
	end := s.since + int64(giveUp)
	if now >= end {
		s.fail(syscall.ETIMEDOUT)
		return
	}
	s.armed = true
	n.schedule(min(now+int64(s.retry), end), s)
}

// fail ends this end with an error; what has arrived can still be read. Both mutexes are
// held.
func (s *stream) fail(err error) {
	if s.gone {
		return
	}
	s.gone, s.err = true, err
	s.flight, s.inFlight = nil, 0
	delete(s.h.streams, s)
	s.readable.Broadcast()
	s.writable.Broadcast()
}

// die ends a stream with its host: in silence, so that the peer finds out by itself, or
// with a reset.
func (s *stream) die(silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.gone {
		return
	}
	s.fail(net.ErrClosed)
	s.closed = true
	if s.dialing != nil {
		s.dialing.finish(net.ErrClosed)
	}
	switch {
	case s.peer == nil:
	case silent:
		n.schedule(n.now()+int64(keepAlive), &idle{s: s.peer})
	default:
		s.sendReset(n)
	}
}

// sendReset tells the peer that this end is gone, after what was sent before.
func (s *stream) sendReset(n *Network) {
	at := n.now() + n.link(s.h, s.peer.h).flight()
	n.schedule(max(at, s.last), &reset{s.peer})
}

// reset is the arrival of a RST.
type reset struct{ s *stream }

func (r *reset) fire(n *Network) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.link(r.s.peer.h, r.s.h).open() {
		r.s.fail(syscall.ECONNRESET)
	}
}

// idle is the keep-alive probe of a stream whose far host was killed.
type idle struct {
	s     *stream
	tries int
}

func (i *idle) fire(n *Network) {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	i.tries++
	switch {
	case i.s.gone || i.s.closed:
	case n.link(i.s.h, i.s.peer.h).open():
		i.s.fail(syscall.ECONNRESET)
	case i.tries > keepAliveTries:
		i.s.fail(syscall.ETIMEDOUT)
	default:
		n.schedule(n.now()+int64(keepAlive), i)
	}
}
