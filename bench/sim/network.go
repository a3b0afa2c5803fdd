package sim

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Network is a set of hosts and the paths between them.
type Network struct {
	seed  uint64
	start time.Time
	wake  chan struct{}
	done  chan struct{}
	ended chan struct{}

	// mu guards what follows and the tables and links of every host. A stream's own
	// mutex may be held when it is taken, never the other way round.
	mu         sync.Mutex
	closed     bool
	calendar   calendar
	seq        uint64
	hosts      map[string]*Host
	byIP       map[netip.Addr]*Host
	pipes      map[ends]*pipe
	cuts       map[ends]bool
	generation uint64 // counts changes of pipes, cuts and isolation
	lan        *pipe
	loopback   *pipe
	drop       func(from, to netip.AddrPort, payload []byte) bool
}

// New returns an empty network. Call it inside the bubble; Close it before the bubble ends.
func New(seed uint64) *Network {
	n := &Network{
		seed: seed, start: time.Now(),
		wake: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{}),
		hosts: map[string]*Host{}, byIP: map[netip.Addr]*Host{},
		pipes: map[ends]*pipe{}, cuts: map[ends]bool{}, generation: 1,
		lan: newPipe(lan), loopback: newPipe(loopback),
	}
	go n.run()
	return n
}

// Host adds a host. It panics on a name or address that is taken or malformed, because
// that is a mistake in the test.
func (n *Network) Host(name, region, ip string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[name] != nil || name == region {
		panic(fmt.Sprintf("sim: host name %q is taken", name))
	}
	h := &Host{
		n: n, name: name, region: region,
		links: map[*Host]*link{}, udp: map[netip.AddrPort]*udpConn{},
		listeners: map[netip.AddrPort]*listener{}, streams: map[*stream]struct{}{},
		nextPort: firstEphemeral,
	}
	n.hosts[name] = h
	h.addIP(ip)
	return h
}

// Path sets both directions between a and b, each a host or a region name, and each
// direction with its own bottleneck. A rule for hosts beats one for regions; what no rule
// covers is a LAN of 300 microseconds. It may be called again at any time.
func (n *Network) Path(a, b string, p Path) {
	n.OneWay(a, b, p)
	n.OneWay(b, a, p)
}

// OneWay sets the direction from one place to another only.
func (n *Network) OneWay(from, to string, p Path) {
	n.change(func() { n.pipes[ends{from, to}] = newPipe(p) })
}

// Default sets the path between hosts that no other rule covers.
func (n *Network) Default(p Path) { n.change(func() { n.lan = newPipe(p) }) }

// Cut stops all packets between a and b (hosts or regions), those in flight too. Datagrams
// vanish; streams wait and send again later, until they give up after 15 s.
func (n *Network) Cut(a, b string) {
	n.CutOneWay(a, b)
	n.CutOneWay(b, a)
}

// CutOneWay stops packets of one direction.
func (n *Network) CutOneWay(from, to string) {
	n.change(func() { n.cuts[ends{from, to}] = true })
}

// Heal ends Cut and CutOneWay between the same two names.
func (n *Network) Heal(a, b string) {
	n.change(func() {
		delete(n.cuts, ends{a, b})
		delete(n.cuts, ends{b, a})
	})
}

// Isolate cuts a host from all others.
func (n *Network) Isolate(host string) { n.change(func() { n.host(host).isolated = true }) }

// Rejoin ends Isolate.
func (n *Network) Rejoin(host string) { n.change(func() { n.host(host).isolated = false }) }

// Kill makes a host vanish as if its power failed: its sockets close towards their owner
// and stay silent towards the network. Peers learn of it by their own timeouts. No socket
// can be opened there until Revive.
func (n *Network) Kill(host string) { n.stop(host, true) }

// Revive lets a killed host open sockets again. Old streams of its peers are reset when
// they next send.
func (n *Network) Revive(host string) { n.change(func() { n.host(host).down = false }) }

// Crash ends every socket of a host as the kernel does when the process dies: streams are
// reset, datagrams find no socket. New sockets may be opened at once.
func (n *Network) Crash(host string) { n.stop(host, false) }

// Drop sets a function that sees each datagram before the path does and returns true to
// lose it; nil ends it. It must not call the network.
func (n *Network) Drop(f func(from, to netip.AddrPort, payload []byte) bool) {
	n.mu.Lock()
	n.drop = f
	n.mu.Unlock()
}

// Inject sends a datagram to an address as if from were its sender, which need not be:
// anybody can write anything into the source of a packet. It leaves from the host that
// is named.
func (n *Network) Inject(host string, from, to netip.AddrPort, payload []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.host(host)
	far := h.find(to.Addr())
	if far == nil || n.closed {
		return
	}
	l := n.link(h, far)
	l.stats.Sent++
	l.stats.SentBytes += uint64(len(payload))
	if at, ok := l.carry(n.now(), len(payload)+overheadIPv4); ok {
		n.schedule(at, newDatagram(l, net.UDPAddrFromAddrPort(from), to, payload))
	}
}

// Close ends the delivery loop and every socket, and waits for the loop.
func (n *Network) Close() {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return
	}
	n.closed = true
	n.calendar = nil
	var names []string
	for name := range n.hosts {
		names = append(names, name)
	}
	n.mu.Unlock()
	for _, name := range names {
		n.Kill(name)
	}
	close(n.done)
	<-n.ended
}

func (n *Network) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	n.generation++
}

func (n *Network) host(name string) *Host {
	h := n.hosts[name]
	if h == nil {
		panic(fmt.Sprintf("sim: no host %q", name))
	}
	return h
}

func (n *Network) stop(host string, silent bool) {
	n.mu.Lock()
	h := n.host(host)
	h.down = h.down || silent
	udp, listeners, streams := h.udp, h.listeners, h.streams
	h.udp, h.listeners, h.streams = map[netip.AddrPort]*udpConn{}, map[netip.AddrPort]*listener{}, map[*stream]struct{}{}
	n.mu.Unlock()
	order := slices.SortedFunc(maps.Keys(streams), func(a, b *stream) int { return cmp.Compare(a.id, b.id) })
	for _, c := range udp {
		c.end()
	}
	for _, l := range listeners {
		l.end()
	}
	for _, s := range order {
		s.die(silent)
	}
}
