package linkbench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"maille/relay"
	"maille/relay/link"
	"maille/relay/track"
)

// linkSender is a node with the load's tracks, which the peer pulls.
type linkSender struct {
	nobody
	endpoint *link.Endpoint
	load     Load
	tracks   []*track.Track
	cameras  []*camera
	byID     map[relay.TrackID]*track.Track
}

// camera is the publisher of a track: it makes the next picture a keyframe when asked.
type camera struct {
	wanted [relay.MaxSpatial]atomic.Bool
	key    [relay.MaxSpatial]bool // the running picture is one; of the sending goroutine
}

func newCamera() *camera {
	c := &camera{}
	for i := range c.wanted {
		c.wanted[i].Store(true)
	}
	return c
}

// keyframe tells whether a packet belongs to one.
func (c *camera) keyframe(o Offered) bool {
	if o.First {
		c.key[o.Encoding] = o.Video && c.wanted[o.Encoding].Swap(false)
	}
	return c.key[o.Encoding]
}

// Keyframe implements relay.Source.
func (c *camera) Keyframe(spatial uint8) { c.wanted[spatial].Store(true) }

// Demand implements relay.Source; the load is offered in any case.
func (*camera) Demand(relay.LayerSet) {}

// Resend implements relay.Source; nothing is lost before the sender.
func (*camera) Resend(uint8, []uint16) {}

// nobody is a handler that serves nothing.
type nobody struct{}

func (nobody) Up(*link.Session)                      {}
func (nobody) Down(*link.Session, error)             {}
func (nobody) Message(*link.Session, string, []byte) {}
func (nobody) Serve(*link.Session, link.TrackRef) (*track.Track, error) {
	return nil, errors.New("no such track")
}

func (l *linkSender) Serve(_ *link.Session, ref link.TrackRef) (*track.Track, error) {
	if t := l.byID[ref.ID]; t != nil {
		return t, nil
	}
	return nil, errors.New("no such track")
}

func openLinkSender(e Ends) (Sender, error) {
	l := &linkSender{load: e.Load, byID: make(map[relay.TrackID]*track.Track)}
	for i := range e.Load.Tracks() {
		t := track.New(e.Load.Track(i), e.Load.Kind(i), "")
		c := newCamera()
		t.SetSource(c)
		l.tracks, l.cameras = append(l.tracks, t), append(l.cameras, c)
		l.byID[t.ID()] = t
	}
	var err error
	l.endpoint, err = link.Listen(link.Config{Self: senderName, Conn: e.Conn, TLS: e.Identity, Handler: l})
	if err != nil {
		return nil, err
	}
	l.endpoint.Peer(receiverName, e.To.String())
	return l, nil
}

// Ready waits until every track is wanted in full.
func (l *linkSender) Ready(ctx context.Context) error {
	for _, t := range l.tracks {
		for t.Demand() == relay.NoLayers {
			if err := wait(ctx, 5*time.Millisecond); err != nil {
				return fmt.Errorf("%s is not wanted: %w", t.ID(), err)
			}
		}
	}
	return nil
}

func (l *linkSender) Send(o Offered, m Mark) {
	p := relay.NewPacket()
	p.Seq, p.Timestamp, p.SSRC = o.Seq, o.Timestamp, uint32(o.Track)<<8|uint32(o.Encoding)
	p.Encoding, p.Spatial, p.Temporal = o.Encoding, o.Encoding, o.Temporal
	p.FrameStart, p.Marker, p.SwitchPoint = o.First, o.Last, o.First
	p.Keyframe = l.cameras[o.Track].keyframe(o)
	header := videoHeader
	if !o.Video {
		header = audioHeader
		p.Level, p.Voice, p.HasLevel = 30, true, true
	}
	p.Payload = p.Buffer()[:o.Bytes-header]
	m.put(p.Payload)
	p.Arrived = relay.Now()
	l.tracks[o.Track].Push(p)
}

func (l *linkSender) Sent() Sent {
	s := l.endpoint.Session(receiverName)
	if s == nil {
		return Sent{Notes: "no session"}
	}
	st := s.Stats()
	out := Sent{Datagrams: st.Sent.Datagrams, Packets: st.Sent.Packets, Lanes: st.Lanes}
	out.RepairBytes = st.Doubled * uint64(l.load.AudioBytes)
	shed := uint64(0)
	for _, stream := range st.Streams {
		size := l.load.AudioBytes
		if t := l.byID[relay.TrackID(stream.Track)]; t != nil && t.Kind() == relay.Video {
			size = l.load.VideoBytes
		}
		out.MediaBytes += stream.Packets * uint64(size)
		out.RepairBytes += stream.Repaired * uint64(size)
		shed += stream.Shed
	}
	out.Notes = fmt.Sprintf("loss %.3f, queue %v, cap %.1f Mbit/s, %d doubled, %d shed, drops %v",
		st.Loss, st.Queue.Round(time.Millisecond), 8*st.Cap/1e6, st.Doubled, shed, st.Drops)
	return out
}

func (l *linkSender) Close() error {
	err := l.endpoint.Close()
	for _, t := range l.tracks {
		t.Close()
	}
	return err
}

// linkReceiver is a node that pulls the load's tracks whenever a session comes up.
type linkReceiver struct {
	nobody
	endpoint *link.Endpoint
	load     Load
	tracks   []*track.Track

	mu  sync.Mutex // guards ups
	ups []*link.Upstream
}

func openLinkReceiver(e Ends, got func(Mark)) (Receiver, error) {
	l := &linkReceiver{load: e.Load}
	for i := range e.Load.Tracks() {
		t := track.New(e.Load.Track(i), e.Load.Kind(i), "")
		t.Attach(arrivals(got), relay.AllLayers)
		l.tracks = append(l.tracks, t)
	}
	var err error
	l.endpoint, err = link.Listen(link.Config{Self: receiverName, Conn: e.Conn, TLS: e.Identity, Handler: l})
	return l, err
}

// Up pulls everything, as a node does for its watchers.
func (l *linkReceiver) Up(s *link.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.ups {
		u.Close()
	}
	l.ups = l.ups[:0]
	for _, t := range l.tracks {
		l.ups = append(l.ups, s.Pull(link.TrackRef{Room: "bench", ID: t.ID()}, t))
	}
}

func (l *linkReceiver) Close() error {
	err := l.endpoint.Close()
	for _, t := range l.tracks {
		t.Close()
	}
	return err
}

// arrivals is the watcher of a track.
type arrivals func(Mark)

func (a arrivals) Push(p *relay.Packet) {
	if m, ok := parseMark(p.Payload); ok {
		a(m)
	}
}
func (arrivals) Clock(relay.Clock) {}
func (arrivals) Close()            {}
