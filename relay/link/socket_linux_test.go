//go:build amd64 || arm64

package link

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

func listenLoopback(t *testing.T, network, addr string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UDPConn)
}

// Packets of any sizes, some given as runs, come out one by one, whole and in order.
func TestSocketKeepsPackets(t *testing.T) {
	for _, network := range []struct{ name, addr string }{{"udp4", "127.0.0.1:0"}, {"udp", ":0"}} {
		from, to := listenLoopback(t, network.name, network.addr), listenLoopback(t, network.name, network.addr)
		port := to.LocalAddr().(*net.UDPAddr).Port
		out, stopOut := newSocket(from, new(unsent))
		in, stopIn := newSocket(to, new(unsent))
		rng := rand.New(rand.NewPCG(1, 2))
		dst := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
		r := reader{t: t, s: in.(*socket)}
		for range 200 {
			var want [][]byte
			for range 1 + rng.IntN(6) {
				size, n := 1+rng.IntN(1300), 1+rng.IntN(5)
				if rng.IntN(2) == 0 {
					size = 1200
				}
				b := make([]byte, size*n-rng.IntN(size))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				for rest := b; len(rest) > 0; rest = rest[min(size, len(rest)):] {
					want = append(want, rest[:min(size, len(rest))])
				}
				if _, _, err := out.(*socket).WriteMsgUDP(b, appendSegmentSize(nil, size), dst); err != nil {
					t.Fatal(err)
				}
			}
			for i, w := range want {
				if got := r.next(); !bytes.Equal(got, w) {
					t.Fatalf("%s: packet %d is %d bytes, want %d", network.name, i, len(got), len(w))
				}
			}
		}
		stopOut()
		stopIn()
	}
}

// reader reads packet by packet, as quic-go does.
type reader struct {
	t       *testing.T
	s       *socket
	pending [][]byte
}

func (r *reader) next() []byte {
	r.t.Helper()
	for len(r.pending) == 0 {
		ms := make([]ipv4.Message, 8)
		for i := range ms {
			ms[i].Buffers, ms[i].OOB = [][]byte{make([]byte, 1452)}, make([]byte, maxOOB)
		}
		_ = r.s.SetReadDeadline(time.Now().Add(2 * time.Minute))
		n, err := r.s.ReadBatch(ms, 0)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, m := range ms[:n] {
			r.pending = append(r.pending, m.Buffers[0][:m.N])
		}
	}
	b := r.pending[0]
	r.pending = r.pending[1:]
	return b
}

func TestRunsAreOfOneKind(t *testing.T) {
	a, b := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 1}
	ecn := appendSegmentSize(nil, 1)
	(*unix.Cmsghdr)(unsafe.Pointer(&ecn[0])).Level = unix.IPPROTO_IP
	cases := []struct {
		name string
		b    []byte
		size int
		oob  []byte
		to   *net.UDPAddr
		want bool
	}{
		{"the same", make([]byte, 100), 100, nil, a, true},
		{"several", make([]byte, 300), 100, nil, a, true},
		{"a shorter last one", make([]byte, 60), 60, nil, a, true},
		{"a longer one", make([]byte, 101), 101, nil, a, false},
		{"several shorter ones", make([]byte, 120), 60, nil, a, false},
		{"other control messages", make([]byte, 100), 100, ecn, a, false},
		{"another peer", make([]byte, 100), 100, nil, b, false},
		{"too many", make([]byte, 100*maxSegments), 100, nil, a, false},
	}
	for _, c := range cases {
		var r run
		r.add(make([]byte, 100), 100, nil, a)
		if got := r.add(c.b, c.size, c.oob, c.to); got != c.want {
			t.Errorf("%s: taken %v", c.name, got)
		}
	}
	var r run
	r.add(make([]byte, 150), 100, nil, a)
	if r.add(make([]byte, 10), 10, nil, a) {
		t.Error("takes one behind a shorter one")
	}
}

// What the kernel refuses is counted by reason, packet by packet, and goes to nobody else's
// account: writing reports no error.
func TestUnsentIsCounted(t *testing.T) {
	from, to := listenLoopback(t, "udp4", "127.0.0.1:0"), listenLoopback(t, "udp4", "127.0.0.1:0")
	var lost unsent
	out, stop := newSocket(from, &lost)
	write := func(n, size int, ip net.IP) {
		dst := &net.UDPAddr{IP: ip, Port: to.LocalAddr().(*net.UDPAddr).Port}
		if _, _, err := out.(*socket).WriteMsgUDP(make([]byte, n*size), appendSegmentSize(nil, size), dst); err != nil {
			t.Error(err)
		}
	}
	write(3, 100, net.ParseIP("2001:db8::1")) // from a socket of IPv4
	write(1, 65536, net.IPv4(127, 0, 0, 1))
	write(1, 100, net.IPv4(127, 0, 0, 1))
	stop()
	if got, want := fmt.Sprint(lost.snapshot()), "map[address:3 too_large:1]"; got != want {
		t.Errorf("unsent %s, want %s", got, want)
	}
	r := reader{t: t, s: nil}
	in, stopIn := newSocket(to, new(unsent))
	defer stopIn()
	r.s = in.(*socket)
	if got := r.next(); len(got) != 100 {
		t.Errorf("what could be sent came as %d bytes", len(got))
	}
}
