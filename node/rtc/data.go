package rtc

import (
	"fmt"
	"sync/atomic"

	"github.com/pion/webrtc/v4"
)

const (
	// maxMessage in bytes is what LiveKit clients send at most.
	maxMessage = 64000
	// maxReliableBacklog in bytes unread by the client ends its session: it is gone or
	// hopelessly slow, and its room must not pay in memory.
	maxReliableBacklog = 2 << 20
	// maxLossyBacklog in bytes is a tenth of a second of a fast client; more is stale
	// before it is sent.
	maxLossyBacklog = 128 << 10
	// dataInFlight is how many messages wait for the handler before the client's channel
	// is slowed down.
	dataInFlight = 64
	// maxClientChannels bounds the channels that a client may open.
	maxClientChannels = 8
)

// dataChannels are a peer's data channels. Fields are guarded by Peer.mu except the
// counters.
type dataChannels struct {
	out    [numChannels]*webrtc.DataChannel
	early  [][]byte // reliable messages from before the channel opened
	held   int      // bytes of early
	opened int      // channels opened by the client
	slots  chan struct{}

	sent, dropped atomic.Uint64
}

func (d *dataChannels) init() { d.slots = make(chan struct{}, dataInFlight) }

// openChannels creates the channels towards the client.
func (p *Peer) openChannels() error {
	for ch := range numChannels {
		init := &webrtc.DataChannelInit{}
		if ch != Reliable {
			ordered, tries := false, uint16(0)
			init.Ordered, init.MaxRetransmits = &ordered, &tries
		}
		dc, err := p.pc.CreateDataChannel(ch.String(), init)
		if err != nil {
			return fmt.Errorf("rtc: channel %s: %w", ch, err)
		}
		p.data.out[ch] = dc
		p.listen(ch, dc)
		if ch == Reliable {
			dc.OnOpen(p.sendEarly)
		}
	}
	return nil
}

// clientChannel takes a channel that the client opened. Labels that mean nothing here
// stay open and unread, as clients expect.
func (p *Peer) clientChannel(dc *webrtc.DataChannel) {
	p.mu.Lock()
	p.data.opened++
	n := p.data.opened
	p.mu.Unlock()
	if n > maxClientChannels {
		p.shut(limit("data channels", n, maxClientChannels))
		return
	}
	for ch := range numChannels {
		if dc.Label() == ch.String() {
			p.listen(ch, dc)
		}
	}
}

func (p *Peer) listen(ch Channel, dc *webrtc.DataChannel) {
	dc.OnMessage(func(m webrtc.DataChannelMessage) {
		select {
		case p.data.slots <- struct{}{}:
		case <-p.done:
			return
		}
		p.post(func() {
			<-p.data.slots
			p.h.Data(ch, m.Data)
		})
	})
}

// SendData sends one message to the client and never blocks. Lossy messages are
// dropped and counted while the channel is congested or not yet open. Reliable ones
// wait; beyond maxReliableBacklog the peer is closed with ErrSlowReader.
func (p *Peer) SendData(ch Channel, b []byte) error {
	switch {
	case p.role != Downlink || ch >= numChannels:
		return ErrRole
	case len(b) > maxMessage:
		return limit("message bytes", len(b), maxMessage)
	case p.closing():
		return ErrClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	dc := p.data.out[ch]
	open := dc.ReadyState() == webrtc.DataChannelStateOpen
	backlog := int(dc.BufferedAmount())
	if ch != Reliable {
		if !open || backlog > maxLossyBacklog {
			p.data.dropped.Add(1)
			return nil
		}
		return p.push(dc, b)
	}
	if backlog+p.data.held+len(b) > maxReliableBacklog {
		p.shut(ErrSlowReader)
		return ErrSlowReader
	}
	if !open || p.data.held > 0 {
		p.data.early = append(p.data.early, append([]byte(nil), b...))
		p.data.held += len(b)
		return nil
	}
	return p.push(dc, b)
}

func (p *Peer) push(dc *webrtc.DataChannel, b []byte) error {
	if err := dc.Send(b); err != nil {
		p.data.dropped.Add(1)
		return fmt.Errorf("rtc: send: %w", err)
	}
	p.data.sent.Add(1)
	return nil
}

func (p *Peer) sendEarly() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.data.early {
		if err := p.push(p.data.out[Reliable], b); err != nil {
			break
		}
	}
	p.data.early, p.data.held = nil, 0
}

// DataStats counts messages towards the client.
type DataStats struct{ Sent, Dropped uint64 }

// DataStats returns the counters.
func (p *Peer) DataStats() DataStats {
	return DataStats{Sent: p.data.sent.Load(), Dropped: p.data.dropped.Load()}
}
