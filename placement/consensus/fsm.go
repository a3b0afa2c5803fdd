package consensus

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"maille/placement/state"
	meshpb "maille/proto/mesh"
)

// maxSnapshot bounds what a snapshot may make this node read: the state's own limit
// and room for framing, settings and node records.
const maxSnapshot = 2*state.MaxBytes + 16<<20

// fsm is the state machine raft drives; apply and restore come from one goroutine.
type fsm struct {
	state   atomic.Pointer[state.State]
	changes chan struct{} // has one token when state changed
}

func newFSM() *fsm {
	f := &fsm{changes: make(chan struct{}, 1)}
	f.state.Store(state.New())
	return f
}

func (f *fsm) Apply(l *raft.Log) any {
	var cmd meshpb.Command
	if err := proto.Unmarshal(l.Data, &cmd); err != nil {
		return &meshpb.Result{Error: &meshpb.Error{Kind: meshpb.Error_INVALID, Message: "command does not decode"}}
	}
	next, res := state.Apply(f.state.Load(), &cmd)
	f.set(next)
	return res
}

func (f *fsm) set(s *state.State) {
	if f.state.Swap(s) != s {
		f.poke()
	}
}

func (f *fsm) poke() {
	select {
	case f.changes <- struct{}{}:
	default:
	}
}

func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	return (*snapshot)(f.state.Load()), nil
}

func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxSnapshot+1))
	if err != nil {
		return fmt.Errorf("consensus: read snapshot: %w", err)
	}
	if len(b) > maxSnapshot {
		return errors.New("consensus: snapshot too large")
	}
	s, err := state.Decode(b)
	if err != nil {
		return err
	}
	f.set(s)
	return nil
}

type snapshot state.State

func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write((*state.State)(s).Encode()); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s *snapshot) Release() {}
