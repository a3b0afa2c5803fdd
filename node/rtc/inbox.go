package rtc

import (
	"io"

	"github.com/pion/transport/v4/packetio"

	"maille/relay"
)

// ccHead is the header of transport-wide feedback and the two SSRCs after it.
const ccHead = 12

// inbox is where pion puts the decrypted datagrams of one SSRC. Pion may hold a lock of
// the connection here.
func (p *Peer) inbox(kind packetio.BufferPacketType, ssrc uint32) io.ReadWriteCloser {
	b := p.streams.open(kind)
	if kind == packetio.RTCPBufferPacket {
		return &ear{streamBuffer: b, peer: p, ssrc: ssrc}
	}
	return b
}

// hear makes s hear the RTCP about its streams; it comes before their first packet.
func (p *Peer) hear(s *Subscriber, b *binding) {
	if s.down.Kind == relay.Video {
		p.path.begin(b.ids.TransportCC != 0)
	}
	p.ears.Store(b.ssrc, s)
	if b.rtxSSRC != 0 {
		p.ears.Store(b.rtxSSRC, s)
	}
}

func (p *Peer) unhear(s *Subscriber, b *binding) {
	p.ears.CompareAndDelete(b.ssrc, s)
	p.ears.CompareAndDelete(b.rtxSSRC, s)
}

// ear takes the RTCP addressed to one SSRC. What is about packets that this peer sends is
// taken as it comes, in pion's reading goroutine, and not from a queue with a goroutine
// for each subscription; the rest waits to be read. Write is called by one goroutine at
// a time.
type ear struct {
	*streamBuffer
	peer  *Peer
	ssrc  uint32
	asked asked
}

// Write takes one RTCP packet; the bytes are the caller's again when it returns.
func (e *ear) Write(b []byte) (int, error) {
	if len(b) >= ccHead && b[1] == typeTransport && b[0]&0x1f == formatCC {
		// About the whole connection, whatever stream it names.
		e.peer.arrived(b[ccHead:])
		return len(b), nil
	}
	if s, ok := e.peer.ears.Load(e.ssrc); ok {
		s.(*Subscriber).feedback(b, &e.asked)
		return len(b), nil
	}
	return e.streamBuffer.Write(b)
}
