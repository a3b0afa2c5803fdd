package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var errMuted = errors.New("consensus: transport is muted")

// maxConns bounds connections held at once: three pooled each way, a pipeline and a
// snapshot for each peer, many times over.
const maxConns = 512

// prefaceWait bounds how long a dialer may take to say whom it wants.
const prefaceWait = 5 * time.Second

// layer is the raft.StreamLayer over the node's listener and dialer. It knows every
// connection, so that muting and closing leave none behind.
//
// Raft's requests do not say which server they are meant for. So each connection begins
// with that: name@incarnation, after one byte of length. A server that came back with a
// new store refuses what is meant for its old self, whose votes it forgot.
type layer struct {
	net.Listener
	dial func(ctx context.Context, node string) (net.Conn, error)

	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	id    raft.ServerID      // under mu: our own
	muted bool               // under mu
	conns map[*conn]struct{} // under mu
	open  sync.WaitGroup     // one for each connection raft has not closed
}

func newLayer(cfg Config) *layer {
	l := &layer{Listener: cfg.Listener, dial: cfg.Dial, conns: map[*conn]struct{}{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

func (l *layer) setID(id raft.ServerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.id = id
}

func (l *layer) ownID() raft.ServerID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.id
}

// address is a server's id as a net.Addr.
type address raft.ServerID

func (a address) Network() string { return "raft" }
func (a address) String() string  { return string(a) }

// Addr is the server's id, which is what raft tells other servers.
func (l *layer) Addr() net.Addr { return address(l.ownID()) }

func (l *layer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	l.mu.Lock()
	muted := l.muted
	l.mu.Unlock()
	if muted {
		return nil, errMuted
	}
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	node, _ := splitID(raft.ServerID(to))
	c, err := l.dial(ctx, node)
	if err != nil {
		return nil, err
	}
	c.SetWriteDeadline(time.Now().Add(timeout))
	if _, err := c.Write(append([]byte{byte(len(to))}, to...)); err != nil {
		c.Close()
		return nil, err
	}
	c.SetWriteDeadline(time.Time{})
	return l.track(c, false)
}

// greet reads whom an accepted connection is for.
func (l *layer) greet(c net.Conn) error {
	c.SetReadDeadline(time.Now().Add(prefaceWait))
	defer c.SetReadDeadline(time.Time{})
	b := make([]byte, 256)
	if _, err := io.ReadFull(c, b[:1]); err != nil {
		return err
	}
	to := b[1 : 1+int(b[0])]
	if _, err := io.ReadFull(c, to); err != nil {
		return err
	}
	if own := l.ownID(); raft.ServerID(to) != own {
		return fmt.Errorf("consensus: connection for %q reached %q", to, own)
	}
	return nil
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

	greeted bool // touched by the reader only
}

// Read checks whom an accepted connection is for before anything else; it is here and
// not in Accept so that a slow dialer holds up nobody.
func (c *conn) Read(b []byte) (int, error) {
	if c.accepted && !c.greeted {
		if err := c.layer.greet(c.Conn); err != nil {
			return 0, err
		}
		c.greeted = true
	}
	return c.Conn.Read(b)
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
