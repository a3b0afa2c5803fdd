package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"maille/mesh"
)

const (
	// maxStreams bounds streams that others opened to this node. Each is a full sync
	// or a probe that UDP did not answer, over in less than a second.
	maxStreams = 64
	// packetQueue bounds datagrams read and not yet taken: one round of everyone
	// talking to this node.
	packetQueue = 512
)

// transport carries memberlist over one UDP and TCP port of a mesh.Net.
type transport struct {
	net       mesh.Net
	log       *slog.Logger
	packets   net.PacketConn
	streams   net.Listener
	advertise netip.AddrPort

	packetCh chan *memberlist.Packet
	streamCh chan net.Conn
	dropped  atomic.Uint64 // datagrams that found packetCh full
	turned   atomic.Uint64 // streams over maxStreams

	ctx    context.Context // ends with Shutdown
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex // guards conns, inbound
	conns   map[*stream]struct{}
	inbound int
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

// listen binds cfg.BindAddr and starts to read.
func listen(ctx context.Context, cfg Config) (*transport, error) {
	t := &transport{
		net: cfg.Net, log: cfg.Log,
		packetCh: make(chan *memberlist.Packet, packetQueue),
		streamCh: make(chan net.Conn),
		conns:    map[*stream]struct{}{},
	}
	if err := t.bind(cfg.BindAddr); err != nil {
		return nil, err
	}
	var err error
	if t.advertise, err = t.public(ctx, cfg); err != nil {
		return nil, errors.Join(err, t.packets.Close(), t.streams.Close())
	}
	t.ctx, t.cancel = context.WithCancel(ctx)
	t.done.Go(t.readPackets)
	t.done.Go(t.acceptStreams)
	return t, nil
}

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.advertise.Addr().AsSlice(), int(t.advertise.Port()), nil
}

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, fmt.Errorf("gossip: send: %w", err)
	}
	_, err = t.packets.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packetCh }
func (t *transport) StreamCh() <-chan net.Conn           { return t.streamCh }

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	c, err := t.net.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s, ok := t.track(c, false)
	if !ok {
		c.Close()
		return nil, net.ErrClosed
	}
	return s, nil
}

func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// Shutdown closes the port and every stream, so that nothing of memberlist's is left
// waiting on the network. It may be called again.
func (t *transport) Shutdown() error {
	t.cancel()
	t.packets.Close()
	t.streams.Close()
	t.mu.Lock()
	open := make([]*stream, 0, len(t.conns))
	for s := range t.conns {
		open = append(open, s)
	}
	t.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
	t.done.Wait()
	return nil
}

func (t *transport) readPackets() {
	buf := make([]byte, 64<<10) // the largest datagram there is
	for {
		n, from, err := t.packets.ReadFrom(buf)
		at := time.Now()
		if err != nil {
			if !t.pause(err) {
				return
			}
			continue
		}
		if n == 0 {
			continue
		}
		select {
		case t.packetCh <- &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: at}:
		default:
			t.dropped.Add(1)
		}
	}
}

func (t *transport) acceptStreams() {
	for {
		c, err := t.streams.Accept()
		if err != nil {
			if !t.pause(err) {
				return
			}
			continue
		}
		s, ok := t.track(c, true)
		if !ok {
			t.turned.Add(1)
			c.Close()
			continue
		}
		select {
		case t.streamCh <- s:
		case <-t.ctx.Done():
			s.Close()
			return
		}
	}
}

// pause waits after a failed read; it reports false when the transport is closed.
func (t *transport) pause(err error) bool {
	if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return false
	}
	t.log.Warn("gossip: socket", "err", err)
	w := time.NewTimer(50 * time.Millisecond)
	defer w.Stop()
	select {
	case <-w.C:
		return true
	case <-t.ctx.Done():
		return false
	}
}

// stream is a connection that Shutdown can find.
type stream struct {
	net.Conn
	t       *transport
	inbound bool
	once    sync.Once
}

func (t *transport) track(c net.Conn, inbound bool) (*stream, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil || inbound && t.inbound >= maxStreams {
		return nil, false
	}
	s := &stream{Conn: c, t: t, inbound: inbound}
	t.conns[s] = struct{}{}
	if inbound {
		t.inbound++
	}
	return s, true
}

func (s *stream) Close() error {
	err := s.Conn.Close()
	s.once.Do(func() {
		s.t.mu.Lock()
		defer s.t.mu.Unlock()
		delete(s.t.conns, s)
		if s.inbound {
			s.t.inbound--
		}
	})
	return err
}
