package rtc

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/bench/sim"
)

const gatewayIP = "10.0.0.3"

// tcpWorld is a world whose clients reach the engine by TCP only. pion's own would need
// the real network for that, so they speak UDP to a gateway on their side.
type tcpWorld struct {
	*world
	net    *sim.Network
	client *sim.Host
	gate   *gateway
	door   *door
}

func newTCPWorld(t *testing.T) *tcpWorld {
	t.Helper()
	w := &tcpWorld{world: &world{t: t}, net: sim.New(1)}
	w.net.Default(sim.Path{Delay: 5 * time.Millisecond})
	node := w.net.Host("node", "", serverIP)
	w.client = w.net.Host("client", "", clientIP)
	udp, err := node.ListenPacket("udp4", serverIP+":7882")
	w.check(err)
	tcp, err := node.Listen("tcp4", serverIP+":7881")
	w.check(err)
	w.door = &door{Listener: tcp}
	began := time.Now()
	w.now = func() int64 { return int64(time.Since(began)) + 1e9 }
	w.engine, err = NewEngine(Config{UDP: udp, TCP: w.door, HostIPs: []net.IP{net.ParseIP(serverIP)}, Log: testLog(), Now: w.now})
	w.check(err)
	host := w.net.Host("gateway", "", gatewayIP)
	g := &gateway{host: host, conns: make(map[string]net.Conn)}
	g.udp, err = host.ListenPacket("udp4", gatewayIP+":7881")
	w.check(err)
	w.gate = g
	g.loops.Go(g.run)
	return w
}

func (w *tcpWorld) close() {
	w.check(w.engine.Close())
	_ = w.gate.udp.Close()
	w.gate.cut()
	w.gate.loops.Wait()
	w.net.Close()
}

func (w *tcpWorld) onTCP(s *webrtc.SettingEngine, _ *webrtc.MediaEngine) {
	s.SetNet(w.client.Pion())
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetICETimeouts(5*time.Second, 25*time.Second, 2*time.Second)
}

// downlink is a watching client that is told of the gateway instead of the node.
func (w *tcpWorld) downlink() *downlinkPair {
	d := w.world.downlink(w.onTCP)
	d.onOffer = func(text string, id uint32) { d.reply(throughGateway(text), id) }
	return d
}

func throughGateway(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case !strings.HasPrefix(line, "a=candidate:"):
			out.WriteString(line)
		case f[2] == "tcp":
			f[2], f[4] = "udp", gatewayIP
			out.WriteString(strings.Join(f[:8], " ") + "\r\n")
		}
	}
	return out.String()
}

// door's connections call ended as they end, and only then is that known to who reads
// them.
type door struct {
	net.Listener
	ended atomic.Pointer[func()]
}

func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	return doorConn{c, d}, err
}

type doorConn struct {
	net.Conn
	door *door
}

func (c doorConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if f := c.door.ended.Load(); f != nil && err != nil {
		(*f)()
	}
	return n, err
}

// gateway takes datagrams to the node by TCP (RFC 4571), a connection for each address;
// when one ended it dials again as soon as the client checks its path.
type gateway struct {
	deaf  atomic.Bool // nothing of the client's goes through
	host  *sim.Host
	udp   net.PacketConn
	loops sync.WaitGroup

	mu    sync.Mutex // guards all below
	conns map[string]net.Conn
	dials int
}

func (g *gateway) run() {
	b := make([]byte, 2+1600)
	for {
		n, from, err := g.udp.ReadFrom(b[2:])
		if err != nil {
			return
		}
		if g.deaf.Load() {
			continue
		}
		binary.BigEndian.PutUint16(b, uint16(n))
		if c := g.conn(from, b[2] < 4); c != nil {
			_, _ = c.Write(b[:2+n])
		}
	}
}

func (g *gateway) conn(from net.Addr, check bool) net.Conn {
	g.mu.Lock()
	c := g.conns[from.String()]
	g.mu.Unlock()
	if c != nil || !check {
		return c
	}
	c, err := g.host.Pion().Dial("tcp4", serverIP+":7881")
	if err != nil {
		return nil
	}
	g.mu.Lock()
	g.conns[from.String()] = c
	g.dials++
	g.mu.Unlock()
	g.loops.Go(func() {
		defer g.lose(from)
		b := make([]byte, 2+1600)
		for {
			if _, err := io.ReadFull(c, b[:2]); err != nil {
				return
			}
			n := int(binary.BigEndian.Uint16(b))
			if _, err := io.ReadFull(c, b[2:2+n]); err != nil {
				return
			}
			_, _ = g.udp.WriteTo(b[2:2+n], from)
		}
	})
	return c
}

func (g *gateway) lose(from net.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.conns[from.String()]; c != nil {
		_ = c.Close()
		delete(g.conns, from.String())
	}
}

// cut ends all connections.
func (g *gateway) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		_ = c.Close()
	}
}

// write sends the node a datagram on all connections.
func (g *gateway) write(b []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	}
}

func (g *gateway) dialled() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dials
}
