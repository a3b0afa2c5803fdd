package sim

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// backlog is how many streams wait to be accepted; more are not answered.
	backlog = 128
	// firstRetry is when an unanswered SYN is sent again (RFC 6298 section 2); it doubles.
	firstRetry = time.Second
)

// listener accepts streams at one address.
type listener struct {
	h     *Host
	bound netip.AddrPort
	addr  *net.TCPAddr

	mu       sync.Mutex // guards what follows; may be taken with Network.mu held
	ready    sync.Cond
	queue    []*stream
	closed   bool
	deadline deadline
}

func (h *Host) openListener(network string, at netip.AddrPort) (*listener, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	at, err := bind(h, h.listeners, at)
	if err != nil {
		return nil, opError("listen", network, net.TCPAddrFromAddrPort(at), err)
	}
	l := &listener{h: h, bound: at, addr: net.TCPAddrFromAddrPort(at)}
	l.ready.L = &l.mu
	h.listeners[at] = l
	return l, nil
}

func (l *listener) Accept() (net.Conn, error) { return l.accept() }

func (l *listener) accept() (*stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if err := l.deadline.err(l.closed); err != nil {
			return nil, opError("accept", "tcp", l.addr, err)
		}
		if len(l.queue) > 0 {
			s := l.queue[0]
			l.queue = l.queue[1:]
			return s, nil
		}
		l.ready.Wait()
	}
}

// offer queues an arrived stream, or returns false when the backlog is full.
func (l *listener) offer(s *stream) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.queue) >= backlog {
		return false
	}
	l.queue = append(l.queue, s)
	l.ready.Signal()
	return true
}

// end closes the listener towards its owner and returns what nobody accepted.
func (l *listener) end() []*stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := l.queue
	l.queue, l.closed = nil, true
	l.deadline.stop()
	l.ready.Broadcast()
	return waiting
}

func (l *listener) Close() error {
	l.h.n.mu.Lock()
	open := l.h.listeners[l.bound] == l
	if open {
		delete(l.h.listeners, l.bound)
	}
	l.h.n.mu.Unlock()
	for _, s := range l.end() {
		s.die(false)
	}
	if !open {
		return opError("close", "tcp", l.addr, net.ErrClosed)
	}
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }

// SetDeadline ends Accept at an instant.
func (l *listener) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline.set(t, &l.ready)
	return nil
}

// handshake is a stream being opened: an event at the arrival of the SYN, then at the
// arrival of its answer.
type handshake struct {
	client   *stream
	to       netip.AddrPort
	began    int64
	retry    time.Duration
	answered bool  // the next event is the answer's arrival
	refused  error // the answer is a RST
	over     bool  // the dialer has its result, or went away
	result   chan error
}

func (h *Host) dialTCP(ctx context.Context, network string, from, to netip.AddrPort) (*stream, error) {
	if to.Addr().IsUnspecified() {
		to = netip.AddrPortFrom(localhost, to.Port())
	}
	fail := func(err error) (*stream, error) {
		return nil, opError("dial", network, net.TCPAddrFromAddrPort(to), err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	n := h.n
	n.mu.Lock()
	if h.down || n.closed {
		n.mu.Unlock()
		return fail(os.NewSyscallError("connect", syscall.ENETDOWN))
	}
	if from.Port() == 0 {
		at, err := bind(h, h.listeners, netip.AddrPortFrom(h.source(from.Addr(), to.Addr()), 0))
		if err != nil {
			n.mu.Unlock()
			return fail(err)
		}
		from = at
	}
	c := newStream(h, new(sync.Mutex), net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to))
	h.addStream(c)
	now := n.now()
	hs := &handshake{client: c, to: to, began: now, retry: firstRetry, result: make(chan error, 1)}
	c.dialing = hs
	n.schedule(now+hs.flight(n, h, h.find(to.Addr())), hs)
	n.mu.Unlock()
	select {
	case err := <-hs.result:
		if err != nil {
			return fail(err)
		}
		return c, nil
	case <-ctx.Done():
		c.mu.Lock()
		hs.over = true
		c.mu.Unlock()
		c.die(false)
		return fail(ctx.Err())
	}
}

func (hs *handshake) flight(n *Network, from, to *Host) int64 {
	if to == nil {
		return 0
	}
	return n.link(from, to).carryStream(0, 0)
}

func (hs *handshake) fire(n *Network) {
	c := hs.client
	c.mu.Lock()
	defer c.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if hs.over {
		return
	}
	now, far := n.now(), c.h.find(hs.to.Addr())
	switch {
	case now-hs.began >= int64(giveUp):
		hs.fail(syscall.ETIMEDOUT)
	case far == nil || !n.link(c.h, far).open() || !n.link(far, c.h).open():
		hs.again(n, far)
	case hs.answered && hs.refused != nil:
		hs.fail(hs.refused)
	case hs.answered:
		hs.finish(nil)
	case c.peer == nil && !hs.arrive(far):
		hs.again(n, far)
	default:
		hs.answered = true
		n.schedule(now+hs.flight(n, far, c.h), hs)
	}
}

// arrive is the SYN at the far host; it returns false when nothing answers.
func (hs *handshake) arrive(far *Host) bool {
	l, ok := lookup(far.listeners, hs.to)
	if !ok {
		hs.refused = syscall.ECONNREFUSED
		return true
	}
	c := hs.client
	s := newStream(far, c.mu, c.remote, c.local)
	s.peer = c
	if !l.offer(s) {
		return false
	}
	c.peer = s
	far.addStream(s)
	return true
}

// again sends the SYN once more after a while.
func (hs *handshake) again(n *Network, far *Host) {
	hs.answered, hs.refused = false, nil
	now := n.now()
	n.schedule(min(now+int64(hs.retry)+hs.flight(n, hs.client.h, far), hs.began+int64(giveUp)), hs)
	hs.retry *= 2
}

func (hs *handshake) fail(err error) {
	hs.client.fail(err)
	hs.finish(os.NewSyscallError("connect", err))
}

// finish tells the dialer, once.
func (hs *handshake) finish(err error) {
	if !hs.over {
		hs.over = true
		hs.result <- err
	}
}
