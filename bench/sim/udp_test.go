package sim

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestReceiveBufferIsBounded(t *testing.T) {
	inBubble(t, Path{}, func(t *testing.T, n *Network, a, b *Host) {
		from, to := listenUDP(t, a, ":0"), listenUDP(t, b, ":7000")
		for range 1000 {
			from.WriteTo(make([]byte, 1000), &net.UDPAddr{IP: b.IP(), Port: 7000})
		}
		wait(time.Second)
		if s := n.Stats("a", "b"); s.Delivered != defaultBuffer/1000 || s.Overflow != 1000-s.Delivered {
			t.Errorf("stats %+v", s)
		}
		to.Close()
		from.WriteTo([]byte{1}, &net.UDPAddr{IP: b.IP(), Port: 7000})
		wait(time.Second)
		if s := n.Stats("a", "b"); s.NoSocket != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestBinding(t *testing.T) {
	inBubble(t, Path{}, func(t *testing.T, n *Network, a, b *Host) {
		a.AddIP("10.0.0.2")
		wild := listenUDP(t, a, ":7882")
		if got := wild.LocalAddr().String(); got != "0.0.0.0:7882" {
			t.Errorf("wildcard shows %s", got)
		}
		for addr, want := range map[string]error{
			"10.0.0.1:7882": syscall.EADDRINUSE, "10.0.1.1:7883": syscall.EADDRNOTAVAIL, "10.0.0.2:7883": nil,
		} {
			if _, err := a.ListenPacket("udp", addr); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", addr, err, want)
			}
		}
		from := listenUDP(t, b, "b:0")
		if port := from.LocalAddr().(*net.UDPAddr).Port; port < firstEphemeral {
			t.Errorf("ephemeral port %d", port)
		}
		buf := make([]byte, 10)
		for _, ip := range []string{"10.0.0.1", "10.0.0.2"} {
			from.WriteTo([]byte{1}, &net.UDPAddr{IP: net.ParseIP(ip), Port: 7882})
			_, who, err := wild.ReadFrom(buf)
			if err != nil || who.String() != from.LocalAddr().String() {
				t.Errorf("from %v, %v", who, err)
			}
		}
		local := listenUDP(t, a, "localhost:9000")
		from.WriteTo([]byte{1}, &net.UDPAddr{IP: net.ParseIP("10.0.0.1"), Port: 9000})
		wild.WriteTo([]byte{2}, local.LocalAddr())
		if _, who, err := local.ReadFrom(buf); err != nil || who.String() != "127.0.0.1:7882" || buf[0] != 2 {
			t.Errorf("over loopback: %v %v %v", who, buf[0], err)
		}
	})
}

func TestDeadlineAndCloseWakeReaders(t *testing.T) {
	inBubble(t, Path{}, func(t *testing.T, n *Network, a, b *Host) {
		c := listenUDP(t, a, ":0")
		start := time.Now()
		c.SetReadDeadline(start.Add(3 * time.Second))
		var timeout net.Error
		if _, _, err := c.ReadFrom(nil); !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		c.SetReadDeadline(time.Time{})
		go func() { wait(time.Second); c.Close() }()
		if _, _, err := c.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
		if _, err := c.WriteTo([]byte{1}, c.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
	})
}

func BenchmarkDatagram(b *testing.B) {
	n := New(1)
	defer n.Close()
	x, y := n.Host("a", "", "10.0.0.1"), n.Host("b", "", "10.0.1.1")
	n.Path("a", "b", Path{Loss: 0.01})
	from, err := x.ListenPacket("udp", ":0")
	if err != nil {
		b.Fatal(err)
	}
	to, err := y.ListenPacket("udp", ":7000")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			if _, _, err := to.ReadFrom(buf); err != nil {
				return
			}
		}
	}()
	packet, addr := make([]byte, 1200), &net.UDPAddr{IP: y.IP(), Port: 7000}
	b.ReportAllocs()
	for b.Loop() {
		from.WriteTo(packet, addr)
	}
}
