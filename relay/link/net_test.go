package link

import (
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// network is a tiny simulated one for synctest bubbles: hosts with one socket each,
// and a path per direction with delay, random loss, and a bottleneck with a queue.
type network struct {
	mu    sync.Mutex
	hosts map[string]*host
	paths map[[2]string]*path
	rng   *rand.Rand
	wg    sync.WaitGroup
	done  chan struct{}
}

// conditions of one direction. The zero value is a perfect path.
type conditions struct {
	delay  time.Duration
	jitter time.Duration // added at random, without reordering
	loss   float64
	rate   float64 // bits per second of UDP payload and 28 bytes of headers; 0 is unlimited
	queue  int     // bytes; what exceeds it is dropped
	cut    bool
	mtu    int // of IPv4 packets; larger ones are dropped. 0 is no limit
}

type path struct {
	mu        sync.Mutex
	c         conditions
	busy      time.Time // when the bottleneck has sent everything
	last      time.Time
	queue     []packet
	more      chan struct{}
	sent      int
	dropped   int
	sentBytes int
}

type packet struct {
	due  time.Time
	to   *host
	from net.Addr
	data []byte
}

type host struct {
	n        *network
	addr     *net.UDPAddr
	in       chan packet
	closed   chan struct{}
	once     sync.Once
	mu       sync.Mutex
	deadline time.Time
	moved    chan struct{}
}

func newNetwork(seed uint64) *network {
	return &network{
		hosts: make(map[string]*host), paths: make(map[[2]string]*path),
		rng: rand.New(rand.NewPCG(seed, seed)), done: make(chan struct{}),
	}
}

func (n *network) host(ip string) *host {
	h := &host{
		n: n, addr: &net.UDPAddr{IP: net.ParseIP(ip), Port: 7883},
		in: make(chan packet, 4096), closed: make(chan struct{}), moved: make(chan struct{}, 1),
	}
	n.mu.Lock()
	n.hosts[h.addr.String()] = h
	n.mu.Unlock()
	return h
}

func (n *network) path(from, to string) *path {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := [2]string{from, to}
	p := n.paths[key]
	if p == nil {
		p = &path{more: make(chan struct{}, 1)}
		n.paths[key] = p
		n.wg.Go(func() { n.carry(p) })
	}
	return p
}

// set changes one direction.
func (n *network) set(from, to *host, c conditions) {
	p := n.path(from.addr.String(), to.addr.String())
	p.mu.Lock()
	p.c = c
	p.mu.Unlock()
}

func (n *network) both(a, b *host, c conditions) { n.set(a, b, c); n.set(b, a, c) }

func (n *network) close() {
	close(n.done)
	n.wg.Wait()
}

func (n *network) carry(p *path) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		var wait time.Duration = time.Hour
		now := time.Now()
		for len(p.queue) > 0 {
			if wait = p.queue[0].due.Sub(now); wait > 0 {
				break
			}
			q := p.queue[0]
			p.queue = p.queue[1:]
			select {
			case q.to.in <- q:
			default:
			}
			wait = time.Hour
		}
		p.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-n.done:
			return
		case <-p.more:
		case <-timer.C:
		}
	}
}

// counts returns the packets dropped and the bytes that passed, headers included.
func (p *path) counts() (dropped, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped, p.sentBytes
}

// backlog is how long a packet would wait at the bottleneck now.
func (p *path) backlog() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, time.Until(p.busy))
}

func (h *host) WriteTo(b []byte, to net.Addr) (int, error) {
	n := h.n
	n.mu.Lock()
	dst := n.hosts[to.String()]
	lucky := n.rng.Float64()
	wobble := n.rng.Float64()
	n.mu.Unlock()
	if dst == nil {
		return len(b), nil
	}
	p := n.path(h.addr.String(), dst.addr.String())
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.sent++
	if p.c.cut || lucky < p.c.loss || p.c.mtu > 0 && len(b)+28 > p.c.mtu {
		p.dropped++
		return len(b), nil
	}
	due := now
	if p.c.rate > 0 {
		if p.busy.Before(now) {
			p.busy = now
		}
		if backlog := p.busy.Sub(now).Seconds() * p.c.rate / 8; int(backlog) > p.c.queue {
			p.dropped++
			return len(b), nil
		}
		p.busy = p.busy.Add(time.Duration(float64(len(b)+28) * 8 / p.c.rate * 1e9))
		due = p.busy
	}
	p.sentBytes += len(b) + 28
	due = due.Add(p.c.delay + time.Duration(wobble*float64(p.c.jitter)))
	if due.Before(p.last) {
		due = p.last
	}
	p.last = due
	p.queue = append(p.queue, packet{due: due, to: dst, from: h.addr, data: append([]byte(nil), b...)})
	select {
	case p.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (h *host) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		h.mu.Lock()
		deadline := h.deadline
		h.mu.Unlock()
		var expired <-chan time.Time
		if !deadline.IsZero() {
			if !time.Now().Before(deadline) {
				return 0, nil, os.ErrDeadlineExceeded
			}
			expired = time.After(time.Until(deadline))
		}
		select {
		case p := <-h.in:
			return copy(b, p.data), p.from, nil
		case <-h.closed:
			return 0, nil, net.ErrClosed
		case <-expired:
			return 0, nil, os.ErrDeadlineExceeded
		case <-h.moved:
		}
	}
}

func (h *host) SetReadDeadline(t time.Time) error {
	h.mu.Lock()
	h.deadline = t
	h.mu.Unlock()
	select {
	case h.moved <- struct{}{}:
	default:
	}
	return nil
}

func (h *host) LocalAddr() net.Addr              { return h.addr }
func (h *host) SetDeadline(t time.Time) error    { return h.SetReadDeadline(t) }
func (h *host) SetWriteDeadline(time.Time) error { return nil }
func (h *host) SetReadBuffer(int) error          { return nil }
func (h *host) SetWriteBuffer(int) error         { return nil }
func (h *host) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}
