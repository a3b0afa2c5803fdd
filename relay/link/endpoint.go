package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"maille/relay/wire"
)

// Endpoint keeps the sessions of one node over one socket.
type Endpoint struct {
	cfg       Config
	log       *slog.Logger
	transport *quic.Transport
	unbatch   func() // ends what newSocket began
	listener  *quic.Listener
	ctx       context.Context
	cancel    context.CancelCauseFunc
	wg        sync.WaitGroup
	refused   refusals
	unsent    unsent
	pending   atomic.Int32 // accepted connections without a hello
	shaking   atomic.Int32 // connections whose TLS handshake is under way

	mu       sync.Mutex // guards the fields below
	peers    map[string]*peer
	sessions map[string]*Session
	before   map[string]pastLanes // of peers whose session ended
	waits    map[string]int       // sessions that wait for an older one of their peer to end
	closed   bool
}

// peer is one that Peer was called for.
type peer struct {
	addr   string
	cancel context.CancelFunc
	done   chan struct{}
}

// Sizes of QUIC packets, which never grow: probing for a larger MTU would gain nothing.
const (
	// widePacket holds a datagram of wire.MaxDatagram bytes and nothing else.
	widePacket = wire.MaxDatagram + datagramOverhead
	// narrowPacket is the least that QUIC works with: what a handshake gets through with on
	// any path. Control connections stay at it; lanes where nothing larger passes.
	narrowPacket = 1200
	// narrowDatagram is what quic-go lets into such a packet.
	narrowDatagram = narrowPacket - datagramOverhead
	// datagramOverhead is what quic-go keeps free beside a datagram, for the longest
	// connection ID.
	datagramOverhead = 37
	// connectionID is the bytes of ours, in each packet. Short ones leave no packet full,
	// which is when quic-go would give several to the kernel in one call; socket does that.
	connectionID = 4
)

// quicConfig holds for control connections and lanes alike.
func quicConfig(packet uint16) *quic.Config {
	return &quic.Config{
		EnableDatagrams:            true,
		InitialPacketSize:          packet,
		DisablePathMTUDiscovery:    true,
		HandshakeIdleTimeout:       handshakeAfter,
		MaxIdleTimeout:             10 * time.Second,
		KeepAlivePeriod:            2 * time.Second,
		MaxIncomingStreams:         2, // a connection's first stream, and one that is refused
		MaxIncomingUniStreams:      maxChannels,
		MaxStreamReceiveWindow:     maxMessage,
		MaxConnectionReceiveWindow: 4 * maxMessage,
	}
}

// configFor chooses the packet size of an accepted connection, of which only the address
// is known: one from where a session is comes to be a lane of it.
func (e *Endpoint) configFor(info *quic.ClientInfo) (*quic.Config, error) {
	from := info.RemoteAddr.String()
	for _, s := range e.Sessions() {
		if !s.narrow.Load() && s.remote.String() == from {
			return quicConfig(widePacket), nil
		}
	}
	return quicConfig(narrowPacket), nil
}

// Listen starts an endpoint on cfg.Conn.
func Listen(cfg Config) (*Endpoint, error) {
	if cfg.Self == "" || cfg.Conn == nil || cfg.TLS == nil || cfg.Handler == nil {
		return nil, errors.New("link: config lacks Self, Conn, TLS or Handler")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Lanes <= 0 {
		cfg.Lanes = 4
	}
	if cfg.MaxLanes <= 0 || cfg.MaxLanes > maxLanes {
		cfg.MaxLanes = maxLanes
	}
	cfg.Lanes = min(cfg.Lanes, cfg.MaxLanes)
	e := &Endpoint{
		cfg: cfg, log: cfg.Log.With("plane", "link"),
		peers: make(map[string]*peer), sessions: make(map[string]*Session), before: make(map[string]pastLanes),
		waits: make(map[string]int),
	}
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	var socket net.PacketConn
	socket, e.unbatch = newSocket(cfg.Conn, &e.unsent)
	e.transport = &quic.Transport{Conn: socket, ConnectionIDLength: connectionID, ConnContext: e.watchHandshake}
	// Addresses are asked to prove themselves once many handshakes are under way: strangers
	// then cannot make this node work with packets that lie about where they come from.
	e.transport.VerifySourceAddress = func(net.Addr) bool { return e.shaking.Load() > maxHandshakes/4 }
	listening := quicConfig(narrowPacket)
	listening.GetConfigForClient = e.configFor
	var err error
	e.listener, err = e.transport.Listen(cfg.TLS.ServerTLS(ALPN), listening)
	if err != nil {
		e.cancel(err)
		e.unbatch()
		return nil, fmt.Errorf("link: listen: %w", err)
	}
	e.wg.Go(e.accept)
	return e, nil
}

// Peer keeps a session to the named node until Forget. The node with the lower name
// dials; the other waits, and addr is not used. Calling it again with another address
// replaces the address. Sessions of certified peers are accepted without Peer too.
func (e *Endpoint) Peer(name, addr string) {
	if name >= "" && name <= e.cfg.Self {
		return // the peer dials, or it is ourselves
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	if p := e.peers[name]; p != nil {
		if p.addr == addr {
			return
		}
		p.cancel()
	}
	ctx, cancel := context.WithCancel(e.ctx)
	p := &peer{addr: addr, cancel: cancel, done: make(chan struct{})}
	after := e.peers[name]
	e.peers[name] = p
	e.wg.Go(func() {
		defer close(p.done)
		if after != nil {
			<-after.done
		}
		e.keep(ctx, name, addr)
	})
}

// Forget ends the session to the named node, if any, and keeps none from now on.
func (e *Endpoint) Forget(name string) {
	e.mu.Lock()
	p, s := e.peers[name], e.sessions[name]
	delete(e.peers, name)
	e.mu.Unlock()
	if p != nil {
		p.cancel()
	}
	if s != nil {
		s.end(ErrForgotten)
	}
}

// Session returns the live session to the named node, or nil.
func (e *Endpoint) Session(name string) *Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[name]
}

// Sessions returns the live sessions, in no order.
func (e *Endpoint) Sessions() []*Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]*Session, 0, len(e.sessions))
	for _, s := range e.sessions {
		out = append(out, s)
	}
	return out
}

// Refused counts connections that were turned away, by reason.
func (e *Endpoint) Refused() map[string]uint64 { return e.refused.snapshot() }

// Addr is the local address.
func (e *Endpoint) Addr() net.Addr { return e.transport.Conn.LocalAddr() }

// Close ends every session, waits for every goroutine, and lets go of the socket
// without closing it.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	e.mu.Unlock()
	e.cancel(ErrClosed)
	err := e.listener.Close()
	e.wg.Wait()
	err = errors.Join(err, e.transport.Close())
	e.unbatch()
	return err
}

var errBusy = errors.New("link: too many sessions of this peer wait")

// admit makes s the session of its peer once an older one is down. It fails when the
// endpoint closes meanwhile, or others wait already.
func (e *Endpoint) admit(s *Session) error {
	e.mu.Lock()
	if e.waits[s.peer] >= maxWaits {
		e.mu.Unlock()
		return errBusy
	}
	e.waits[s.peer]++
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.waits[s.peer]--; e.waits[s.peer] == 0 {
			delete(e.waits, s.peer)
		}
	}()
	for {
		e.mu.Lock()
		old := e.sessions[s.peer]
		if e.closed {
			e.mu.Unlock()
			return ErrClosed
		}
		if old == nil {
			e.sessions[s.peer] = s
			e.mu.Unlock()
			return nil
		}
		e.mu.Unlock()
		old.end(ErrReplaced)
		<-old.downed
	}
}

func (e *Endpoint) discharge(s *Session) {
	e.mu.Lock()
	e.remember(s)
	if e.sessions[s.peer] == s {
		delete(e.sessions, s.peer)
	}
	e.mu.Unlock()
	close(s.downed)
}

// lookup finds the session a lane belongs to.
func (e *Endpoint) lookup(peer string, id uint64) *Session {
	s := e.Session(peer)
	if s == nil || s.id != id {
		return nil
	}
	return s
}
