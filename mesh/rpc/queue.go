package rpc

import (
	"context"
	"net"
	"sync"
)

// queue is a net.Listener fed by the mux.
type queue struct {
	addr  net.Addr
	conns chan net.Conn

	once   sync.Once
	closed chan struct{}
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn, maxQueued), closed: make(chan struct{})}
}

// put reports whether the connection was queued before ctx ended.
func (q *queue) put(ctx context.Context, c net.Conn) bool {
	select {
	case <-q.closed:
		return false
	default:
	}
	select {
	case q.conns <- c:
	case <-q.closed:
		return false
	case <-ctx.Done():
		return false
	}
	// Closed in between: nobody would take it out again.
	select {
	case <-q.closed:
		q.drain()
	default:
	}
	return true
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case <-q.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	q.drain()
	return nil
}

func (q *queue) drain() {
	for {
		select {
		case c := <-q.conns:
			c.Close()
		default:
			return
		}
	}
}

func (q *queue) Addr() net.Addr { return q.addr }
