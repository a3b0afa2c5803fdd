package guard

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestListenerIsBounded(t *testing.T) {
	const each = 8
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var refused Counts
	b := Listen(l, 100, each, &refused)
	defer b.Close()
	var held, dialed []net.Conn
	dial := func() {
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		dialed = append(dialed, c)
	}
	for range each {
		dial()
		c, err := b.Accept()
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	dial()
	next := make(chan net.Conn)
	go func() {
		c, _ := b.Accept()
		next <- c
	}()
	turned := dialed[len(dialed)-1]
	_ = turned.SetReadDeadline(time.Now().Add(2 * time.Minute))
	if _, err := turned.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one too many: %v", err)
	}
	_ = held[0].Close()
	_ = held[0].Close() // twice counts once
	dial()
	held = append(held, <-next)
	for _, c := range append(held, dialed...) {
		_ = c.Close()
	}
	if refused.Of(Connection) != 1 {
		t.Errorf("%d connections counted as turned away", refused.Of(Connection))
	}
	if b.total != 0 || len(b.from) != 0 {
		t.Errorf("%d connections counted after the end", b.total)
	}
}
