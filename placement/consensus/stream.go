package consensus

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var errMuted = errors.New("consensus: transport is muted")

// maxConns bounds connections held at once: three pooled each way, a pipeline and a
// snapshot for each peer, many times over.
const maxConns = 512

// layer is the raft.StreamLayer over the node's listener and dialer. It knows every
// connection, so that muting and closing leave none behind.
type layer struct {
	net.Listener
	name string
	dial func(ctx context.Context, node string) (net.Conn, error)

	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	muted bool               // under mu
	conns map[*conn]struct{} // under mu
	open  sync.WaitGroup     // one for each connection raft has not closed
}

func newLayer(cfg Config) *layer {
	l := &layer{Listener: cfg.Listener, name: cfg.Name, dial: cfg.Dial, conns: map[*conn]struct{}{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// address is a node's name as a net.Addr.
type address string

func (a address) Network() string { return "raft" }
func (a address) String() string  { return string(a) }

// Addr is the node's name, which is what raft tells other servers.
func (l *layer) Addr() net.Addr { return address(l.name) }

func (l *layer) Dial(node raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	l.mu.Lock()
	muted := l.muted
	l.mu.Unlock()
	if muted {
		return nil, errMuted
	}
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	c, err := l.dial(ctx, string(node))
	if err != nil {
		return nil, err
	}
	return l.track(c, false)
}

func (l *layer) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if t, err := l.track(c, true); err == nil {
			return t, nil
		}
	}
}

func (l *layer) track(c net.Conn, accepted bool) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.muted || len(l.conns) >= maxConns {
		c.Close()
		return nil, errMuted
	}
	t := &conn{Conn: c, layer: l, accepted: accepted}
	l.conns[t] = struct{}{}
	if accepted {
		l.open.Add(1)
	}
	return t, nil
}

// mute(true) cuts this node off the other servers: open connections are closed, new
// ones fail. Followers of a muted leader elect another within their timeouts.
func (l *layer) mute(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muted = on
	if on {
		for c := range l.conns {
			c.Conn.Close()
		}
	}
}

func (l *layer) Close() error {
	l.mute(true)
	l.cancel()
	return l.Listener.Close()
}

// wait returns when raft's handlers of accepted connections have ended.
func (l *layer) wait() { l.open.Wait() }

type conn struct {
	net.Conn
	layer    *layer
	accepted bool
	once     sync.Once
}

func (c *conn) Close() error {
	c.once.Do(func() {
		c.layer.mu.Lock()
		delete(c.layer.conns, c)
		c.layer.mu.Unlock()
		if c.accepted {
			c.layer.open.Done()
		}
	})
	return c.Conn.Close()
}
