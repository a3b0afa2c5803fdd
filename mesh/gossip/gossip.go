package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"maille/mesh"
	"maille/mesh/view"
)

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
	if cfg.Self.Started.IsZero() {
		cfg.Self.Started = time.Now()
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
