package rtc

import (
	"sync/atomic"

	"github.com/pion/transport/v4/packetio"

	"maille/node/guard"
	"maille/node/rtc/sdp"
	"maille/relay"
)

const (
	// maxStreams bounds a connection's incoming SSRCs: every encoding of every section and
	// its retransmissions, and as many again while they change. pion keeps each until the
	// connection ends, whether anything reads it or not.
	maxStreams = 4 * sdp.MaxOfferSections * relay.MaxSpatial
	// maxReportStreams bounds the SSRCs that a client reports on: what it is sent, with
	// retransmissions, and what it sends.
	maxReportStreams = 2*sdp.MaxSections + maxStreams
	// maxStreamUnread and maxReportsUnread bound what waits to be read of one stream, in
	// bytes: pion's own bounds.
	maxStreamUnread  = 1000 * 1000
	maxReportsUnread = 100 * 1000
	// maxUnread bounds what waits of all streams of a connection, in bytes: a second of
	// every track that a client may send before it announces them.
	maxUnread = 8 << 20
)

// streams bounds one connection's incoming SSRCs and what waits of them. The first
// authentic packet of an SSRC begins a stream.
type streams struct {
	peer       *Peer
	rtp, rtcp  atomic.Int32
	unread     atomic.Int64
	overflowed atomic.Bool
}

func (s *streams) open(kind packetio.BufferPacketType) *streamBuffer {
	count, most, unread := &s.rtp, int32(maxStreams), maxStreamUnread
	if kind == packetio.RTCPBufferPacket {
		count, most, unread = &s.rtcp, maxReportStreams, maxReportsUnread
	}
	b := &streamBuffer{Buffer: packetio.NewBuffer(), of: s, count: count}
	b.SetLimitSize(unread)
	if n := count.Add(1); n > most {
		if !s.overflowed.Swap(true) {
			s.peer.refuse(guard.Stream)
			s.peer.shut(limit("streams", int(n), int(most)))
		}
		_ = b.Close()
	}
	return b
}

// streamBuffer holds what came of one SSRC until it is read.
type streamBuffer struct {
	*packetio.Buffer
	of     *streams
	count  *atomic.Int32
	unread atomic.Int64
	closed atomic.Bool
}

// Write takes a packet. It is never an error to pion, which would log it: what does
// not fit is counted and gone.
func (b *streamBuffer) Write(p []byte) (int, error) {
	n := int64(len(p))
	if b.closed.Load() {
		return len(p), nil
	}
	if b.of.unread.Add(n) > maxUnread {
		b.of.unread.Add(-n)
		b.of.peer.refuse(guard.Stream)
		return len(p), nil
	}
	b.unread.Add(n)
	if _, err := b.Buffer.Write(p); err != nil {
		b.release(n)
		b.of.peer.refuse(guard.Stream)
	}
	return len(p), nil
}

func (b *streamBuffer) Read(p []byte) (int, error) {
	n, err := b.Buffer.Read(p)
	b.release(int64(n))
	return n, err
}

// release gives up to n bytes back: Close may have given them back before.
func (b *streamBuffer) release(n int64) {
	for {
		have := b.unread.Load()
		n = min(n, have)
		if b.unread.CompareAndSwap(have, have-n) {
			b.of.unread.Add(-n)
			return
		}
	}
}

// Close frees the stream's place. What was not read of it counts no more.
func (b *streamBuffer) Close() error {
	if !b.closed.Swap(true) {
		b.count.Add(-1)
		b.of.unread.Add(-b.unread.Swap(0))
	}
	return b.Buffer.Close()
}
