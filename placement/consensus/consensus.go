// Package consensus replicates placement/state over hashicorp/raft on bbolt. It adds
// what running Raft on a media node over a WAN needs: checksums on everything stored,
// a new identity for a store that forgot its votes, a deadline around every wait, and
// a watchdog that takes this node out of Raft when its disk stalls. It never ends the
// process: what cannot go on gives Raft up, and State keeps answering.
//
// Servers are known, and addressed, as name@incarnation, where the incarnation changes
// with the store. Config.Dial resolves the name, so hosts may change addresses.
package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"maille/placement/state"
)

// Config is what a server needs. Listener and Dial carry Raft between nodes and must
// be authenticated: whoever may connect may vote.
type Config struct {
	Name string // this node
	Dir  string // "" keeps everything in memory, with a new incarnation each time

	Listener net.Listener
	// Dial connects to the Raft listener of the named node; it proves the name.
	Dial func(ctx context.Context, node string) (net.Conn, error)

	Timings Timings // zero values take defaults
	Log     *slog.Logger

	// Disk, if set, wraps the store's writes: tests stall and fail them.
	Disk func(op string) error
}

// Consensus is one server. Its methods may be called from any goroutine.
type Consensus struct {
	cfg     Config
	id      string // incarnation
	damaged bool

	raft  *raft.Raft
	fsm   *fsm
	layer *layer
	trans *raft.NetworkTransport
	store *checked
	close func() error // files

	applies chan struct{} // a slot for each Apply in flight
	ctx     context.Context
	stop    context.CancelFunc
	tasks   sync.WaitGroup // our goroutines
	ended   chan struct{}  // closed when raft has been shut down
	endOnce sync.Once

	mu      sync.Mutex
	changed chan struct{} // under mu: closed and replaced when leadership changes
	failure error         // under mu: why Raft was given up
	timings Timings       // under mu: those in use
	watches []*watch      // under mu

	leaderless *stopwatch // runs while no leader is known
}

// maxName leaves room for the incarnation in one byte of length.
const maxName = 200

// Open starts a server. It fails for a directory that cannot be used (in use, no
// permission); a damaged store in a usable one is set aside and comes back as a new
// incarnation, without a cluster (see Damaged).
func Open(cfg Config) (*Consensus, error) {
	if cfg.Name == "" || len(cfg.Name) > maxName || strings.Contains(cfg.Name, "@") || cfg.Listener == nil || cfg.Dial == nil {
		return nil, errors.New("consensus: a name without @ of at most 200 bytes, a listener and a dialer are needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Timings = cfg.Timings.withDefaults()
	c := &Consensus{
		cfg:     cfg,
		timings: cfg.Timings,
		fsm:     newFSM(),
		applies: make(chan struct{}, maxApplies),
		ended:   make(chan struct{}),
		changed: make(chan struct{}),

		leaderless: newStopwatch(),
	}
	c.leaderless.start()
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.layer = newLayer(cfg)
	if err := c.start(); err != nil {
		c.stop()
		if c.trans != nil {
			c.trans.Close()
		}
		c.layer.Close()
		return nil, err
	}
	c.tasks.Go(c.observe)
	c.tasks.Go(c.notifyWatches)
	if cfg.Dir != "" {
		c.tasks.Go(c.watchDisk)
	}
	return c, nil
}

// start opens the files and raft on them; what turns out damaged on the way is set
// aside once.
func (c *Consensus) start() error {
	files, err := openFiles(c.cfg)
	for try := 0; ; try++ {
		if err != nil {
			return err
		}
		err = c.startRaft(files)
		if err == nil {
			return nil
		}
		files.close()
		if try > 0 || c.cfg.Dir == "" {
			return fmt.Errorf("consensus: start: %w", err)
		}
		c.cfg.Log.Error("raft could not start from its store", "err", err)
		c.fsm = newFSM()
		files, err = renewFiles(c.cfg)
	}
}

func (c *Consensus) startRaft(files *files) (err error) {
	log := hcLogger(c.cfg.Log)
	c.id, c.damaged, c.store, c.close = files.incarnation, files.damaged, files.store, files.close
	c.layer.setID(serverID(c.cfg.Name, c.id))
	conf := raft.DefaultConfig()
	conf.LocalID = serverID(c.cfg.Name, c.id)
	conf.HeartbeatTimeout = c.cfg.Timings.Heartbeat
	conf.ElectionTimeout = c.cfg.Timings.Election
	conf.LeaderLeaseTimeout = c.cfg.Timings.Lease
	conf.CommitTimeout = c.cfg.Timings.Commit
	conf.ShutdownOnRemove = false // a removed node runs on and may be added again
	conf.Logger = log
	conf.NoLegacyTelemetry = true
	if c.trans == nil {
		c.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream:                  c.layer,
			MaxPool:                 3,
			Timeout:                 c.cfg.Timings.RPC,
			Logger:                  log,
			MsgpackUseNewTimeFormat: true,
		})
	}
	// A store that passed verification may still hold what raft cannot digest, such as
	// a configuration entry that does not decode: raft panics on it.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("raft: %v", p)
		}
	}()
	c.raft, err = raft.NewRaft(conf, c.fsm, files.store, files.store, files.snapshots, c.trans)
	if err != nil {
		return err
	}
	files.store.armed(c.giveUp)
	return nil
}

// Name returns this node's name.
func (c *Consensus) Name() string { return c.cfg.Name }

// Incarnation returns the store's identity; it changes when the store is new.
func (c *Consensus) Incarnation() string { return c.id }

// Damaged reports whether Open found a store it could not trust and began a new one.
// Such a server must be added by the others, never bootstrap beside them.
func (c *Consensus) Damaged() bool { return c.damaged }

// State returns the replicated state as applied here. It never blocks.
func (c *Consensus) State() *state.State { return c.fsm.state.Load() }

// Applied returns the index of the last log entry applied here.
func (c *Consensus) Applied() uint64 { return c.raft.AppliedIndex() }

// Failed returns why Raft was given up, nil while it runs.
func (c *Consensus) Failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// giveUp takes this node out of Raft for good; the process and State live on. It does
// not wait, as callers may be raft's own goroutines.
func (c *Consensus) giveUp(why error) {
	c.mu.Lock()
	first := c.failure == nil && c.ctx.Err() == nil
	if first {
		c.failure = why
	}
	c.mu.Unlock()
	if first {
		c.cfg.Log.Error("raft given up, running without it", "err", why)
		c.endOnce.Do(c.end)
	}
}

// end shuts raft down in the background; ended is closed when it is down.
func (c *Consensus) end() {
	c.layer.mute(true)
	go func() {
		defer close(c.ended)
		c.raft.Shutdown().Error()
		c.trans.Close()
		c.trans.CloseStreams()
		c.layer.Close()
		c.layer.wait()
		c.close()
		c.announce()
	}()
}

// closeWait is how long Close waits for a disk that does not answer.
const closeWait = 10 * time.Second

// Close stops the server and waits for its goroutines. It returns an error if a
// stalled disk still holds some after 10 s.
func (c *Consensus) Close() error {
	c.stop()
	c.endOnce.Do(c.end)
	select {
	case <-c.ended:
	case <-time.After(closeWait):
		return errors.New("consensus: the store still blocks")
	}
	c.tasks.Wait()
	return nil
}

func serverID(name, incarnation string) raft.ServerID {
	return raft.ServerID(name + "@" + incarnation)
}

func serverAddress(name, incarnation string) raft.ServerAddress {
	return raft.ServerAddress(serverID(name, incarnation))
}

func splitID(id raft.ServerID) (name, incarnation string) {
	name, incarnation, _ = strings.Cut(string(id), "@")
	return name, incarnation
}
