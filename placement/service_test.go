package placement

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"maille/mesh/view"
	"maille/placement/consensus"
	"maille/placement/policy"
	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

// fakeLog is a consensus that does what the test says. What it does not implement
// panics.
type fakeLog struct {
	Log
	mu         sync.Mutex
	st         *state.State
	leader     string
	self       string
	leaderless time.Duration
	changes    chan struct{}
	applies    int
	applyErr   error
	delay      time.Duration
}

func newFakeLog(self, leader string) *fakeLog {
	return &fakeLog{st: state.New(), self: self, leader: leader, changes: make(chan struct{})}
}

func (l *fakeLog) Incarnation() string         { return "i-" + l.self }
func (l *fakeLog) Servers() []consensus.Server { return nil }
func (l *fakeLog) Timings() consensus.Timings  { return consensus.DefaultTimings }
func (l *fakeLog) State() *state.State         { l.mu.Lock(); defer l.mu.Unlock(); return l.st }
func (l *fakeLog) Leader() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.leader }
func (l *fakeLog) IsLeader() bool              { return l.Leader() == l.self }

func (l *fakeLog) Leaderless() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaderless
}

func (l *fakeLog) Changes() <-chan struct{} { l.mu.Lock(); defer l.mu.Unlock(); return l.changes }

func (l *fakeLog) elect(name string, leaderless time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leader, l.leaderless = name, leaderless
	close(l.changes)
	l.changes = make(chan struct{})
}

func (l *fakeLog) Apply(ctx context.Context, cmd *meshpb.Command) (*meshpb.Result, error) {
	<-time.After(l.delay)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applies++
	if l.applyErr != nil {
		return nil, l.applyErr
	}
	var res *meshpb.Result
	l.st, res = state.Apply(l.st, cmd)
	return res, nil
}

// peers answers for other nodes; each call is written down.
type peers struct {
	Forwarder
	mu    sync.Mutex
	calls []string
	join  func(ctx context.Context, node string) (*meshpb.JoinResponse, error)
}

func (p *peers) Join(ctx context.Context, node string, req *meshpb.JoinRequest) (*meshpb.JoinResponse, error) {
	p.mu.Lock()
	p.calls = append(p.calls, node)
	p.mu.Unlock()
	return p.join(ctx, node)
}

func (p *peers) asked() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.calls, " ")
}

var threeRegions = view.Snapshot{Nodes: []view.Node{
	{Name: "l1", Region: "lyon", Incarnation: "i-l1"},
	{Name: "m1", Region: "marseille", Incarnation: "i-m1"},
	{Name: "p1", Region: "paris", Incarnation: "i-p1"},
}}

func newService(t *testing.T, self string, log *fakeLog, p *peers) *Service {
	t.Helper()
	s, err := New(Config{
		Self:    self,
		Log:     log,
		View:    func() view.Snapshot { return threeRegions },
		Forward: p,
		NewSid:  func() string { return "RM_new" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func answer(node string) func(context.Context, string) (*meshpb.JoinResponse, error) {
	return func(context.Context, string) (*meshpb.JoinResponse, error) {
		return &meshpb.JoinResponse{Node: node, Created: true, Room: &meshpb.Room{
			Name: "a", Sid: "RM_far", Epoch: 9,
			Serving: map[string]*meshpb.NodeList{"paris": {Nodes: []string{node}}},
		}}, nil
	}
}

// TestKnownRoomAsksNobody: a room served in the participant's region needs no leader, and
// no Raft round, whether or not there is one.
func TestKnownRoomAsksNobody(t *testing.T) {
	for _, leader := range []string{"p1", "l1", ""} {
		log := newFakeLog("p1", leader)
		log.st, _ = state.Apply(log.st, &meshpb.Command{Body: &meshpb.Command_OpenRoom{OpenRoom: &meshpb.OpenRoom{
			Name: "a", Sid: "RM_a", Region: "lyon", Node: "l1",
		}}})
		p := &peers{}
		a, err := newService(t, "p1", log, p).Join(t.Context(), Request{Room: "a", Region: "lyon"})
		if err != nil || a.Node != "l1" || a.Region != "lyon" || a.Sid != "RM_a" || a.Epoch != 1 || a.Created || a.Unrecorded {
			t.Errorf("leader %q: %+v, %v", leader, a, err)
		}
		if log.applies != 0 || p.asked() != "" {
			t.Errorf("leader %q: %d commands, asked %q", leader, log.applies, p.asked())
		}
	}
}

// TestLeaderShares: many people opening one room at once make one room with one command,
// and one of them is told that it was created.
func TestLeaderShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog("p1", "p1")
		log.delay = 30 * time.Millisecond
		s := newService(t, "p1", log, &peers{})
		created := make(chan bool, 20)
		for range 20 {
			go func() {
				a, err := s.Join(t.Context(), Request{Room: "a", Region: "paris"})
				if err != nil || a.Node != "p1" || a.Sid != "RM_new" || a.Epoch != 1 {
					t.Errorf("%+v, %v", a, err)
				}
				created <- a.Created
			}()
		}
		n := 0
		for range 20 {
			if <-created {
				n++
			}
		}
		if n != 1 || log.applies != 1 {
			t.Errorf("created told %d times, %d commands; want 1 and 1", n, log.applies)
		}
		// Another region of the same room is another node.
		if a, err := s.Join(t.Context(), Request{Room: "a", Region: "lyon"}); err != nil || a.Node != "l1" || a.Created || a.Epoch != 1 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

func TestForward(t *testing.T) {
	p := &peers{join: answer("p1")}
	a, err := newService(t, "p1", newFakeLog("p1", "l1"), p).Join(t.Context(), Request{Room: "a", Region: "paris"})
	if err != nil || a.Node != "p1" || a.Region != "paris" || a.Sid != "RM_far" || a.Epoch != 9 || !a.Created {
		t.Errorf("%+v, %v", a, err)
	}
	if p.asked() != "l1" {
		t.Errorf("asked %q", p.asked())
	}
}

// TestRefusalsAreFinal: what the leader refuses for good is not asked again.
func TestRefusalsAreFinal(t *testing.T) {
	p := &peers{join: func(context.Context, string) (*meshpb.JoinResponse, error) {
		return nil, &Error{Kind: meshpb.Error_REGION_NOT_ALLOWED}
	}}
	_, err := newService(t, "p1", newFakeLog("p1", "l1"), p).Join(t.Context(), Request{Room: "a"})
	if !errors.Is(err, ErrRegionNotAllowed) || p.asked() != "l1" {
		t.Errorf("%v, asked %q", err, p.asked())
	}
	if _, err := newService(t, "p1", newFakeLog("p1", "l1"), p).Join(t.Context(), Request{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a room without a name: %v", err)
	}
}

// TestHint: a node that no longer leads says who does.
func TestHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{}
		p.join = func(ctx context.Context, node string) (*meshpb.JoinResponse, error) {
			if node == "l1" {
				return nil, &Error{Kind: meshpb.Error_NOT_LEADER, Leader: "m1"}
			}
			return answer("p1")(ctx, node)
		}
		if _, err := newService(t, "p1", newFakeLog("p1", "l1"), p).Join(t.Context(), Request{Room: "a"}); err != nil {
			t.Error(err)
		}
		if p.asked() != "l1 m1" {
			t.Errorf("asked %q", p.asked())
		}
	})
}

// TestDeadLeader: a question to a leader that does not answer ends when another leads.
func TestDeadLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog("p1", "l1")
		p := &peers{}
		p.join = func(ctx context.Context, node string) (*meshpb.JoinResponse, error) {
			if node == "l1" {
				<-ctx.Done()
				return nil, FromStatus(ctx.Err())
			}
			return answer("p1")(ctx, node)
		}
		s := newService(t, "p1", log, p)
		began := time.Now()
		go func() {
			<-time.After(time.Second)
			log.elect("", 1)
			<-time.After(200 * time.Millisecond)
			log.elect("m1", 0)
		}()
		a, err := s.Join(t.Context(), Request{Room: "a"})
		if err != nil || a.Node != "p1" || p.asked() != "l1 m1" {
			t.Errorf("%+v, %v, asked %q", a, err, p.asked())
		}
		if d := time.Since(began); d > 1400*time.Millisecond {
			t.Errorf("took %v, the new leader was there after 1.2 s", d)
		}
	})
}

// TestNoQuorum: without a quorum a new room is refused within 2 s once that is known,
// within 5 s in any case; a known room is joined at once and recorded later.
func TestNoQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog("p1", "")
		log.leaderless = time.Minute
		s := newService(t, "p1", log, &peers{})
		refused := func(limit time.Duration) {
			t.Helper()
			began := time.Now()
			_, err := s.Join(t.Context(), Request{Room: "new"})
			if d := time.Since(began); !errors.Is(err, ErrNoQuorum) || d > limit {
				t.Errorf("%v after %v", err, d)
			}
		}
		refused(2*time.Second + 2*retryPause)
		log.leaderless = 1
		refused(askWait)
		log.leader, log.leaderless = "l1", 0
		s.cfg.Forward.(*peers).join = func(ctx context.Context, _ string) (*meshpb.JoinResponse, error) {
			return nil, &Error{Kind: meshpb.Error_NO_QUORUM}
		}
		refused(askWait)

		log.st, _ = state.Apply(log.st, &meshpb.Command{Body: &meshpb.Command_OpenRoom{OpenRoom: &meshpb.OpenRoom{
			Name: "a", Sid: "RM_a", Region: "lyon", Node: "l1",
		}}})
		log.elect("", time.Minute)
		began := time.Now()
		a, err := s.Join(t.Context(), Request{Room: "a", Region: "marseille"})
		if err != nil || a.Node != "m1" || a.Epoch != 1 || !a.Unrecorded {
			t.Errorf("%+v, %v", a, err)
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("a known room took %v", d)
		}
		s.flushPending(t.Context()) // still nobody to tell
		log.elect("p1", 0)
		s.flushPending(t.Context())
		if _, ok := state.Serving(log.State().Room("a"), "m1"); !ok {
			t.Error("it was never recorded")
		}
	})
}

// TestDecisionsRetry: a decision made on a state that has moved is made again.
func TestDecisionsRetry(t *testing.T) {
	log := newFakeLog("p1", "p1")
	log.st, _ = state.Apply(log.st, &meshpb.Command{Body: &meshpb.Command_SetNode{SetNode: &meshpb.SetNode{
		Node: "p1", Incarnation: "i-p1", Region: "paris", State: meshpb.NodeState_NODE_STATE_DRAINING,
	}}})
	a, err := newService(t, "p1", log, &peers{}).Join(t.Context(), Request{Room: "a", Region: "paris"})
	if err != nil || a.Node == "p1" {
		t.Errorf("%+v, %v: the operator drained p1", a, err)
	}
	log.applyErr = consensus.ErrUncertain
	s := newService(t, "p1", log, &peers{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Join(ctx, Request{Room: "b"}); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("%v, want no quorum", err)
	}
}

// TestKinds: errors keep their kind over gRPC and the leader's name with it.
func TestKinds(t *testing.T) {
	for _, e := range []*Error{ErrNotFound, ErrStaleEpoch, ErrNotLeader, ErrNoQuorum, ErrInvalid, ErrRegionNotAllowed, ErrNoNode, ErrFull} {
		got := FromStatus(Status(fmt.Errorf("wrapped: %w", &Error{Kind: e.Kind, Message: "m", Leader: "l"})))
		var back *Error
		if !errors.Is(got, e) || !errors.As(got, &back) || back.Leader != "l" || back.Message != "m" {
			t.Errorf("%v came back as %v", e, got)
		}
	}
	for in, want := range map[error]*Error{
		policy.ErrNoNode:           ErrNoNode,
		policy.ErrRegionNotAllowed: ErrRegionNotAllowed,
		consensus.ErrNotLeader:     ErrNotLeader,
		consensus.ErrUncertain:     ErrNoQuorum,
		consensus.ErrStopped:       ErrNoQuorum,
		context.DeadlineExceeded:   ErrNoQuorum,
	} {
		if got := FromStatus(Status(in)); !errors.Is(got, want) {
			t.Errorf("%v became %v", in, got)
		}
	}
	if FromStatus(nil) != nil || Status(nil) != nil {
		t.Error("no error became one")
	}
	if err := FromStatus(status.Error(codes.Unavailable, "connection refused")); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("a node that does not answer: %v", err)
	}
}

// TestServer: a follower refuses and names the leader; nobody reports for another.
func TestServer(t *testing.T) {
	log := newFakeLog("p1", "l1")
	s := newService(t, "p1", log, &peers{})
	s.cfg.Peer = func(context.Context) string { return "m1" }
	srv := s.Server()
	_, err := srv.Join(t.Context(), &meshpb.JoinRequest{Room: "a"})
	var e *Error
	if err = FromStatus(err); !errors.As(err, &e) || e.Kind != meshpb.Error_NOT_LEADER || e.Leader != "l1" {
		t.Errorf("join: %v", err)
	}
	if _, err := srv.Submit(t.Context(), &meshpb.SubmitRequest{}); !errors.Is(FromStatus(err), ErrNotLeader) {
		t.Errorf("submit: %v", err)
	}
	log.elect("p1", 0)
	if _, err := srv.Report(t.Context(), &meshpb.ReportRequest{Node: "l1"}); !errors.Is(FromStatus(err), ErrInvalid) {
		t.Errorf("report for another: %v", err)
	}
	if _, err := srv.Report(t.Context(), &meshpb.ReportRequest{Node: "m1"}); err != nil {
		t.Errorf("report: %v", err)
	}
	if _, err := srv.Submit(t.Context(), &meshpb.SubmitRequest{}); !errors.Is(FromStatus(err), ErrInvalid) {
		t.Errorf("an empty command: %v", err)
	}
	res, err := srv.Join(t.Context(), &meshpb.JoinRequest{Room: "a", Region: "lyon", Sid: "RM_mine"})
	if err != nil || res.GetNode() != "l1" || res.GetRoom().GetSid() != "RM_mine" || !res.GetCreated() {
		t.Errorf("%v, %v", res, err)
	}
}

func TestBurst(t *testing.T) {
	s := newService(t, "p1", newFakeLog("p1", "p1"), &peers{})
	now := t0
	s.now = func() time.Time { return now }
	for range 3 {
		s.placed("l1")
	}
	now = now.Add(loadAge)
	s.placed("l1")
	if got := s.recentCounts()["l1"]; got != 4 {
		t.Errorf("%d recent, want 4", got)
	}
	now = now.Add(loadAge)
	if got := s.recentCounts()["l1"]; got != 1 {
		t.Errorf("%d recent, want 1", got)
	}
	now = now.Add(time.Hour)
	if got := s.recentCounts()["l1"]; got != 0 {
		t.Errorf("%d recent, want 0", got)
	}
}
