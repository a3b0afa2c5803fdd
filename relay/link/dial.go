package link

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	linkpb "maille/proto/link"
)

// Application error codes of QUIC connections and streams; people read them in logs.
const (
	codeClosed  = 0
	codeRefused = 1
	codeFailed  = 2
)

// Redials wait this long, doubling up to the maximum, with half of it random so that
// many nodes do not come back in one instant.
const (
	redialMin = 200 * time.Millisecond
	redialMax = 5 * time.Second
)

// keep dials the peer again and again and runs its sessions, one after the other.
func (e *Endpoint) keep(ctx context.Context, name, addr string) {
	wait := redialMin
	for ctx.Err() == nil {
		id := rand.Uint64()
		conn, stream, err := e.greet(ctx, name, addr, linkpb.Hello_KIND_CONTROL, id, narrowPacket)
		if err == nil {
			wait = redialMin
			e.runDialed(ctx, name, id, conn, stream)
		} else {
			e.log.Debug("dial failed", "peer", name, "err", err, "again", wait)
		}
		pause := wait/2 + rand.N(wait/2)
		wait = min(2*wait, redialMax)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (e *Endpoint) runDialed(ctx context.Context, name string, id uint64, conn *quic.Conn, stream *quic.Stream) {
	s := newSession(e, name, id, conn, stream, true)
	if err := e.admit(s); err != nil {
		_ = conn.CloseWithError(codeClosed, "")
		return
	}
	stop := context.AfterFunc(ctx, func() { s.end(ErrForgotten) })
	defer stop()
	s.run()
}

// resolve turns host:port into a UDP address; names go through the resolver.
func resolve(ctx context.Context, addr string) (*net.UDPAddr, error) {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return net.UDPAddrFromAddrPort(ap), nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ips[0].Unmap(), uint16(n))), nil
}
