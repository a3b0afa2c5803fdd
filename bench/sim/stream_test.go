package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// connect opens a stream from a to b.
func connect(t *testing.T, a, b *Host) (client, server net.Conn) {
	t.Helper()
	l, err := b.Listen("tcp", ":7880")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = a.DialContext(t.Context(), "tcp", "b:7880")
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestStreamDelayAndHalfClose(t *testing.T) {
	inBubble(t, Path{Delay: 40 * time.Millisecond}, func(t *testing.T, n *Network, a, b *Host) {
		start := time.Now()
		c, s := connect(t, a, b)
		if took := time.Since(start); took != 80*time.Millisecond {
			t.Errorf("dial took %v", took)
		}
		start = time.Now()
		c.Write([]byte("ping"))
		c.(interface{ CloseWrite() error }).CloseWrite()
		got, err := io.ReadAll(s)
		if string(got) != "ping" || err != nil || time.Since(start) != 40*time.Millisecond {
			t.Errorf("%q %v after %v", got, err, time.Since(start))
		}
		s.Write([]byte("pong"))
		s.Close()
		got, err = io.ReadAll(c)
		if string(got) != "pong" || err != nil || time.Since(start) != 80*time.Millisecond {
			t.Errorf("%q %v after %v", got, err, time.Since(start))
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after CloseWrite: %v", err)
		}
		c.Close()
		wait(time.Second)
		if len(a.streams)+len(b.streams) != 0 {
			t.Error("closed streams stay in the tables")
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
	})
}

func TestStreamIsReliableAndPaced(t *testing.T) {
	path := Path{Delay: 20 * time.Millisecond, Jitter: 15 * time.Millisecond, Loss: 0.01, Rate: 80e6}
	inBubble(t, path, func(t *testing.T, n *Network, a, b *Host) {
		c, s := connect(t, a, b)
		want := make([]byte, 5<<20)
		r := rand.NewChaCha8([32]byte{1})
		r.Read(want)
		start := time.Now()
		go func() {
			for rest := want; len(rest) > 0; {
				k := min(len(rest), 1+int(r.Uint64()%100000))
				c.Write(rest[:k])
				rest = rest[k:]
			}
			c.Close()
		}()
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if least := time.Duration(len(want)) * 100; time.Since(start) < least*1 {
			t.Errorf("took %v, less than the path's rate allows (%v)", time.Since(start), least)
		}
	})
}

func TestStreamBackpressure(t *testing.T) {
	inBubble(t, Path{Delay: time.Millisecond}, func(t *testing.T, n *Network, a, b *Host) {
		c, s := connect(t, a, b)
		c.SetWriteDeadline(time.Now().Add(time.Second))
		k, err := c.Write(make([]byte, 2*window))
		if k != window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d, %v", k, err)
		}
		s.Close() // unread data: the peer is reset
		wait(time.Second)
		c.SetWriteDeadline(time.Time{})
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v", err)
		}
	})
}

func TestDialRefusedTimedOutCancelled(t *testing.T) {
	inBubble(t, Path{Delay: 30 * time.Millisecond}, func(t *testing.T, n *Network, a, b *Host) {
		dial := func(ctx context.Context, addr string) (time.Duration, error) {
			start := time.Now()
			c, err := a.DialContext(ctx, "tcp", addr)
			if err == nil {
				c.Close()
			}
			return time.Since(start), err
		}
		if took, err := dial(t.Context(), "10.0.1.1:1"); !errors.Is(err, syscall.ECONNREFUSED) || took != 60*time.Millisecond {
			t.Errorf("refused: %v after %v", err, took)
		}
		if took, err := dial(t.Context(), "10.9.9.9:1"); !errors.Is(err, syscall.ETIMEDOUT) || took != giveUp {
			t.Errorf("nowhere: %v after %v", err, took)
		}
		n.Cut("paris", "lyon")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if took, err := dial(ctx, "b:1"); !errors.Is(err, context.DeadlineExceeded) || took != 2*time.Second {
			t.Errorf("cancelled: %v after %v", err, took)
		}
		l, err := b.Listen("tcp", ":1")
		if err != nil {
			t.Fatal(err)
		}
		go func() { wait(2 * time.Second); n.Heal("paris", "lyon") }()
		if took, err := dial(t.Context(), "b:1"); err != nil || took > 4*time.Second || took < 2*time.Second {
			t.Errorf("healed: %v after %v", err, took)
		}
		l.Close()
	})
}

func TestStreamWaitsThroughAShortCut(t *testing.T) {
	inBubble(t, Path{Delay: 10 * time.Millisecond}, func(t *testing.T, n *Network, a, b *Host) {
		c, s := connect(t, a, b)
		n.Cut("a", "b")
		c.Write([]byte("late"))
		go func() { wait(5 * time.Second); n.Heal("a", "b") }()
		start := time.Now()
		buf := make([]byte, 10)
		k, err := s.Read(buf)
		if took := time.Since(start); string(buf[:k]) != "late" || err != nil || took < 5*time.Second || took > 10*time.Second {
			t.Errorf("%q %v after %v", buf[:k], err, took)
		}
	})
}

func TestStreamGivesUpOnALongCut(t *testing.T) {
	inBubble(t, Path{Delay: 10 * time.Millisecond}, func(t *testing.T, n *Network, a, b *Host) {
		c, s := connect(t, a, b)
		n.CutOneWay("b", "a")
		start := time.Now()
		c.Write([]byte("lost"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) != giveUp {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		n.Heal("a", "b")
		s.Write([]byte("anyone?"))
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the other end: %v", err)
		}
	})
}

func TestKillCrashRevive(t *testing.T) {
	inBubble(t, Path{Delay: 10 * time.Millisecond}, func(t *testing.T, n *Network, a, b *Host) {
		c, s := connect(t, a, b)
		start := time.Now()
		n.Crash("b")
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) || time.Since(start) != 10*time.Millisecond {
			t.Errorf("crash: %v after %v", err, time.Since(start))
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the dead process wrote: %v", err)
		}

		c, _ = connect(t, a, b)
		quiet, _ := connect(t, a, b)
		u := listenUDP(t, b, ":7000")
		start = time.Now()
		n.Kill("b")
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) != giveUp {
			t.Errorf("kill: %v after %v", err, time.Since(start))
		}
		if _, err := u.WriteTo([]byte("x"), u.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the dead host wrote: %v", err)
		}
		if _, err := b.Listen("tcp", ":0"); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("the dead host listens: %v", err)
		}
		if _, err := quiet.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) != 10*keepAlive {
			t.Errorf("idle: %v after %v", err, time.Since(start))
		}

		n.Revive("b")
		c, _ = connect(t, a, b)
		n.Kill("b")
		n.Revive("b")
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after revival: %v", err)
		}
	})
}

func TestCloseEndsADial(t *testing.T) {
	inBubble(t, Path{Delay: time.Hour}, func(t *testing.T, n *Network, a, b *Host) {
		go func() { wait(time.Second); n.Close() }()
		if _, err := a.DialContext(t.Context(), "tcp", "b:1"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}

func TestListenerClose(t *testing.T) {
	inBubble(t, Path{}, func(t *testing.T, n *Network, a, b *Host) {
		l, err := b.Listen("tcp", "10.0.1.1:80")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Listen("tcp", ":80"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second listener: %v", err)
		}
		c, err := a.DialContext(t.Context(), "tcp4", "10.0.1.1:80")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("never accepted: %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
	})
}
