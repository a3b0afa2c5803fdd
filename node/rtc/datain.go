package rtc

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/node/guard"
)

const (
	// dataInFlight is how many messages wait for the handler before the client's channel
	// is slowed down.
	dataInFlight = 64
	// maxClientChannels bounds the channels that a client may open.
	maxClientChannels = 8
	// sctpReceive in bytes bounds what of a client waits in the transport: unread, or of
	// messages it never finishes. A second of the fastest rate at 100 ms.
	sctpReceive = 128 << 10
)

// What a client may send. A file goes in chunks of 15 kB, 70 a second at the full rate;
// people type, point and drag at up to 60 messages a second. A data track brings its
// frames in packets of 16 kB at most.
var (
	dataRate  = perSecond(300, 1<<20, time.Second)
	trackRate = perSecond(1000, 2<<20, time.Second/2)
)

func rateOf(ch Channel) rate {
	if ch == DataTrack {
		return trackRate
	}
	return dataRate
}

// dataIn is what comes from the client.
type dataIn struct {
	slots chan struct{}

	mu     sync.Mutex // guards the meters
	meters [numChannels]meter

	slowed, refused atomic.Uint64
}

// clientChannel takes a channel that the client opened. Labels that mean nothing here
// stay open and unread, as clients expect. On a Duplex peer the first channel of each
// label carries the node's messages too.
func (p *Peer) clientChannel(dc *webrtc.DataChannel) {
	if n := int(p.data.opened.Add(1)); n > maxClientChannels {
		p.shut(limit("data channels", n, maxClientChannels))
		return
	}
	dc.OnMessage(func(m webrtc.DataChannelMessage) { p.tap.read(len(m.Data)) })
	for ch := range numChannels {
		if dc.Label() != ch.String() {
			continue
		}
		if p.role == Duplex && !p.data.has(ch) {
			p.sendOn(ch, dc)
		}
		p.listen(ch, dc)
	}
}

// listen reads a channel. Over the rate, lossy messages are refused and reliable ones
// wait: the transport's window closes, and the client's own queue grows.
func (p *Peer) listen(ch Channel, dc *webrtc.DataChannel) {
	dc.OnMessage(func(m webrtc.DataChannelMessage) {
		p.tap.read(len(m.Data))
		if !p.within(ch, len(m.Data)) {
			return
		}
		if ch == DataTrack {
			p.h.Data(ch, m.Data)
			return
		}
		select {
		case p.data.in.slots <- struct{}{}:
		case <-p.done:
			return
		}
		p.post(func() {
			<-p.data.in.slots
			p.h.Data(ch, m.Data)
		})
	})
}

// within waits until a message is within its channel's rate; false when it is refused.
func (p *Peer) within(ch Channel, n int) bool {
	in := &p.data.in
	in.mu.Lock()
	now, wait, ok := p.engine.now(), time.Duration(0), n <= maxMessage
	if !ok {
		in.meters[ch].charge(rateOf(ch), now, 1, n)
	} else if ch == Reliable {
		wait = in.meters[ch].take(rateOf(ch), now, n)
	} else {
		ok = in.meters[ch].try(rateOf(ch), now, n)
	}
	in.mu.Unlock()
	if !ok {
		in.refused.Add(1)
		p.refuse(guard.Data)
		return false
	}
	if wait == 0 {
		return true
	}
	in.slowed.Add(1)
	p.refuse(guard.Backlog)
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case <-late.C:
		return true
	case <-p.done:
		return false
	}
}

// Charge counts a message of the client again, so many times: it costs the room more
// than one, and its sender is to be slower.
func (p *Peer) Charge(ch Channel, times, bytes int) {
	in := &p.data.in
	in.mu.Lock()
	defer in.mu.Unlock()
	in.meters[ch].charge(rateOf(ch), p.engine.now(), times, times*bytes)
}
