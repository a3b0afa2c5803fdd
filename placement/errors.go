package placement

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"maille/placement/consensus"
	"maille/placement/policy"
	meshpb "maille/proto/mesh"
)

// Error is a placement failure with the kind callers act upon. errors.Is compares kinds.
type Error struct {
	Kind    meshpb.Error_Kind
	Message string
	Leader  string // with NOT_LEADER: who might know
}

// Kinds, for errors.Is.
var (
	ErrNotFound         = &Error{Kind: meshpb.Error_NOT_FOUND}
	ErrStaleEpoch       = &Error{Kind: meshpb.Error_STALE_EPOCH}
	ErrNotLeader        = &Error{Kind: meshpb.Error_NOT_LEADER}
	ErrNoQuorum         = &Error{Kind: meshpb.Error_NO_QUORUM}
	ErrInvalid          = &Error{Kind: meshpb.Error_INVALID}
	ErrRegionNotAllowed = &Error{Kind: meshpb.Error_REGION_NOT_ALLOWED}
	ErrNoNode           = &Error{Kind: meshpb.Error_NO_NODE}
	ErrFull             = &Error{Kind: meshpb.Error_FULL}
)

func (e *Error) Error() string {
	kind := strings.ReplaceAll(strings.ToLower(e.Kind.String()), "_", " ")
	if e.Message == "" {
		return "placement: " + kind
	}
	return "placement: " + kind + ": " + e.Message
}

func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind
}

// code is the gRPC status of each kind; what may work elsewhere or later is Unavailable.
var code = map[meshpb.Error_Kind]codes.Code{
	meshpb.Error_NOT_FOUND:          codes.NotFound,
	meshpb.Error_STALE_EPOCH:        codes.FailedPrecondition,
	meshpb.Error_NOT_LEADER:         codes.Unavailable,
	meshpb.Error_NO_QUORUM:          codes.Unavailable,
	meshpb.Error_INVALID:            codes.InvalidArgument,
	meshpb.Error_REGION_NOT_ALLOWED: codes.FailedPrecondition,
	meshpb.Error_NO_NODE:            codes.ResourceExhausted,
	meshpb.Error_FULL:               codes.ResourceExhausted,
}

// kindOf turns the errors of the packages below into ours. Transport failures and
// expired deadlines become NO_QUORUM: whoever should have answered did not.
func kindOf(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, policy.ErrNoNode):
		return &Error{Kind: meshpb.Error_NO_NODE, Message: err.Error()}
	case errors.Is(err, policy.ErrRegionNotAllowed):
		return &Error{Kind: meshpb.Error_REGION_NOT_ALLOWED, Message: err.Error()}
	case errors.Is(err, consensus.ErrNotLeader):
		return &Error{Kind: meshpb.Error_NOT_LEADER}
	case errors.Is(err, consensus.ErrUncertain), errors.Is(err, consensus.ErrBusy), errors.Is(err, consensus.ErrStopped),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Error{Kind: meshpb.Error_NO_QUORUM, Message: err.Error()}
	default:
		return &Error{Kind: meshpb.Error_INVALID, Message: err.Error()}
	}
}

// resultError returns the refusal in an applied command's result, nil if there is none.
func resultError(r *meshpb.Result) error {
	if e := r.GetError(); e.GetKind() != meshpb.Error_NONE {
		return &Error{Kind: e.GetKind(), Message: e.GetMessage(), Leader: e.GetLeader()}
	}
	return nil
}

// Status returns err as a gRPC status error that carries its kind.
func Status(err error) error {
	if err == nil {
		return nil
	}
	e := kindOf(err)
	st, detailErr := status.New(code[e.Kind], e.Message).WithDetails(&meshpb.Error{
		Kind: e.Kind, Message: e.Message, Leader: e.Leader,
	})
	if detailErr != nil {
		return status.Error(code[e.Kind], e.Message)
	}
	return st.Err()
}

// FromStatus is the inverse of Status. A gRPC error without a kind, such as a node that
// does not answer, is NO_QUORUM, as another leader may have to be asked.
func FromStatus(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return kindOf(err)
	}
	for _, d := range st.Details() {
		if e, ok := d.(*meshpb.Error); ok {
			return &Error{Kind: e.GetKind(), Message: e.GetMessage(), Leader: e.GetLeader()}
		}
	}
	return &Error{Kind: meshpb.Error_NO_QUORUM, Message: fmt.Sprintf("%s: %s", st.Code(), st.Message())}
}

// passing reports whether asking again, perhaps somebody else, may help.
func passing(err error) bool {
	return errors.Is(err, ErrNotLeader) || errors.Is(err, ErrNoQuorum)
}
