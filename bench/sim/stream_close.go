package sim

import (
	"io"
	"net"
	"time"
)

// Close sends what was written and a FIN; the peer is reset instead when it had sent what
// nobody read (RFC 2525 section 2.17) or after SetLinger(0).
func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return opError("close", "tcp", s.local, net.ErrClosed)
	}
	s.closed = true
	s.rd.stop()
	s.wd.stop()
	s.readable.Broadcast()
	s.writable.Broadcast()
	if s.gone {
		return nil
	}
	unread := s.unread > 0
	s.in, s.unread = nil, 0
	if !unread && !s.abort && !s.fin {
		s.fin = true
		s.push(nil)
		return nil
	}
	n := s.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if unread || s.abort {
		s.sendReset(n)
	}
	if len(s.flight) == 0 {
		delete(s.h.streams, s)
	}
	return nil
}

// CloseWrite sends a FIN after what was written; reading goes on.
func (s *stream) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.err; err != nil || s.closed {
		return opError("close", "tcp", s.local, net.ErrClosed)
	}
	if !s.fin {
		s.fin = true
		s.push(nil)
	}
	return nil
}

// CloseRead ends reading; what the peer still sends is thrown away.
func (s *stream) CloseRead() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return opError("close", "tcp", s.local, net.ErrClosed)
	}
	s.deaf, s.in, s.unread = true, nil, 0
	s.readable.Broadcast()
	s.peer.writable.Broadcast()
	return nil
}

func (s *stream) LocalAddr() net.Addr  { return s.local }
func (s *stream) RemoteAddr() net.Addr { return s.remote }

func (s *stream) SetDeadline(t time.Time) error {
	return s.setDeadlines(t, true, true)
}

func (s *stream) SetReadDeadline(t time.Time) error  { return s.setDeadlines(t, true, false) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.setDeadlines(t, false, true) }

func (s *stream) setDeadlines(t time.Time, read, write bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return opError("set", "tcp", s.local, net.ErrClosed)
	}
	if read {
		s.rd.set(t, &s.readable)
	}
	if write {
		s.wd.set(t, &s.writable)
	}
	return nil
}

// SetLinger with 0 makes Close reset the peer; other values change nothing.
func (s *stream) SetLinger(sec int) error {
	s.mu.Lock()
	s.abort = sec == 0
	s.mu.Unlock()
	return nil
}

// ReadFrom and the options below complete net.TCPConn for pion's transport.TCPConn.
func (s *stream) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{s}, r)
}

func (s *stream) SetKeepAlive(bool) error                { return nil }
func (s *stream) SetKeepAlivePeriod(time.Duration) error { return nil }
func (s *stream) SetNoDelay(bool) error                  { return nil }
func (s *stream) SetReadBuffer(int) error                { return nil }
func (s *stream) SetWriteBuffer(int) error               { return nil }
