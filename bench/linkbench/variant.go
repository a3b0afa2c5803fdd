package linkbench

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"maille/mesh/identity"
)

// Ends is what both ends of a variant need.
type Ends struct {
	Conn net.PacketConn
	// To is the far side; the receiving side waits for the sender and has none.
	To       net.Addr
	Identity *identity.Identity
	Load     Load
}

// Names of the two nodes in their certificates. The lower one dials.
const (
	senderName   = "a"
	receiverName = "b"
)

// Sender is the sending end. Its methods are called from one goroutine.
type Sender interface {
	// Ready waits until packets pass.
	Ready(context.Context) error
	// Send offers one packet. It never blocks in virtual time.
	Send(Offered, Mark)
	// Sent is what left so far.
	Sent() Sent
	Close() error
}

// Sent counts what a sender did.
type Sent struct {
	// Datagrams of media, and the packets in them.
	Datagrams, Packets uint64
	// MediaBytes is RTP bytes sent once, where the variant may leave some out; RepairBytes
	// is RTP bytes sent again, on request or ahead of it.
	MediaBytes, RepairBytes uint64
	Lanes                   int
	// Notes says what else is worth knowing.
	Notes string
}

// Receiver is the receiving end.
type Receiver interface{ Close() error }

// OpenSender starts the sending end of a variant.
func OpenSender(variant string, e Ends) (Sender, error) {
	switch variant {
	case "maille":
		return openLinkSender(e)
	case "quic":
		return openQUICSender(e, true)
	case "quic-direct":
		return openQUICSender(e, false)
	case "udp":
		return &udpSender{conn: e.Conn, to: e.To}, nil
	case "none":
		return &noSender{}, nil
	}
	return nil, fmt.Errorf("no variant %q", variant)
}

// OpenReceiver starts the receiving end; got is called for each packet that comes, maybe
// from several goroutines.
func OpenReceiver(variant string, e Ends, got func(Mark)) (Receiver, error) {
	switch variant {
	case "maille":
		return openLinkReceiver(e, got)
	case "quic", "quic-direct":
		return openQUICReceiver(e, got)
	case "udp":
		return openUDPReceiver(e, got), nil
	}
	return nil, fmt.Errorf("no variant %q", variant)
}

// Mark is the beginning of each payload: what the receiver measures by.
type Mark struct {
	ID    int
	At    int64
	Phase uint8
}

// Phases of a load.
const (
	Warming uint8 = iota
	Measured
	Over
)

const markBytes = 17

// rtpHeader is what a camera's packets carry before their payload: the fixed header and
// 16 bytes of extensions that end at the hop. Microphones' have the level instead.
const (
	videoHeader = 12 + 16
	audioHeader = 12 + 8
)

func (m Mark) put(b []byte) {
	binary.BigEndian.PutUint64(b, uint64(m.ID))
	binary.BigEndian.PutUint64(b[8:], uint64(m.At))
	b[16] = m.Phase
}

func parseMark(b []byte) (Mark, bool) {
	if len(b) < markBytes {
		return Mark{}, false
	}
	return Mark{int(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:])), b[16]}, true
}

// wait sleeps on whatever clock time is here.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
