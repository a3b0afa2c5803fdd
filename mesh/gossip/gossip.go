package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"maille/mesh"
	"maille/mesh/view"
)

// Timings. Probes every 500 ms and a suspicion of 3 probes find a dead node in 2.3 s
// at the median and 3.3 s at the 95th percentile with 9 nodes at 60 ms (measured),
// where memberlist's WAN defaults take 40 s.
const (
	probeInterval  = 500 * time.Millisecond
	probeTimeout   = 250 * time.Millisecond
	suspicionMult  = 3
	suspicionMax   = 2
	gossipInterval = 100 * time.Millisecond
	// With fewer than ten nodes memberlist's default of 4 sends a message so rarely
	// that one of them may hear of it only in the next full sync.
	retransmitMult = 12
	syncInterval   = 15 * time.Second
	streamTimeout  = 5 * time.Second
	// reclaimAfter is how long the name of a dead node is kept from one that comes
	// from another address.
	reclaimAfter = 10 * time.Second

	// joinWait is how long Start waits for the first contact with the seeds.
	joinWait = 3 * time.Second
	// leaveWait bounds each of the two rounds of saying goodbye.
	leaveWait = 3 * time.Second
	// coalesce gathers changes that arrive together into one OnChange.
	coalesce = 20 * time.Millisecond
	// softInterval paces what changes all the time: load and round-trip times.
	softInterval = time.Second

	// maxPacket is the largest datagram sent, bytes: some paths silently drop more.
	maxPacket = 1200
	// MaxNodes bounds how many members are believed in.
	MaxNodes = 256
)

// ErrNoKey refuses to gossip in the clear by oversight.
var ErrNoKey = errors.New("gossip: no encryption key")

// NameTakenError refuses to start under the name of a node that is alive elsewhere,
// or was within the last seconds.
type NameTakenError struct {
	Name string
	Addr string // gossip address of the holder
}

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("gossip: a node named %q is already in the cluster, at %s", e.Name, e.Addr)
}

// Config of a node's gossip.
type Config struct {
	Self    view.Node
	Cluster string   // name; nodes of another cluster are not heard even with the same key
	Net     mesh.Net // mesh.OS if nil
	// BindAddr is the host:port of both UDP and TCP. Port 0 picks one.
	BindAddr string
	// Advertise is the host:port others reach this node at; by default the bound
	// address, or this host's address towards the first seed.
	Advertise string
	// Seeds are host:port of nodes to find the cluster by. A name may stand for
	// several addresses. They are tried again while they are not members.
	Seeds []string
	// Keys are AES keys of 16, 24 or 32 bytes: the first encrypts, all decrypt.
	Keys [][]byte
	// Plaintext allows to run without Keys.
	Plaintext bool
	// Admit may refuse a node that gossip brings. It must not block. The node stays
	// unknown here, and is asked about again when heard of again.
	Admit func(view.Node) error
	// OnChange is told every change, coalesced, from one goroutine. Load and
	// round-trip times alone are told at most once a second. It must not call Close.
	OnChange func(view.Snapshot)
	Log      *slog.Logger // slog.Default if nil
	// Resolve finds the addresses of a seed's name; the host's resolver if nil.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Gossip is this node's part in the conversation. It is safe for concurrent use.
type Gossip struct {
	cfg       Config
	log       *slog.Logger
	transport *transport
	table     *table
	rtt       *vivaldi
	loads     loadQueue
	keys      *memberlist.Keyring
	list      *memberlist.Memberlist

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   sync.WaitGroup

	facts   chan struct{} // own facts changed
	changed chan struct{} // members changed
	soft    atomic.Bool   // load or round-trip times changed
	taken   atomic.Pointer[NameTakenError]
	joined  chan struct{} // closed after the first round of seeds

	refused   atomic.Uint64
	malformed atomic.Uint64

	leaving chan goodbye
	closed  atomic.Bool
}

// goodbye asks the publisher to leave.
type goodbye struct {
	ctx  context.Context
	done chan error
}

// Start binds, tries the seeds once (for at most three seconds) and returns. Seeds
// that do not answer are no error: a cluster must be able to start as a whole.
// It fails with ErrNoKey, *mesh.PortInUseError or *NameTakenError.
func Start(cfg Config) (*Gossip, error) {
	if cfg.Net == nil {
		cfg.Net = mesh.OS
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Resolve == nil {
		cfg.Resolve = resolveHost
	}
	cfg.Self.Started = time.UnixMilli(cfg.Self.Started.UnixMilli())
	if _, err := encodeFacts(cfg.Self); err != nil {
		return nil, err
	}
	keys, err := keyring(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &Gossip{
		cfg: cfg, log: cfg.Log, keys: keys,
		ctx: ctx, cancel: cancel,
		facts: make(chan struct{}, 1), changed: make(chan struct{}, 1), joined: make(chan struct{}),
		leaving: make(chan goodbye),
	}
	g.rtt = newVivaldi()
	g.table = newTable(cfg.Self)
	if err := g.open(); err != nil {
		cancel()
		if g.transport != nil {
			g.transport.Shutdown()
		}
		return nil, err
	}
	g.wake(g.changed)
	g.done.Go(g.publish)
	g.done.Go(g.notify)
	g.done.Go(g.heal)
	t := time.NewTimer(joinWait)
	defer t.Stop()
	select {
	case <-g.joined:
	case <-t.C:
	}
	if taken := g.taken.Load(); taken != nil {
		g.Close()
		return nil, taken
	}
	return g, nil
}

func keyring(cfg Config) (*memberlist.Keyring, error) {
	if len(cfg.Keys) == 0 {
		if cfg.Plaintext {
			return nil, nil
		}
		return nil, ErrNoKey
	}
	for _, k := range cfg.Keys {
		if err := memberlist.ValidateKey(k); err != nil {
			return nil, fmt.Errorf("gossip: %w", err)
		}
	}
	ring, err := memberlist.NewKeyring(cfg.Keys, cfg.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	return ring, nil
}

func (g *Gossip) open() error {
	var err error
	g.transport, err = listen(g.ctx, g.cfg)
	if err != nil {
		return err
	}
	c := memberlist.DefaultWANConfig()
	c.Name = g.cfg.Self.Name
	c.Label = g.cfg.Cluster
	c.Transport = g.transport
	c.ProbeInterval, c.ProbeTimeout = probeInterval, probeTimeout
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = suspicionMult, suspicionMax
	c.GossipInterval, c.RetransmitMult = gossipInterval, retransmitMult
	c.PushPullInterval, c.TCPTimeout = syncInterval, streamTimeout
	c.DeadNodeReclaimTime = reclaimAfter
	c.DisableTcpPings = false // without them lost datagrams alone kill nodes
	c.EnableCompression = false
	c.RequireNodeNames = false // a seed's name is not known before the first sync
	c.UDPBufferSize = maxPacket
	c.Keyring = g.keys
	c.Logger = bridge(g.log)
	c.Delegate, c.Events, c.Conflict, c.Alive, c.Ping = g.delegates()
	g.list, err = memberlist.Create(c)
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

// Addr returns the host:port others reach this node at.
func (g *Gossip) Addr() string { return g.transport.advertise.String() }

// Snapshot returns what is known now: this node, the nodes alive, and those that
// left in the last ten minutes (State Left). A node that died is not in it.
func (g *Gossip) Snapshot() view.Snapshot { return g.table.snapshot(g.rtt) }

// Update changes what this node says about itself. Name and Started stay. Facts
// spread at once, load once a second. It fails, and nothing changes, when the facts
// are not valid or do not fit.
func (g *Gossip) Update(f func(*view.Node)) error {
	facts, err := g.table.update(f)
	if err != nil {
		return err
	}
	if facts {
		g.wake(g.facts)
		g.wake(g.changed)
	} else {
		g.soft.Store(true)
	}
	return nil
}

// SetKeys replaces the encryption keys: the first encrypts, all decrypt. To rotate,
// add the new key last everywhere, then put it first everywhere, then drop the old.
func (g *Gossip) SetKeys(keys [][]byte) error {
	if g.keys == nil {
		return errors.New("gossip: started without keys")
	}
	if len(keys) == 0 {
		return ErrNoKey
	}
	for _, k := range keys {
		if err := memberlist.ValidateKey(k); err != nil {
			return fmt.Errorf("gossip: %w", err)
		}
	}
	for _, k := range keys {
		if err := g.keys.AddKey(k); err != nil {
			return fmt.Errorf("gossip: %w", err)
		}
	}
	if err := g.keys.UseKey(keys[0]); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	for _, old := range g.keys.GetKeys() {
		if !slices.ContainsFunc(keys, func(k []byte) bool { return slices.Equal(k, old) }) {
			if err := g.keys.RemoveKey(old); err != nil {
				return fmt.Errorf("gossip: %w", err)
			}
		}
	}
	return nil
}

// Leave tells the others that this node goes for good, and waits until some know or
// ctx's deadline. Call Close after it. Only the first call does anything.
func (g *Gossip) Leave(ctx context.Context) error {
	if err := g.Update(func(n *view.Node) { n.State = view.Left }); err != nil {
		return err
	}
	bye := goodbye{ctx, make(chan error, 1)}
	select {
	case g.leaving <- bye:
		return <-bye.done
	case <-g.ctx.Done():
		return nil
	}
}

// within returns the time to spend on one round of goodbye.
func within(ctx context.Context) time.Duration {
	d, ok := ctx.Deadline()
	if !ok {
		return leaveWait
	}
	return max(min(time.Until(d), leaveWait), time.Millisecond)
}

// Close falls silent without a goodbye: the others will find this node dead. It waits
// for OnChange to return and for the probe in progress to run out, half a second when
// all is well.
func (g *Gossip) Close() error {
	if g.closed.Swap(true) {
		g.done.Wait()
		return nil
	}
	g.cancel()
	g.transport.Shutdown() // frees whoever waits on the network
	g.done.Wait()
	err := g.list.Shutdown()
	// memberlist does not wait for its own goroutines. The last to end is a probe,
	// which it stretches while it thinks itself slow.
	<-time.After(probeInterval * time.Duration(1+g.list.GetHealthScore()))
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

func (g *Gossip) wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Stats counts what was turned away since the start.
type Stats struct {
	Refused   uint64 // members not admitted, and names already taken
	Malformed uint64 // loads, states and coordinates that could not be read
	Dropped   uint64 // datagrams that came faster than they were handled
	Turned    uint64 // streams over the bound
}

// Stats returns the counts so far.
func (g *Gossip) Stats() Stats {
	return Stats{
		Refused:   g.refused.Load(),
		Malformed: g.malformed.Load(),
		Dropped:   g.transport.dropped.Load(),
		Turned:    g.transport.turned.Load(),
	}
}
