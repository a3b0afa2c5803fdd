package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

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
	// Self is what others are told. Its Started (now if zero) tells this process from
	// the one before it.
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
	// OnChange is told every change, coalesced, from one goroutine. Load and
	// round-trip times alone are told at most once a second. It must not call Close.
	OnChange func(view.Snapshot)
	Log      *slog.Logger // slog.Default if nil
	// Resolve finds the addresses of a seed's name; the host's resolver if nil.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Stats counts what was turned away since the start.
type Stats struct {
	Refused   uint64 // members beyond MaxNodes or that could not be read, and names already taken
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
