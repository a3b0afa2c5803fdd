package linkbench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

const quicALPN = "maille-bench/1"

// quicSender is what one writes first: a connection, and SendDatagram for each packet.
// That call blocks while the congestion window is shut, so in virtual time a goroutine
// makes it and the newest packets wait in a queue no older than the link's own.
type quicSender struct {
	transport *quic.Transport
	conn      *quic.Conn
	err       error
	dialed    chan struct{}
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	queue     chan queued // nil to call SendDatagram at once
	buf       []byte

	mu   sync.Mutex // guards sent and late
	sent Sent
	late int
}

type queued struct {
	b  []byte
	at time.Time
}

const (
	quicQueue = 2048
	quicAge   = 300 * time.Millisecond
)

func openQUICSender(e Ends, queue bool) (Sender, error) {
	ctx, cancel := context.WithCancel(context.Background())
	q := &quicSender{
		transport: &quic.Transport{Conn: e.Conn}, dialed: make(chan struct{}), cancel: cancel,
		buf: make([]byte, 2048),
	}
	if queue {
		q.queue = make(chan queued, quicQueue)
	}
	q.wg.Go(func() {
		q.conn, q.err = q.transport.Dial(ctx, e.To, e.Identity.ClientTLS(receiverName, quicALPN), &quic.Config{EnableDatagrams: true})
		close(q.dialed)
		for q.err == nil {
			select {
			case <-ctx.Done():
				return
			case p := <-q.queue:
				q.pass(p)
			}
		}
	})
	return q, nil
}

func (q *quicSender) pass(p queued) {
	if time.Since(p.at) > quicAge {
		q.mu.Lock()
		q.late++
		q.mu.Unlock()
		return
	}
	q.count(q.conn.SendDatagram(p.b))
}

func (q *quicSender) count(err error) {
	if err != nil {
		return
	}
	q.mu.Lock()
	q.sent.Packets++
	q.mu.Unlock()
}

func (q *quicSender) Ready(ctx context.Context) error {
	select {
	case <-q.dialed:
		return q.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *quicSender) Send(p Offered, m Mark) {
	if q.queue == nil {
		m.put(q.buf)
		q.count(q.conn.SendDatagram(q.buf[:p.Bytes]))
		return
	}
	b := make([]byte, p.Bytes)
	m.put(b)
	select {
	case q.queue <- queued{b, time.Now()}:
	default:
		q.mu.Lock()
		q.late++
		q.mu.Unlock()
	}
}

func (q *quicSender) Sent() Sent {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.sent
	s.Lanes = 1
	select {
	case <-q.dialed:
		if q.conn != nil {
			// quic-go puts several small datagrams into one packet when they come at once.
			s.Datagrams = q.conn.ConnectionStats().PacketsSent
		}
	default:
	}
	s.Notes = fmt.Sprintf("%d too old to send", q.late)
	return s
}

func (q *quicSender) Close() error {
	q.cancel()
	<-q.dialed
	if q.conn != nil {
		_ = q.conn.CloseWithError(0, "")
	}
	q.wg.Wait()
	return q.transport.Close()
}

type quicReceiver struct {
	transport *quic.Transport
	listener  *quic.Listener
	cancel    context.CancelFunc
	wg        sync.WaitGroup
}

func openQUICReceiver(e Ends, got func(Mark)) (Receiver, error) {
	q := &quicReceiver{transport: &quic.Transport{Conn: e.Conn}}
	var err error
	q.listener, err = q.transport.Listen(e.Identity.ServerTLS(quicALPN), &quic.Config{EnableDatagrams: true})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	q.cancel = cancel
	q.wg.Go(func() {
		conn, err := q.listener.Accept(ctx)
		if err != nil {
			return
		}
		for {
			b, err := conn.ReceiveDatagram(ctx)
			if err != nil {
				_ = conn.CloseWithError(0, "")
				return
			}
			if m, ok := parseMark(b); ok {
				got(m)
			}
		}
	})
	return q, nil
}

func (q *quicReceiver) Close() error {
	q.cancel()
	q.wg.Wait()
	_ = q.listener.Close()
	return q.transport.Close()
}
