package guard

import (
	"net"
	"sync"
	"time"
)

// Paced reads from each connection of l no faster than so many bytes a second, with a
// burst once in a while: what a client sends costs its reading whether it comes to
// anything or not, and the parts of messages, pings and headers are counted nowhere
// else.
func Paced(l net.Listener, bytes, burst int) net.Listener {
	return &pacedListener{l, float64(bytes), float64(burst)}
}

type pacedListener struct {
	net.Listener
	rate, burst float64
}

func (l *pacedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &pacedConn{Conn: c, rate: l.rate, burst: l.burst, closed: make(chan struct{}), at: time.Now()}, nil
}

// maxPause bounds how long one Read waits, and so how late a deadline set meanwhile can
// be.
const maxPause = 100 * time.Millisecond

type pacedConn struct {
	net.Conn
	rate, burst float64
	once        sync.Once
	closed      chan struct{}

	mu   sync.Mutex // guards all below
	debt float64    // bytes
	at   time.Time
}

// Read waits until the connection's debt is within its burst.
func (c *pacedConn) Read(b []byte) (int, error) {
	if d := c.pause(time.Now()); d > 0 {
		late := time.NewTimer(d)
		select {
		case <-late.C:
		case <-c.closed:
			late.Stop()
		}
	}
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	c.debt += float64(n)
	c.mu.Unlock()
	return n, err
}

// pause is how long to wait at now.
func (c *pacedConn) pause(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.debt = max(0, c.debt-c.rate*now.Sub(c.at).Seconds())
	c.at = now
	over := c.debt - c.burst
	if over <= 0 {
		return 0
	}
	return min(time.Duration(over/c.rate*float64(time.Second)), maxPause)
}

func (c *pacedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
