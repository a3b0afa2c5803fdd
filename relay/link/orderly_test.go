package link

import (
	"errors"
	"fmt"
	"testing"

	"github.com/quic-go/quic-go"
)

func TestOrderly(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{ErrClosed, true},
		{ErrForgotten, true},
		{ErrReplaced, true},
		{fmt.Errorf("reading: %w", &quic.ApplicationError{Remote: true, ErrorCode: codeClosed}), true},
		{&quic.ApplicationError{Remote: true, ErrorCode: codeFailed}, false},
		{ErrSilent, false},
		{&quic.IdleTimeoutError{}, false},
		{errors.New("socket"), false},
		{nil, false},
	} {
		if got := Orderly(c.err); got != c.want {
			t.Errorf("Orderly(%v) = %v", c.err, got)
		}
	}
}
