package link

import (
	"context"
	"errors"
	"time"

	"maille/relay"
)

// quic-go keeps 128 datagrams that came and drops what comes beyond, without a word. Many
// more than that come at once, as when several pictures begin, while a busy room's packets
// take long to go out to all its people. So the lane takes what has come between any two
// datagrams that it acts on.

// maxHeld bounds what a session's lanes have taken and not acted on, some 2.5 MB. Beyond
// it quic-go drops, and the peer sees it as lost.
const maxHeld = 2048

func (l *lane) receive() {
	ctx := l.conn.Context()
	var held datagramQueue
	var once atOnce
	for {
		b, err := l.conn.ReceiveDatagram(ctx)
		if err != nil {
			l.s.lost(l, err)
			return
		}
		for b != nil {
			l.s.receive(l, b, relay.Now())
			l.drain(&held, &once)
			if b = held.pop(); b != nil {
				l.s.held.Add(-1)
			}
		}
	}
}

// drain takes what has come.
func (l *lane) drain(held *datagramQueue, once *atOnce) {
	for l.s.held.Load() < maxHeld {
		once.asked = false
		b, err := l.conn.ReceiveDatagram(once)
		if err != nil {
			return // nothing more, or the end, which the next call finds too
		}
		l.s.held.Add(1)
		held.push(b)
	}
}

// atOnce is a context for one call that does not wait: it ends once it has been asked.
type atOnce struct{ asked bool }

var (
	errAtOnce = errors.New("link: nothing there")
	ended     = func() chan struct{} { c := make(chan struct{}); close(c); return c }()
)

func (*atOnce) Deadline() (at time.Time, ok bool) { return at, false }
func (*atOnce) Done() <-chan struct{}             { return ended }
func (*atOnce) Value(any) any                     { return nil }

func (a *atOnce) Err() error {
	if !a.asked {
		a.asked = true
		return nil
	}
	return errAtOnce
}

var _ context.Context = (*atOnce)(nil)

// datagramQueue keeps datagrams in order. It holds on to no more room than it needed once.
type datagramQueue struct {
	list [][]byte
	head int
}

func (q *datagramQueue) push(b []byte) { q.list = append(q.list, b) }

// pop returns the oldest, nil when there is none.
func (q *datagramQueue) pop() []byte {
	if q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
		return nil
	}
	b := q.list[q.head]
	q.list[q.head] = nil
	q.head++
	return b
}
