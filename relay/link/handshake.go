package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"google.golang.org/protobuf/proto"

	linkpb "maille/proto/link"
)

// refusal names why a connection was turned away.
type refusal int

const (
	refusedHandshake refusal = iota // TLS failed: no certificate, or another cluster's
	refusedBusy                     // too many handshakes at once
	refusedHello                    // no or a malformed hello
	refusedName                     // the hello's name is not the certificate's
	refusedVersion
	refusedDirection // the higher name must not dial
	refusedSession   // a lane of a session that is not there
	refusedLanes     // more lanes than a session has
	numRefusals
)

var refusalNames = [numRefusals]string{
	"handshake", "busy", "hello", "name", "version", "direction", "session", "lanes",
}

type refusals [numRefusals]atomic.Uint64

func (r *refusals) snapshot() map[string]uint64 {
	out := make(map[string]uint64)
	for i := range r {
		if n := r[i].Load(); n > 0 {
			out[refusalNames[i]] = n
		}
	}
	return out
}

// errRefusal carries a refusal to the one place that counts it.
type errRefusal struct{ why refusal }

func (e errRefusal) Error() string { return "link: refused: " + refusalNames[e.why] }

type handshakeKey struct{}

// watchHandshake counts connections whose handshake never completes: the TLS stack
// turns strangers away before we see them.
func (e *Endpoint) watchHandshake(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	done := new(atomic.Bool)
	e.shaking.Add(1)
	context.AfterFunc(ctx, func() {
		if done.Swap(true) {
			return
		}
		e.shaking.Add(-1)
		if e.ctx.Err() == nil {
			e.refused[refusedHandshake].Add(1)
		}
	})
	return context.WithValue(ctx, handshakeKey{}, done), nil
}

func (e *Endpoint) accept() {
	for {
		conn, err := e.listener.Accept(e.ctx)
		if err != nil {
			return
		}
		if done, ok := conn.Context().Value(handshakeKey{}).(*atomic.Bool); ok && !done.Swap(true) {
			e.shaking.Add(-1)
		}
		if e.pending.Add(1) > maxHandshakes {
			e.pending.Add(-1)
			e.refuse(conn, errRefusal{refusedBusy})
			continue
		}
		e.wg.Go(func() { e.welcome(conn) })
	}
}

func (e *Endpoint) refuse(conn *quic.Conn, err error) {
	why := refusedHello
	var r errRefusal
	if errors.As(err, &r) {
		why = r.why
	}
	e.refused[why].Add(1)
	e.log.Warn("connection refused", "from", conn.RemoteAddr(), "why", refusalNames[why])
	_ = conn.CloseWithError(codeRefused, refusalNames[why])
}

// welcome reads the hello of an accepted connection and makes it a session or a lane.
func (e *Endpoint) welcome(conn *quic.Conn) {
	var once sync.Once
	settled := func() { once.Do(func() { e.pending.Add(-1) }) }
	defer settled()

	ctx, cancel := context.WithTimeout(e.ctx, handshakeAfter)
	defer cancel()
	stream, hello, peer, err := e.readHello(ctx, conn)
	if err != nil {
		e.refuse(conn, err)
		return
	}
	answer := func() error {
		return writeMessage(stream, &linkpb.Welcome{Name: e.cfg.Self, Version: version, Session: hello.Session})
	}
	switch hello.Kind {
	case linkpb.Hello_KIND_CONTROL:
		if peer >= e.cfg.Self {
			e.refuse(conn, errRefusal{refusedDirection})
			return
		}
		s := newSession(e, peer, hello.Session, conn, stream, false)
		if err := e.admit(s); err != nil {
			if errors.Is(err, errBusy) {
				e.refuse(conn, errRefusal{refusedBusy})
			}
			_ = conn.CloseWithError(codeClosed, "")
			return
		}
		settled()
		if err := answer(); err != nil {
			s.end(err)
		}
		s.run()
	case linkpb.Hello_KIND_LANE:
		s := e.lookup(peer, hello.Session)
		if s == nil {
			e.refuse(conn, errRefusal{refusedSession})
			return
		}
		if err := answer(); err != nil || !s.addLane(conn, s.narrow.Load()) {
			e.refuse(conn, errRefusal{refusedLanes})
		}
	default:
		e.refuse(conn, errRefusal{refusedHello})
	}
}

func (e *Endpoint) readHello(ctx context.Context, conn *quic.Conn) (*quic.Stream, *linkpb.Hello, string, error) {
	peer, err := e.cfg.TLS.PeerName(conn.ConnectionState().TLS)
	if err != nil {
		return nil, nil, "", errRefusal{refusedName}
	}
	stream, err := conn.AcceptStream(ctx)
	if err != nil {
		return nil, nil, "", errRefusal{refusedHello}
	}
	_ = stream.SetReadDeadline(time.Now().Add(handshakeAfter))
	hello := new(linkpb.Hello)
	if err := readMessage(stream, maxHello, hello); err != nil {
		return nil, nil, "", errRefusal{refusedHello}
	}
	_ = stream.SetReadDeadline(time.Time{})
	if hello.Name != peer || hello.Name == e.cfg.Self {
		return nil, nil, "", errRefusal{refusedName}
	}
	if hello.VersionMin > version || hello.VersionMax < version {
		return nil, nil, "", errRefusal{refusedVersion}
	}
	return stream, hello, peer, nil
}

// greet dials one connection and says hello on it.
func (e *Endpoint) greet(ctx context.Context, peer, addr string, kind linkpb.Hello_Kind, session uint64, packet uint16) (*quic.Conn, *quic.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeAfter)
	defer cancel()
	to, err := resolve(ctx, addr)
	if err != nil {
		return nil, nil, fmt.Errorf("link: address of %s: %w", peer, err)
	}
	conn, err := e.transport.Dial(ctx, to, e.cfg.TLS.ClientTLS(peer, ALPN), quicConfig(packet))
	if err != nil {
		return nil, nil, fmt.Errorf("link: dial %s: %w", peer, err)
	}
	stream, err := e.introduce(ctx, conn, peer, kind, session)
	if err != nil {
		_ = conn.CloseWithError(codeRefused, "")
		return nil, nil, fmt.Errorf("link: greet %s: %w", peer, err)
	}
	return conn, stream, nil
}

func (e *Endpoint) introduce(ctx context.Context, conn *quic.Conn, peer string, kind linkpb.Hello_Kind, session uint64) (*quic.Stream, error) {
	if name, err := e.cfg.TLS.PeerName(conn.ConnectionState().TLS); err != nil || name != peer {
		e.refused[refusedName].Add(1)
		return nil, errors.Join(fmt.Errorf("certificate of %q", name), err)
	}
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	hello := &linkpb.Hello{Kind: kind, VersionMin: version, VersionMax: version, Name: e.cfg.Self, Session: session}
	if err := writeMessage(stream, hello); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = stream.SetReadDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { stream.CancelRead(codeClosed) })
	defer stop()
	answer := new(linkpb.Welcome)
	if err := readMessage(stream, maxHello, answer); err != nil {
		return nil, err
	}
	_ = stream.SetReadDeadline(time.Time{})
	if answer.Name != peer || answer.Session != session || answer.Version != version {
		return nil, ErrProtocol
	}
	return stream, nil
}

// readMessage reads one message behind a four-byte length.
func readMessage(r io.Reader, limit int, m proto.Message) error {
	b, err := readFrame(r, limit)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return nil
}

func readFrame(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > uint32(limit) {
		return nil, fmt.Errorf("%w: message of %d bytes", ErrProtocol, n)
	}
	// Grown as bytes arrive: a length alone makes nobody allocate.
	b := make([]byte, 0, min(n, 4<<10))
	for len(b) < int(n) {
		if len(b) == cap(b) {
			b = slices.Grow(b, min(len(b), int(n)-len(b)))
		}
		m, err := io.ReadFull(r, b[len(b):min(cap(b), int(n))])
		b = b[:len(b)+m]
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

func writeMessage(w io.Writer, m proto.Message) error {
	b, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 4, 64), m)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	_, err = w.Write(b)
	return err
}

func appendLength(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }
