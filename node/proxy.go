package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"maille/mesh/rpc"
	"maille/node/signal"
	"maille/placement"
	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
)

// A client's socket may land on a node that does not have its media. The entry node
// then carries the signalling, message by message, over one gRPC stream to the media
// node, which runs the session as if the socket were its own.

// proxyQueue bounds what waits for a proxied client, in messages, and proxyQueueBytes
// their bytes, as a socket's own queue does: the path between the two nodes may stall.
const (
	proxyQueue      = 512
	proxyQueueBytes = 8 << 20
)

// proxyOpen is how long a media node may take to open a session: the client waits, and
// another node may do it.
const proxyOpen = 3 * time.Second

// proxied is a Session whose room is on another node.
type proxied struct {
	stream grpc.BidiStreamingClient[meshpb.Frame, meshpb.Frame]
	cancel context.CancelFunc
}

// dialProxy opens the session on the media node, before the client's upgrade.
func (n *Node) dialProxy(ctx context.Context, peer, addr string, j *signal.Join, record *meshpb.Room, takeOver bool) (*proxied, error) {
	cc, err := n.pool.Conn(peer, addr)
	if err != nil {
		return nil, err
	}
	join, err := proto.Marshal(j.Request)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(n.life)
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	s, err := meshpb.NewSignalClient(cc).Proxy(life)
	if err == nil {
		err = s.Send(&meshpb.Frame{Body: &meshpb.Frame_Open{Open: &meshpb.Open{
			Room: j.Room, Epoch: record.Epoch, RoomSid: record.Sid, Record: record, Entry: n.self.Name, Token: j.Token,
			RemoteAddr: j.RemoteAddr, Join: join, Region: j.Region, SinglePc: j.SinglePC, TakeOver: takeOver,
		}}})
	}
	var f *meshpb.Frame
	if err == nil {
		f, err = s.Recv()
	}
	if err == nil && f.GetOpened() == nil {
		err = errors.New("the media node did not open the session")
	}
	if o := f.GetOpened(); err == nil && (o.Elsewhere != "" || o.Moving) {
		err = &redirect{node: o.Elsewhere, moving: o.Moving}
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("node: signalling through %s: %w", peer, err)
	}
	return &proxied{stream: s, cancel: cancel}, nil
}

// Run pumps messages both ways until either end closes.
func (p *proxied) Run(ctx context.Context, c signal.Conn) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer p.cancel()
	wg.Go(func() {
		defer p.cancel()
		for {
			req, err := c.Read(ctx)
			if err != nil {
				_ = p.stream.Send(closedFrame(err))
				_ = p.stream.CloseSend()
				// The media node ends the stream once it knows; give it the chance to say why.
				return
			}
			b, err := proto.Marshal(req)
			if err != nil || p.stream.Send(&meshpb.Frame{Body: &meshpb.Frame_Message{Message: b}}) != nil {
				return
			}
		}
	})
	for {
		f, err := p.stream.Recv()
		if err != nil {
			// The media node is gone; the client resumes and is placed anew.
			c.Close(signal.CloseInterrupted, "the media node is unreachable")
			return err
		}
		switch b := f.Body.(type) {
		case *meshpb.Frame_Message:
			m := new(livekit.SignalResponse)
			if err := proto.Unmarshal(b.Message, m); err != nil {
				c.Close(signal.CloseInternal, "bad message from the media node")
				return fmt.Errorf("node: message of the media node: %w", err)
			}
			if err := c.Write(m); err != nil {
				c.Close(signal.CloseTooSlow, "too much unread")
				return err
			}
		case *meshpb.Frame_Closed:
			c.Close(int(b.Closed.Code), b.Closed.Reason)
			return nil
		}
	}
}

func closedFrame(err error) *meshpb.Frame {
	out := &meshpb.Closed{Code: signal.CloseInterrupted}
	var closed *signal.Closed
	if errors.As(err, &closed) {
		out.Code, out.Reason = uint32(closed.Code), closed.Reason
	}
	return &meshpb.Frame{Body: &meshpb.Frame_Closed{Closed: out}}
}

// signalServer is the media node's end.
type signalServer struct {
	meshpb.UnimplementedSignalServer
	n *Node
}

func (s *signalServer) Proxy(stream grpc.BidiStreamingServer[meshpb.Frame, meshpb.Frame]) error {
	entry, ok := rpc.PeerFrom(stream.Context())
	if !ok {
		return status.Error(codes.Unauthenticated, "no certificate")
	}
	f, err := stream.Recv()
	if err != nil {
		return err
	}
	open := f.GetOpen()
	if open == nil || open.Entry != entry || open.Record == nil || open.Record.Name != open.Room {
		return status.Error(codes.InvalidArgument, "the first frame must open a session of the calling node")
	}
	session, err := s.n.openProxied(stream.Context(), open)
	if to, ok := errors.AsType[*redirect](err); ok {
		return stream.Send(&meshpb.Frame{Body: &meshpb.Frame_Opened{Opened: &meshpb.Opened{Elsewhere: to.node, Moving: to.moving}}})
	}
	if err != nil {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	if err := stream.Send(&meshpb.Frame{Body: &meshpb.Frame_Opened{Opened: &meshpb.Opened{}}}); err != nil {
		return err
	}
	c := newStreamConn(stream)
	err = session.Run(stream.Context(), c)
	code, reason := signal.CloseSessionEnded, ""
	if err != nil {
		code, reason = signal.CloseInterrupted, "session interrupted"
	}
	c.Close(code, reason)
	<-c.drained
	return nil
}

// openProxied checks the token again: no node is trusted with what a client may do.
func (n *Node) openProxied(ctx context.Context, open *meshpb.Open) (signal.Session, error) {
	claims, err := n.verifier.Verify(open.Token)
	if err == nil {
		err = claims.RequireJoin()
	}
	if err == nil {
		err = n.checkVoid(claims)
	}
	if err != nil {
		return nil, err
	}
	req := new(livekit.JoinRequest)
	if err := proto.Unmarshal(open.Join, req); err != nil {
		return nil, err
	}
	j, err := signal.NewJoin(open.Token, claims, req)
	if err != nil {
		return nil, err
	}
	if j.Room != open.Room {
		return nil, errors.New("the token is for another room")
	}
	j.Region, j.RemoteAddr, j.SinglePC = open.Region, open.RemoteAddr, open.SinglePc
	return n.openSession(ctx, j, placement.Assignment{Node: n.self.Name, Record: open.Record}, open.TakeOver)
}

// streamConn is a client's socket at the far end of a proxy stream.
type streamConn struct {
	stream  grpc.BidiStreamingServer[meshpb.Frame, meshpb.Frame]
	out     chan *meshpb.Frame
	drained chan struct{}

	mu     sync.Mutex // guards the fields below
	closed bool
	queued int // bytes in out
}

func newStreamConn(s grpc.BidiStreamingServer[meshpb.Frame, meshpb.Frame]) *streamConn {
	c := &streamConn{stream: s, out: make(chan *meshpb.Frame, proxyQueue), drained: make(chan struct{})}
	go func() {
		defer close(c.drained)
		for f := range c.out {
			c.mu.Lock()
			c.queued -= len(f.GetMessage())
			c.mu.Unlock()
			if s.Send(f) != nil {
				for range c.out {
					// The stream is dead: discard until the session notices.
				}
				return
			}
		}
	}()
	return c
}

func (c *streamConn) Read(context.Context) (*livekit.SignalRequest, error) {
	for {
		f, err := c.stream.Recv()
		if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
			return nil, &signal.Closed{Code: signal.CloseGoingAway, Reason: "entry node ended the stream"}
		}
		if err != nil {
			return nil, err
		}
		switch b := f.Body.(type) {
		case *meshpb.Frame_Closed:
			return nil, &signal.Closed{Code: int(b.Closed.Code), Reason: b.Closed.Reason}
		case *meshpb.Frame_Message:
			req := new(livekit.SignalRequest)
			if err := proto.Unmarshal(b.Message, req); err != nil {
				return nil, signal.ErrBadMessage
			}
			return req, nil
		}
	}
}

func (c *streamConn) Write(m *livekit.SignalResponse) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return c.put(&meshpb.Frame{Body: &meshpb.Frame_Message{Message: b}})
}

func (c *streamConn) put(f *meshpb.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return signal.ErrClosed
	}
	if len(c.out) == cap(c.out) || len(c.out) > 0 && c.queued+len(f.GetMessage()) > proxyQueueBytes {
		c.closed = true
		close(c.out)
		return signal.ErrSlow
	}
	c.queued += len(f.GetMessage())
	c.out <- f // there is room: nobody else puts while mu is held
	return nil
}

func (c *streamConn) Close(code int, reason string) {
	_ = c.put(&meshpb.Frame{Body: &meshpb.Frame_Closed{Closed: &meshpb.Closed{Code: uint32(code), Reason: reason}}})
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.out)
	}
}

var _ signal.Conn = (*streamConn)(nil)
