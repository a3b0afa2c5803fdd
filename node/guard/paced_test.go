package guard

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// one is a listener of one connection.
type one struct{ net.Conn }

func (o one) Accept() (net.Conn, error) { return o.Conn, nil }
func (o one) Addr() net.Addr            { return o.LocalAddr() }

func TestPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		const rate, burst = 1000, 4000
		c, err := Paced(one{near}, rate, burst).Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = far.Write(make([]byte, burst+10*rate+1)) }()
		began := time.Now()
		b := make([]byte, 100)
		if _, err := io.ReadFull(c, make([]byte, burst)); err != nil || time.Since(began) > 0 {
			t.Errorf("the burst took %v: %v", time.Since(began), err)
		}
		for range 10 * rate / len(b) {
			if _, err := io.ReadFull(c, b); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d < 9*time.Second || d > 11*time.Second {
			t.Errorf("%d bytes beyond the burst took %v", 10*rate, d)
		}
		_ = c.Close()
		_ = far.Close()
	})
}

// Closing ends a read that waits.
func TestPacedClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c, _ := Paced(one{near}, 1, 1).Accept()
		go func() { _, _ = far.Write(make([]byte, 100)) }()
		_, _ = c.Read(make([]byte, 100))
		done := make(chan error)
		go func() { _, err := c.Read(make([]byte, 1)); done <- err }()
		synctest.Wait()
		began := time.Now()
		_ = c.Close()
		if err := <-done; err == nil || time.Since(began) > 0 {
			t.Errorf("read ended after %v with %v", time.Since(began), err)
		}
		_ = far.Close()
	})
}
