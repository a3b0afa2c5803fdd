package rtc

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pion/webrtc/v4"

	"maille/node/guard"
)

const (
	// maxMessage in bytes is what LiveKit clients send at most.
	maxMessage = 64000
	// maxReliableBacklog in bytes unread by the client ends its session: it is gone or
	// hopelessly slow, and its room must not pay in memory.
	maxReliableBacklog = 2 << 20
	// lossyInFlight in bytes is handed to the transport before lossy messages wait: 5
	// Mbit/s at 100 ms. What the transport has can no longer be dropped.
	lossyInFlight = 64 << 10
	// lossyBacklog in bytes is what waits behind that; it holds any one message.
	lossyBacklog = 64<<10 + 1<<10
)

// dataChannels are a peer's data channels.
type dataChannels struct {
	in     dataIn
	wake   chan struct{} // a congested channel has room again
	ready  func()        // wakes; made once
	opened atomic.Int32  // channels opened by the client

	mu    sync.Mutex // guards all below; taken after Peer.mu, if both
	out   [numChannels]*webrtc.DataChannel
	waits [numChannels]backlog
	early [][]byte // reliable messages from before the channel opened
	held  int      // bytes of early
	buf   []byte   // of the message that leaves a backlog

	sent, dropped atomic.Uint64
}

func (d *dataChannels) init() {
	d.in.slots = make(chan struct{}, dataInFlight)
	d.wake = make(chan struct{}, 1)
	d.ready = func() {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

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
		p.sendOn(ch, dc)
		p.listen(ch, dc)
	}
	return nil
}

// sendOn makes dc the channel for what the node sends.
func (p *Peer) sendOn(ch Channel, dc *webrtc.DataChannel) {
	p.data.mu.Lock()
	p.data.out[ch] = dc
	p.data.mu.Unlock()
	if ch == Reliable {
		dc.OnOpen(p.sendEarly)
		return
	}
	dc.SetBufferedAmountLowThreshold(lossyInFlight / 2)
	dc.OnBufferedAmountLow(p.data.ready)
}

func (d *dataChannels) has(ch Channel) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out[ch] != nil
}

// SendData sends one message to the client and never blocks; it does not keep b, but
// for a reliable message, which must not change any more. A congested channel drops its
// oldest lossy messages, one not yet open all of them, counted. Reliable ones wait;
// beyond maxReliableBacklog the peer is closed with ErrSlowReader.
func (p *Peer) SendData(ch Channel, b []byte) error {
	switch {
	case !p.role.sends() || ch >= numChannels:
		return ErrRole
	case len(b) > maxMessage:
		return limit("message bytes", len(b), maxMessage)
	case p.closing():
		return ErrClosed
	}
	d := &p.data
	d.mu.Lock()
	defer d.mu.Unlock()
	dc := d.out[ch]
	open := dc != nil && dc.ReadyState() == webrtc.DataChannelStateOpen
	switch {
	case ch == Reliable:
		return p.sendReliable(dc, open, b)
	case !open:
		d.dropped.Add(1)
		return nil
	case d.waits[ch].count == 0 && dc.BufferedAmount() < lossyInFlight:
		return d.push(dc, b)
	}
	out, ok := d.waits[ch].push(b, lossyBacklog)
	if !ok {
		out++
	}
	d.dropped.Add(uint64(out))
	return nil
}

func (p *Peer) sendReliable(dc *webrtc.DataChannel, open bool, b []byte) error {
	d := &p.data
	backlog := d.held + len(b)
	if dc != nil {
		backlog += int(dc.BufferedAmount())
	}
	if backlog > maxReliableBacklog {
		p.refuse(guard.Reader)
		p.shut(ErrSlowReader)
		return ErrSlowReader
	}
	if !open || d.held > 0 {
		d.early = append(d.early, b)
		d.held += len(b)
		return nil
	}
	return d.push(dc, b)
}

func (d *dataChannels) push(dc *webrtc.DataChannel, b []byte) error {
	if err := dc.Send(b); err != nil {
		d.dropped.Add(1)
		return fmt.Errorf("rtc: send: %w", err)
	}
	d.sent.Add(1)
	return nil
}

func (p *Peer) sendEarly() {
	d := &p.data
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.early {
		if err := d.push(d.out[Reliable], b); err != nil {
			break
		}
	}
	d.early, d.held = nil, 0
}

// sendWaiting hands waiting lossy messages to channels as they get room. The transport
// tells of room while it holds its own lock, so this goroutine does the sending.
func (p *Peer) sendWaiting() {
	for {
		select {
		case <-p.data.wake:
			p.data.flush()
		case <-p.done:
			return
		}
	}
}

func (d *dataChannels) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ch := range d.waits {
		w, dc := &d.waits[ch], d.out[ch]
		for w.count > 0 && dc.BufferedAmount() < lossyInFlight {
			d.buf = w.pop(d.buf[:0])
			if d.push(dc, d.buf) != nil {
				break
			}
		}
	}
}

// DataStats counts messages: to the client those sent and dropped; from it those that
// had to wait, and those refused, for being over the rate.
type DataStats struct{ Sent, Dropped, Slowed, Refused uint64 }

// DataStats returns the counters.
func (p *Peer) DataStats() DataStats {
	return DataStats{
		Sent: p.data.sent.Load(), Dropped: p.data.dropped.Load(),
		Slowed: p.data.in.slowed.Load(), Refused: p.data.in.refused.Load(),
	}
}
