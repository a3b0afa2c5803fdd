// Package placement answers one question for every participant: which node. Rooms
// known here and served in the participant's region are answered from the replicated
// state without asking anybody; all else is decided by the Raft leader, who also keeps
// the cluster's books: which nodes vote, which rooms are over, which nodes are gone.
package placement

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"maille/mesh/view"
	"maille/placement/consensus"
	"maille/placement/policy"
	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

// Request is one participant who needs a node.
type Request struct {
	Room     string
	Region   string               // the participant's; "" is the entry's
	Settings *meshpb.RoomSettings // if the room does not exist yet; may be nil
	Entry    string               // node the socket landed on; "" is this node
	Avoid    []string             // nodes just found unable to serve
	Sid      string               // of a provisional instance to commit; usually ""
}

// Assignment is the answer. Record is shared and must not be modified.
type Assignment struct {
	Room    string
	Sid     string
	Epoch   uint64
	Node    string // that shall serve the participant
	Region  string // of Node
	Created bool   // this request created the room
	// Unrecorded tells that Node serves the room though Raft has not agreed yet: there
	// is no quorum, and it will be recorded when there is.
	Unrecorded bool
	Record     *meshpb.Room
}

// Log is what Service needs of a consensus.Consensus.
type Log interface {
	Incarnation() string
	State() *state.State
	Apply(ctx context.Context, cmd *meshpb.Command) (*meshpb.Result, error)
	Applied() uint64

	Leader() string
	IsLeader() bool
	Quorum() bool
	Leaderless() time.Duration
	Changes() <-chan struct{}
	Timings() consensus.Timings
	SetRTT(time.Duration)

	Initialised() bool
	Damaged() bool
	Bootstrap([]consensus.Server) error
	Servers() []consensus.Server
	AddVoter(ctx context.Context, name, incarnation string) error
	AddNonvoter(ctx context.Context, name, incarnation string) error
	Demote(ctx context.Context, name, incarnation string) error
	RemoveServer(ctx context.Context, name, incarnation string) error
	Transfer(ctx context.Context, name, incarnation string) error
}

// Forwarder carries requests to another node's Placement service. Errors are those of
// FromStatus; GRPC implements it.
type Forwarder interface {
	Join(ctx context.Context, node string, req *meshpb.JoinRequest) (*meshpb.JoinResponse, error)
	Report(ctx context.Context, node string, req *meshpb.ReportRequest) (*meshpb.ReportResponse, error)
	Submit(ctx context.Context, node string, req *meshpb.SubmitRequest) (*meshpb.SubmitResponse, error)
	Status(ctx context.Context, node string, req *meshpb.StatusRequest) (*meshpb.StatusResponse, error)
}

// Config of a Service. Self, Log, View and Forward are needed.
type Config struct {
	Self    string
	Log     Log
	View    func() view.Snapshot
	Forward Forwarder

	// Rooms returns what this node sees of the rooms it serves; rooms the replicated
	// state says it serves and Rooms leaves out are reported empty.
	Rooms func() []*meshpb.RoomReport
	// OnDrain is called, every few seconds until this node's View says so itself, when
	// an operator drains this node. It must not block.
	OnDrain func()
	// Peer returns the authenticated name of a gRPC caller; nil skips the check that a
	// node reports only for itself.
	Peer func(ctx context.Context) string
	// BootstrapExpect is how many nodes a new cluster begins with; 0 never begins one.
	BootstrapExpect int

	Now    func() time.Time // default time.Now
	NewSid func() string    // default random
	Logger *slog.Logger
}

// Service is one node's part in placement. Its methods may be called from any goroutine.
type Service struct {
	cfg     Config
	log     Log
	now     func() time.Time
	logger  *slog.Logger
	flights singleflight.Group
	books   books
	// doubts are newcomers that did not prove their name, and when; the lead loop's own.
	doubts map[string]time.Time

	mu      sync.Mutex
	recent  burst                 // under mu: participants placed from here
	pending map[string]unrecorded // under mu: to be told Raft, by room
}

// unrecorded is a node that serves a room without Raft's knowledge.
type unrecorded struct {
	epoch        uint64
	region, node string
}

// maxPending bounds what waits for a quorum; beyond, nodes tell it by their reports.
const maxPending = 4096

// New returns a Service; Run makes it work.
func New(cfg Config) (*Service, error) {
	if cfg.Self == "" || cfg.Log == nil || cfg.View == nil || cfg.Forward == nil {
		return nil, errors.New("placement: Self, Log, View and Forward are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewSid == nil {
		// LiveKit's rooms look like this; clients treat it as opaque.
		cfg.NewSid = func() string { return "RM_" + rand.Text()[:12] }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{
		cfg:     cfg,
		log:     cfg.Log,
		now:     cfg.Now,
		logger:  cfg.Logger,
		books:   newBooks(),
		doubts:  map[string]time.Time{},
		pending: map[string]unrecorded{},
	}, nil
}

// Explain scores every node for a request, as this node sees the cluster.
func (s *Service) Explain(req Request) []policy.Row {
	return policy.Explain(s.view(), s.log.State().Room(req.Room), s.policyRequest(req))
}

// view is the gossip's, of nodes that have proven their names, with the states operators
// gave nodes on top: the one that takes fewer participants wins.
func (s *Service) view() view.Snapshot {
	return overlay(proven(s.cfg.View(), s.cfg.Self, s.log.Servers()), s.log.State())
}

// proven leaves out what only gossip tells of. Whoever has its key can bring names, in any
// region and without load, and each participant sent there would be late by what it takes
// to find that nobody with a certificate answers. Raft's servers have answered with theirs
// (see step); where none are known yet all are taken.
func proven(v view.Snapshot, self string, servers []consensus.Server) view.Snapshot {
	if len(servers) == 0 {
		return v
	}
	m := members{servers: servers}
	v.Nodes = slices.DeleteFunc(slices.Clone(v.Nodes), func(n view.Node) bool { return n.Name != self && !m.has(n.Name) })
	return v
}

func overlay(v view.Snapshot, st *state.State) view.Snapshot {
	var nodes []view.Node
	for i, n := range v.Nodes {
		rec := st.Node(n.Name)
		if rec == nil || rec.GetIncarnation() != n.Incarnation {
			continue // a record of an earlier life
		}
		if said := view.State(rec.GetState()); said > n.State {
			if nodes == nil {
				nodes = append(nodes, v.Nodes...)
			}
			nodes[i].State = said
		}
	}
	if nodes != nil {
		v.Nodes = nodes
	}
	return v
}

func (s *Service) policyRequest(req Request) policy.Request {
	return policy.Request{
		Room:     req.Room,
		Settings: req.Settings,
		Region:   req.Region,
		Entry:    req.Entry,
		Avoid:    req.Avoid,
		Recent:   s.recentCounts(),
	}
}

func (s *Service) withDefaults(req Request) (Request, error) {
	if req.Room == "" || len(req.Room) > state.MaxName {
		return req, &Error{Kind: meshpb.Error_INVALID, Message: fmt.Sprintf("room name must be 1 to %d bytes", state.MaxName)}
	}
	if req.Entry == "" {
		req.Entry = s.cfg.Self
	}
	return req, nil
}
