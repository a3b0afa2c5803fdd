package linkbench

import (
	"context"
	"net"
)

// udpSender sends each packet as one datagram.
type udpSender struct {
	conn net.PacketConn
	to   net.Addr
	buf  [2048]byte
	sent Sent
}

func (u *udpSender) Ready(context.Context) error { return nil }

func (u *udpSender) Send(p Offered, m Mark) {
	m.put(u.buf[:])
	if _, err := u.conn.WriteTo(u.buf[:p.Bytes], u.to); err == nil {
		u.sent.Datagrams++
		u.sent.Packets++
	}
}

func (u *udpSender) Sent() Sent   { return u.sent }
func (u *udpSender) Close() error { return nil }

type udpReceiver struct {
	conn  net.PacketConn
	ended chan struct{}
}

func openUDPReceiver(e Ends, got func(Mark)) Receiver {
	if c, ok := e.Conn.(interface{ SetReadBuffer(int) error }); ok {
		_ = c.SetReadBuffer(7 << 20) // as quic-go does
	}
	u := &udpReceiver{e.Conn, make(chan struct{})}
	go func() {
		defer close(u.ended)
		var buf [2048]byte
		for {
			n, _, err := e.Conn.ReadFrom(buf[:])
			if err != nil {
				return
			}
			if m, ok := parseMark(buf[:n]); ok {
				got(m)
			}
		}
	}()
	return u
}

// Close closes the socket, as nothing else ends a read.
func (u *udpReceiver) Close() error {
	err := u.conn.Close()
	<-u.ended
	return err
}

// noSender sends nothing: what it costs is the load itself.
type noSender struct {
	buf  [2048]byte
	sent Sent
}

func (n *noSender) Ready(context.Context) error { return nil }
func (n *noSender) Send(_ Offered, m Mark)      { m.put(n.buf[:]); n.sent.Packets++ }
func (n *noSender) Sent() Sent                  { return n.sent }
func (n *noSender) Close() error                { return nil }
