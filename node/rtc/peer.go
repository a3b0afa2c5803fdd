package rtc

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"maille/node/guard"
	"maille/relay"
)

// feedbackQueue bounds the RTCP waiting to be sent to a publisher. What does not fit
// is asked for again by whoever misses it.
const feedbackQueue = 64

// Options shape a Peer.
type Options struct {
	Role Role
	// Name is put into the logs of this peer.
	Name string
	// TCPOnly tells the client no UDP address, if the engine has a TCP listener.
	TCPOnly bool
	// IdleOpen answers the sections that nothing is sent in as if something were, without
	// naming a track. Firefox plays nothing in a section that was inactive before; other
	// browsers hear of a new track only by a section that was.
	IdleOpen bool
	// Opening is for a client that hears of a track by its first packet: of one that sends
	// nothing yet, it is sent one that plays nothing.
	Opening bool
	// Hold sends nothing in a section of a Duplex before the client was Told of it, and had
	// time to listen.
	Hold bool
	// Resumed is set for a client that comes from another node; Resume follows.
	Resumed bool
	// Playout is what the client is told about the video it is sent.
	Playout Playout
}

// Peer is the node's end of one PeerConnection with a client. In the two-connection
// form of the protocol each client has an Uplink and a Downlink, else a Duplex.
type Peer struct {
	engine *Engine
	role   Role
	// tcpOnly: see Options.TCPOnly.
	tcpOnly bool
	// idleOpen: see Options.IdleOpen.
	idleOpen bool
	opening  bool // see Options.Opening
	hold     bool // see Options.Hold
	playout  Playout
	log      *slog.Logger
	h        Handler
	pc       *webrtc.PeerConnection
	events   *events
	rtcp     chan rtcp.Packet
	done     chan struct{} // closed when closing begins
	ended    chan struct{} // closed when nothing of the peer is left
	once     sync.Once
	loops    sync.WaitGroup // goroutines that read and write media

	streams streams
	tap     *tap
	path    pathToClient
	ears    sync.Map // SSRC of what is sent, uint32, to its *Subscriber

	nego sync.Mutex // held over each exchange of descriptions; taken before mu

	mu         sync.Mutex // guards all below
	state      State
	candidates int
	up         uplink
	down       downlink
	data       dataChannels
}

// NewPeer makes a peer that waits for the client's offer (Uplink, Duplex) or for
// something to offer (Downlink). h is called until State(Closed).
func (e *Engine) NewPeer(h Handler, o Options) (*Peer, error) {
	p := &Peer{
		engine: e, role: o.Role, h: h, tcpOnly: o.TCPOnly && e.tcp != nil, idleOpen: o.IdleOpen,
		opening: o.Opening, hold: o.Hold && o.Role == Duplex, playout: o.Playout,
		log:    e.log.With("peer", o.Name, "role", o.Role.String()),
		events: newEvents(),
		rtcp:   make(chan rtcp.Packet, feedbackQueue),
		done:   make(chan struct{}), ended: make(chan struct{}),
	}
	p.streams.peer, p.tap = p, newTap(p)
	p.path.pacer.wake = make(chan struct{}, 1)
	p.up.init()
	p.down.init()
	if o.Resumed {
		p.path.skips = maxSkips
	}
	p.data.init()
	pc, err := e.connection(p)
	if err != nil {
		return nil, fmt.Errorf("rtc: new peer: %w", err)
	}
	p.pc = pc
	if o.Role == Downlink && !o.Resumed {
		if err := p.openChannels(); err != nil {
			_ = pc.Close()
			return nil, err
		}
	}
	if err := e.add(p); err != nil {
		_ = pc.Close()
		return nil, err
	}
	// Only now: from here on pion's calls can end the peer, which its goroutines do.
	pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) { p.observe() })
	pc.SCTP().OnClose(func(error) { p.shut(ErrLost) }) // the client said goodbye
	pc.SCTP().Transport().OnStateChange(func(s webrtc.DTLSTransportState) {
		if s == webrtc.DTLSTransportStateFailed {
			p.shut(ErrLost) // no restart of ICE brings it back
		}
	})
	pc.OnTrack(p.received)
	pc.OnDataChannel(p.clientChannel)
	go p.events.run()
	p.loops.Go(p.sendFeedback)
	if o.Role == Downlink {
		p.loops.Go(p.negotiate)
	}
	if o.Role == Duplex {
		p.loops.Go(p.askSections)
	}
	if p.hold {
		p.loops.Go(p.endHolds)
	}
	if o.Role.sends() {
		p.loops.Go(p.report)
		p.loops.Go(p.sendWaiting)
	}
	if o.Role.receives() {
		p.loops.Go(p.askMissing)
	}
	return p, nil
}

// refuse counts something of the client that was turned away.
func (p *Peer) refuse(why guard.Reason) { p.engine.refused.Add(why) }

// Role returns what the peer was made for.
func (p *Peer) Role() Role { return p.role }

// State returns the newest transport state, which the handler may not have heard yet.
func (p *Peer) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// observe reads pion's state. pion calls from goroutines that may overtake each other,
// so its argument is not used.
func (p *Peer) observe() {
	p.mu.Lock()
	s := p.state
	var why error
	switch p.pc.ConnectionState() {
	case webrtc.PeerConnectionStateConnected:
		s = Connected
	case webrtc.PeerConnectionStateDisconnected:
		s = Disconnected
	case webrtc.PeerConnectionStateFailed:
		s, why = Failed, ErrLost
	case webrtc.PeerConnectionStateClosed:
		p.mu.Unlock()
		p.shut(ErrLost)
		return
	}
	changed := s != p.state && p.state != Closed
	if changed {
		p.state = s
		p.post(func() { p.h.State(s, why) })
	}
	p.mu.Unlock()
	if changed && s == Connected {
		p.startReady()
	}
}

// post queues a call of the handler. It never blocks.
func (p *Peer) post(f func()) { p.events.put(f) }

// Close ends the peer and waits until no goroutine of it is left. It must not be
// called by the handler.
func (p *Peer) Close() error {
	p.shut(nil)
	<-p.ended
	return nil
}

// shut begins the end without waiting for it.
func (p *Peer) shut(why error) {
	p.once.Do(func() {
		close(p.done)
		go p.finish(why)
	})
}

func (p *Peer) finish(why error) {
	// An exchange makes pion an ICE agent, also in the middle of closing; nobody would end
	// that one. Those to come see that the peer closes.
	p.nego.Lock()
	//lint:ignore SA2001 the lock is waited for, not used
	p.nego.Unlock()
	if err := p.pc.GracefulClose(); err != nil {
		p.log.Debug("closing", "err", err)
	}
	p.endSubscribers()
	p.mu.Lock() // whoever saw the peer open under mu has started its loop by now
	//lint:ignore SA2001 see above: the lock is waited for, not used
	p.mu.Unlock()
	p.loops.Wait()
	p.endPublications()
	p.mu.Lock()
	p.state = Closed
	p.mu.Unlock()
	p.post(func() { p.h.State(Closed, why) })
	p.events.end()
	p.engine.remove(p)
	close(p.ended)
}

func (p *Peer) closing() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// feed queues RTCP for the client without blocking the caller, who may hold up a
// track's fan-out.
func (p *Peer) feed(pkt rtcp.Packet) {
	select {
	case p.rtcp <- pkt:
	default:
	}
}

func (p *Peer) sendFeedback() {
	for {
		select {
		case <-p.done:
			return
		case pkt := <-p.rtcp:
			if err := p.pc.WriteRTCP([]rtcp.Packet{pkt}); err != nil {
				p.log.Debug("rtcp", "err", err)
			}
		}
	}
}

// events calls the handler, one call after the other. It is bounded by what is put
// in: a peer's states, its at most sdp.MaxOfferSections tracks, one demand for each, one
// offer at a time, and dataInFlight messages.
type events struct {
	wake  chan struct{}
	ended chan struct{}

	mu     sync.Mutex // guards all below
	queue  []func()
	closed bool
}

func newEvents() *events {
	return &events{wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

func (e *events) put(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.queue = append(e.queue, f)
	e.nudge()
}

func (e *events) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *events) run() {
	defer close(e.ended)
	for range e.wake {
		for {
			e.mu.Lock()
			queue, closed := e.queue, e.closed
			e.queue = nil
			e.mu.Unlock()
			for _, f := range queue {
				f()
			}
			if len(queue) > 0 {
				continue
			}
			if closed {
				return
			}
			break
		}
	}
}

// end lets what is queued run, then stops.
func (e *events) end() {
	e.mu.Lock()
	e.closed = true
	e.nudge()
	e.mu.Unlock()
	<-e.ended
}

// Mids returns the complete map of mid to track of this peer as last negotiated or
// offered, for SessionDescription.mid_to_track_id.
func (p *Peer) Mids() map[string]relay.TrackID {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]relay.TrackID)
	for mid, s := range p.up.sections {
		if s.pub != nil {
			out[mid] = s.pub.sid
		}
	}
	for _, s := range p.down.subs {
		if t := s.transceiver; t != nil && t.Mid() != "" {
			out[t.Mid()] = s.down.Sid
		}
	}
	return out
}
