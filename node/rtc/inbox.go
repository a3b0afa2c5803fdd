package rtc

import (
	"io"
	"sync"

	"github.com/pion/transport/v4/packetio"
)

// inbox is where pion puts the decrypted datagrams of one SSRC. RTCP about what this
// peer sends is taken as it comes, in pion's reading goroutine, and not from a queue
// with a goroutine for each subscription. Pion may hold a lock of the connection here.
func (p *Peer) inbox(kind packetio.BufferPacketType, ssrc uint32) io.ReadWriteCloser {
	if kind == packetio.RTCPBufferPacket {
		if _, ok := p.ears.Load(ssrc); ok {
			return &ear{peer: p, ssrc: ssrc, shut: make(chan struct{})}
		}
	}
	return p.streams.open(kind)
}

// hear makes s hear the RTCP about its streams; it comes before their first packet.
func (p *Peer) hear(s *Subscriber, b *binding) {
	p.ears.Store(b.ssrc, s)
	if b.rtxSSRC != 0 {
		p.ears.Store(b.rtxSSRC, s)
	}
}

func (p *Peer) unhear(s *Subscriber, b *binding) {
	p.ears.CompareAndDelete(b.ssrc, s)
	p.ears.CompareAndDelete(b.rtxSSRC, s)
}

// ear hears the RTCP about one SSRC of a subscription. Write is called by one goroutine
// at a time.
type ear struct {
	peer  *Peer
	ssrc  uint32
	asked asked
	once  sync.Once
	shut  chan struct{}
}

// Write takes one RTCP packet; the bytes are the caller's again when it returns.
func (e *ear) Write(b []byte) (int, error) {
	if s, ok := e.peer.ears.Load(e.ssrc); ok {
		s.(*Subscriber).feedback(b, &e.asked)
	}
	return len(b), nil
}

// Read has nothing to give until the stream's end.
func (e *ear) Read([]byte) (int, error) {
	<-e.shut
	return 0, io.EOF
}

// Close ends Read.
func (e *ear) Close() error {
	e.once.Do(func() { close(e.shut) })
	return nil
}
