package link

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"maille/relay"

	linkpb "maille/proto/link"
)

// channels are the ordered channels this side sends on, and those the peer does.
type channels struct {
	mu   sync.Mutex // guards the fields below
	out  map[string]*channel
	in   map[string]chan struct{} // closed when the newest stream of that name is read
	held int                      // bytes queued or being written, all channels together
	done bool
}

// channelIdle is how long a channel may carry nothing before its stream ends; the next
// message opens another. Rooms come and go for as long as a session lives, and a living
// one says something every few seconds.
const channelIdle = int64(time.Minute)

// channel is one ordered channel to the peer: a stream, opened with the first message.
type channel struct {
	name    string
	stream  *quic.SendStream // only its writer touches it
	pending [][]byte
	bytes   int  // queued or being written
	waiting int  // bytes of pending
	writing bool // a goroutine is sending
	used    int64
}

func (c *channels) init() {
	c.out, c.in = make(map[string]*channel), make(map[string]chan struct{})
}

// Send queues a message on a named channel, which opens with its first message. It
// never blocks and takes over msg. Messages of one channel arrive in order, each once,
// for as long as the session lives; a new session starts with nothing, so callers send
// snapshots on Handler.Up.
//
// When the peer leaves more than 8 MB or 4,096 messages of a channel undrained, or 64 MB
// of all of them, Send returns ErrFull and the session ends: whatever was thrown away instead would be
// missed for good. The snapshots of the next session repair it.
func (s *Session) Send(name string, msg []byte) error {
	if len(msg) > maxMessage || name == "" || len(name) > maxName {
		return ErrTooLarge
	}
	cs := &s.channels
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if s.ctx.Err() != nil || cs.done {
		return ErrClosed
	}
	c := cs.out[name]
	if c == nil {
		if len(cs.out) >= maxChannels {
			return ErrFull
		}
		c = &channel{name: name}
		cs.out[name] = c
	}
	if len(c.pending) >= channelQueue || c.bytes+len(msg) > channelBytes || cs.held+len(msg) > channelsBytes {
		s.end(ErrFull)
		return ErrFull
	}
	s.enqueue(c, msg)
	return nil
}

// enqueue adds a message to a channel. Call it with the lock held.
func (s *Session) enqueue(c *channel, msg []byte) {
	c.pending = append(c.pending, msg)
	c.used = relay.Now()
	c.bytes += len(msg)
	c.waiting += len(msg)
	s.channels.held += len(msg)
	if !c.writing {
		c.writing = true
		s.wg.Go(func() { s.drain(c) })
	}
}

// drain sends what is queued and ends; the next Send starts it again.
func (s *Session) drain(c *channel) {
	var batch [][]byte
	for {
		s.channels.mu.Lock()
		for _, msg := range batch {
			c.bytes -= len(msg)
			s.channels.held -= len(msg)
		}
		batch = c.pending
		c.pending, c.waiting = nil, 0
		if len(batch) == 0 {
			c.writing = false
			s.channels.mu.Unlock()
			return
		}
		s.channels.mu.Unlock()
		if err := s.write(c, batch); err != nil {
			s.fail(err)
			return
		}
	}
}

func (s *Session) write(c *channel, batch [][]byte) error {
	if c.stream == nil {
		stream, err := s.conn.OpenUniStreamSync(s.ctx)
		if err != nil {
			return err
		}
		c.stream = stream
		if err := writeMessage(stream, &linkpb.Hello{Kind: linkpb.Hello_KIND_CHANNEL, Channel: c.name}); err != nil {
			return err
		}
	}
	var head []byte
	for _, msg := range batch {
		head = appendLength(head[:0], len(msg))
		if _, err := c.stream.Write(head); err != nil {
			return err
		}
		if _, err := c.stream.Write(msg); err != nil {
			return err
		}
	}
	return nil
}

// endIdle ends the streams of channels that carried nothing for channelIdle.
func (c *channels) endIdle(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, ch := range c.out {
		if ch.writing || now-ch.used < channelIdle {
			continue
		}
		delete(c.out, name)
		if ch.stream != nil {
			_ = ch.stream.Close() // fails only when the session ends, and all streams with it
		}
	}
}

// close lets no writer start any more.
func (c *channels) close() {
	c.mu.Lock()
	c.done = true
	c.mu.Unlock()
}

// acceptChannels reads every channel the peer opens, one goroutine each.
func (s *Session) acceptChannels() {
	for {
		stream, err := s.conn.AcceptUniStream(s.ctx)
		if err != nil {
			s.fail(err)
			return
		}
		s.wg.Go(func() { s.readChannel(stream) })
	}
}

func (s *Session) readChannel(stream *quic.ReceiveStream) {
	name, read, err := s.openChannel(stream)
	for err == nil {
		var msg []byte
		if msg, err = readFrame(stream, maxMessage); err == nil {
			s.heard.Store(relay.Now())
			s.e.cfg.Handler.Message(s, name, msg)
		}
	}
	if read != nil && errors.Is(err, io.EOF) {
		s.channels.forgetRead(name, read)
		return
	}
	s.fail(err)
}

// openChannel reads whose stream it is, and waits until the one before it of the same
// name is read to its end: that one's messages came first.
func (s *Session) openChannel(stream *quic.ReceiveStream) (name string, read chan struct{}, err error) {
	hello := new(linkpb.Hello)
	if err := readMessage(stream, maxHello, hello); err != nil {
		return "", nil, err
	}
	if hello.Kind != linkpb.Hello_KIND_CHANNEL || hello.Channel == "" || len(hello.Channel) > maxName {
		return "", nil, ErrProtocol
	}
	cs := &s.channels
	read = make(chan struct{})
	cs.mu.Lock()
	before := cs.in[hello.Channel]
	cs.in[hello.Channel] = read
	cs.mu.Unlock()
	if before != nil {
		select {
		case <-before:
		case <-s.ctx.Done():
			return "", nil, ErrClosed
		}
	}
	return hello.Channel, read, nil
}

// forgetRead lets the next stream of a name begin.
func (c *channels) forgetRead(name string, read chan struct{}) {
	close(read)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in[name] == read {
		delete(c.in, name)
	}
}
