package link

import (
	"errors"

	"github.com/quic-go/quic-go"
)

// Orderly reports whether a session ended because one side meant it to, told by the
// error of Handler.Down: a node that leaves or forgets its peer, or comes back anew.
func Orderly(err error) bool {
	var told *quic.ApplicationError
	if errors.As(err, &told) {
		return told.ErrorCode == codeClosed
	}
	return errors.Is(err, ErrClosed) || errors.Is(err, ErrForgotten) || errors.Is(err, ErrReplaced)
}
