package linkbench

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"maille/bench/sim"
	"maille/relay"
)

// gauge measures the queue of a path from outside: a tiny datagram every 20 ms, 18 kbit/s
// with headers, takes the same way as the media and tells how long that was.
type gauge struct {
	from, to net.PacketConn
	stop     chan struct{}
	wg       sync.WaitGroup

	mu   sync.Mutex // guards seen
	seen []reading
}

type reading struct{ sent, took int64 }

const (
	gaugeEvery = 20 * time.Millisecond
	gaugeBytes = 8
)

func udpAddr(a netip.AddrPort) *net.UDPAddr { return net.UDPAddrFromAddrPort(a) }

func startGauge(from, to *sim.Host) (*gauge, error) {
	g := &gauge{stop: make(chan struct{})}
	var err error
	if g.from, err = from.ListenPacket("udp", ":9"); err != nil {
		return nil, err
	}
	if g.to, err = to.ListenPacket("udp", ":9"); err != nil {
		return nil, err
	}
	addr := &net.UDPAddr{IP: to.IP(), Port: 9}
	g.wg.Go(func() {
		tick := time.NewTicker(gaugeEvery)
		defer tick.Stop()
		for {
			var b [gaugeBytes]byte
			binary.BigEndian.PutUint64(b[:], uint64(relay.Now()))
			_, _ = g.from.WriteTo(b[:], addr)
			select {
			case <-g.stop:
				return
			case <-tick.C:
			}
		}
	})
	g.wg.Go(func() {
		var b [64]byte
		for {
			n, _, err := g.to.ReadFrom(b[:])
			if err != nil {
				return
			}
			if n == gaugeBytes {
				at := int64(binary.BigEndian.Uint64(b[:]))
				g.mu.Lock()
				g.seen = append(g.seen, reading{at, relay.Now() - at})
				g.mu.Unlock()
			}
		}
	})
	return g, nil
}

// queue is the 95th percentile of the delay beyond the path of what was sent in
// [begin, end).
func (g *gauge) queue(begin, end int64, delay time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	var d []time.Duration
	for _, r := range g.seen {
		if r.sent >= begin && r.sent < end {
			d = append(d, time.Duration(r.took)-delay)
		}
	}
	return Quantile(d, .95)
}

func (g *gauge) close() {
	close(g.stop)
	_ = g.from.Close()
	_ = g.to.Close()
	g.wg.Wait()
}
