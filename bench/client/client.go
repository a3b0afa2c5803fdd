package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/transport/v4"
	"github.com/pion/webrtc/v4"
	"google.golang.org/protobuf/proto"

	"maille/proto/livekit"
)

// Options say where and how to join.
type Options struct {
	URL   string // ws://host:port, with an optional query (region=...)
	Token string
	// Dial opens the signalling connection; nil uses the host's network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Net carries the media; nil uses the host's network.
	Net transport.Net
	// NoAutoSubscribe leaves subscribing to Subscribe.
	NoAutoSubscribe bool
	// Codecs are what the client knows besides opus ("video/VP8"), most preferred first;
	// nil is all that pion does.
	Codecs []string
	// Single joins with one connection for both directions, as browsers do by default
	// (/rtc/v1). LateOffer keeps the first offer out of the join request, as Firefox does.
	Single, LateOffer bool
	// After is a client whose session this one goes on with, by a node of its own choice;
	// see Again.
	After *Client
	// SDK is what the client says it is; Go if unset.
	SDK livekit.ClientInfo_SDK
	// Browser is what the client says that it runs in, in lower case.
	Browser string
	// NoTransportCC is for a client that tells no more of its path than REMB, which its
	// owner sends.
	NoTransportCC bool
	// OnSignal sees every message of the server, from the reading goroutine.
	OnSignal func(*livekit.SignalResponse)
}

// maxMessage bounds one signalling message from the server.
const maxMessage = 4 << 20

// Client is one participant. Close ends it.
type Client struct {
	opts   Options
	ws     atomic.Pointer[websocket.Conn]
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// reading ends with the socket; cut is set while that is meant.
	reading sync.WaitGroup
	cut     atomic.Bool

	pub, sub *webrtc.PeerConnection
	joined   chan struct{} // closed on JoinResponse
	ready    chan struct{} // closed when the subscriber transport is connected
	readyOne sync.Once
	leftOne  sync.Once
	left     chan struct{} // closed on LeaveRequest or a lost socket
	// Closed when the server ended the data channels of a connection.
	pubClosed, subClosed chan struct{}

	mu           sync.Mutex // guards the fields below
	join         *livekit.JoinResponse
	leave        *livekit.LeaveRequest
	participants map[string]*livekit.ParticipantInfo // by identity
	speakers     map[string]*livekit.SpeakerInfo
	published    map[string]chan *livekit.TrackInfo // by cid
	received     map[string]*Received               // by track sid
	data         []*livekit.DataPacket
	tracks       dataTracks
	sequence     uint32 // of the last reliable packet sent
	channels     map[string]*webrtc.DataChannel
	nego         negotiation
	earlyPub     []webrtc.ICECandidateInit
	earlySub     []webrtc.ICECandidateInit
	quality      map[string]*livekit.SubscribedQualityUpdate
	announced    map[string]*livekit.TrackInfo // by cid
	token        string                        // the newest
	mids         map[string]string             // of the newest answer
	changed      chan struct{}                 // closed and replaced on every change
	err          error
}

// Connect joins and returns once media can flow towards the client.
func Connect(ctx context.Context, o Options) (*Client, error) {
	c := &Client{
		opts: o, joined: make(chan struct{}), ready: make(chan struct{}), left: make(chan struct{}),
		pubClosed: make(chan struct{}), subClosed: make(chan struct{}),
		participants: make(map[string]*livekit.ParticipantInfo), speakers: make(map[string]*livekit.SpeakerInfo),
		published: make(map[string]chan *livekit.TrackInfo), received: make(map[string]*Received),
		channels: make(map[string]*webrtc.DataChannel), quality: make(map[string]*livekit.SubscribedQualityUpdate),
		announced: make(map[string]*livekit.TrackInfo),
		changed:   make(chan struct{}), nego: negotiation{turn: make(chan struct{}, 1)},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	err := c.peers()
	if err == nil {
		err = c.dial(ctx, o.After != nil)
	}
	if err != nil {
		return nil, errors.Join(err, c.Drop())
	}
	c.startReading()
	select {
	case <-c.ready:
		return c, nil
	case <-c.left:
		err := c.Err()
		c.Close()
		return nil, fmt.Errorf("client: not admitted: %w", err)
	case <-ctx.Done():
		c.Close()
		return nil, fmt.Errorf("client: join: %w", ctx.Err())
	}
}

func (c *Client) dial(ctx context.Context, resume bool) error {
	u, err := url.Parse(c.opts.URL)
	if err != nil {
		return err
	}
	q := u.Query()
	if c.opts.Single {
		u.Path += "/rtc/v1"
		err = c.joinRequest(q, resume)
	} else {
		u.Path += "/rtc"
		c.joinQuery(q, resume)
	}
	if err != nil {
		return err
	}
	u.RawQuery = q.Encode()
	tr := &http.Transport{DialContext: c.opts.Dial, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	ws, res, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: tr},
		HTTPHeader: http.Header{"Authorization": {"Bearer " + c.opts.Token}},
	})
	if err != nil {
		if res != nil {
			return fmt.Errorf("client: HTTP %d: %w", res.StatusCode, err)
		}
		return fmt.Errorf("client: dial: %w", err)
	}
	ws.SetReadLimit(maxMessage)
	c.ws.Store(ws)
	return nil
}

// joinQuery writes the settings of /rtc.
func (c *Client) joinQuery(q url.Values, resume bool) {
	q.Set("protocol", "17")
	q.Set("sdk", strings.ToLower(c.sdk().String()))
	q.Set("version", "0.0.1")
	q.Set("auto_subscribe", "1")
	if c.opts.NoAutoSubscribe {
		q.Set("auto_subscribe", "0")
	}
	if resume {
		q.Set("reconnect", "1")
		q.Set("sid", c.sid())
	}
}

func (c *Client) peers() error {
	api, err := newAPI(c.opts)
	if err != nil {
		return err
	}
	targets := map[livekit.SignalTarget]**webrtc.PeerConnection{livekit.SignalTarget_PUBLISHER: &c.pub}
	if !c.opts.Single {
		targets[livekit.SignalTarget_SUBSCRIBER] = &c.sub
	}
	for target, pc := range targets {
		if *pc, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
			return err
		}
		(*pc).OnICECandidate(func(cand *webrtc.ICECandidate) {
			if cand == nil {
				return
			}
			init, _ := json.Marshal(cand.ToJSON())
			_ = c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Trickle{
				Trickle: &livekit.TrickleRequest{CandidateInit: string(init), Target: target},
			}})
		})
	}
	if c.opts.Single {
		c.sub, c.subClosed = c.pub, c.pubClosed
	}
	for pc, closed := range map[*webrtc.PeerConnection]chan struct{}{c.pub: c.pubClosed, c.sub: c.subClosed} {
		var once sync.Once
		pc.SCTP().OnClose(func(error) { once.Do(func() { close(closed) }) })
	}
	c.sub.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			c.readyOne.Do(func() { close(c.ready) })
		}
	})
	c.sub.OnTrack(c.onTrack)
	c.sub.OnDataChannel(c.hear)
	for label, reliable := range map[string]bool{"_reliable": true, "_lossy": false, "_data_track": false} {
		init := &webrtc.DataChannelInit{Ordered: &reliable}
		if !reliable {
			var none uint16
			init.MaxRetransmits = &none
		}
		if c.channels[label], err = c.pub.CreateDataChannel(label, init); err != nil {
			return err
		}
		c.hear(c.channels[label])
	}
	if c.opts.Single {
		return c.sections(firstSections, firstSections)
	}
	return nil
}

// Send writes one signalling request.
func (c *Client) Send(m *livekit.SignalRequest) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return c.ws.Load().Write(c.ctx, websocket.MessageBinary, b)
}

func (c *Client) startReading() {
	ws := c.ws.Load()
	c.reading.Add(1)
	c.wg.Go(func() {
		defer c.reading.Done()
		c.read(ws)
	})
}

func (c *Client) read(ws *websocket.Conn) {
	for {
		_, b, err := ws.Read(c.ctx)
		if err != nil && c.cut.Load() {
			return
		}
		if err != nil {
			c.end(err)
			return
		}
		m := new(livekit.SignalResponse)
		if err := proto.Unmarshal(b, m); err != nil {
			c.end(err)
			return
		}
		if c.opts.OnSignal != nil {
			c.opts.OnSignal(m)
		}
		if err := c.handle(m); err != nil {
			c.end(err)
			return
		}
	}
}

func (c *Client) end(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.notify()
	c.mu.Unlock()
	c.leftOne.Do(func() { close(c.left) })
}

// notify wakes those who Wait. Call it with mu held.
func (c *Client) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Wait blocks until ok returns true, checking on every change.
func (c *Client) Wait(ctx context.Context, what string, ok func() bool) error {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Millisecond): // packets arrive without a change
		case <-ctx.Done():
			return fmt.Errorf("client: waiting for %s: %w", what, ctx.Err())
		}
	}
}

// Err tells why the session ended.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leave != nil {
		return fmt.Errorf("leave: %s %s", c.leave.Reason, c.leave.Action)
	}
	return c.err
}

// Publisher and Subscriber are the connections, for tests that do with them what no
// honest client does.
func (c *Client) Publisher() *webrtc.PeerConnection  { return c.pub }
func (c *Client) Subscriber() *webrtc.PeerConnection { return c.sub }

// Left is closed when the server ended the session.
func (c *Client) Left() <-chan struct{} { return c.left }

// leaveWait is how long Close waits for the server to end the session.
const leaveWait = 2 * time.Second

// Close leaves the room and waits for everything to stop. It lets the server close
// first: if both ends close a connection at once, pion may wait for a timer under a
// mutex, which stops the clock of a bubble.
func (c *Client) Close() error {
	if c.ws.Load() != nil && c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Leave{Leave: &livekit.LeaveRequest{}}}) == nil {
		late := time.NewTimer(leaveWait)
		defer late.Stop()
		ends := []chan struct{}{c.left}
		for pc, closed := range map[*webrtc.PeerConnection]chan struct{}{c.pub: c.pubClosed, c.sub: c.subClosed} {
			if pc != nil && pc.SCTP().State() == webrtc.SCTPTransportStateConnected {
				ends = append(ends, closed)
			}
		}
		for _, end := range ends {
			select {
			case <-end:
			case <-late.C:
				return c.Drop()
			}
		}
	}
	return c.Drop()
}

// Drop vanishes without a word, as a killed browser does.
func (c *Client) Drop() error {
	var errs []error
	c.cancel()
	if ws := c.ws.Load(); ws != nil {
		_ = ws.CloseNow()
	}
	for _, pc := range []*webrtc.PeerConnection{c.pub, c.sub} {
		if pc != nil {
			errs = append(errs, pc.Close())
		}
	}
	c.wg.Wait()
	return errors.Join(errs...)
}
