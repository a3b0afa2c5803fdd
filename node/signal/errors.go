package signal

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"maille/node/auth"
)

// Error refuses a join with an HTTP status and a plain sentence, which clients show.
type Error struct {
	Status int
	Text   string
	// Err is the cause, for logs only.
	Err error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Text + ": " + e.Err.Error()
	}
	return e.Text
}

func (e *Error) Unwrap() error { return e.Err }

// ErrRoomMissing is for rooms that are not created by joining. livekit-client looks
// for this very text.
var ErrRoomMissing = &Error{Status: http.StatusNotFound, Text: "requested room does not exist"}

// Unavailable refuses with 503: the client may try again.
func Unavailable(text string, err error) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Text: text, Err: err}
}

func badRequest(format string, a ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Text: fmt.Sprintf(format, a...)}
}

// status maps any error of a join to what the client gets; see Host.Join.
func status(err error) (code int, text string) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status, e.Text
	}
	if code := auth.Status(err); code != 0 {
		e, _ := errors.AsType[*auth.Error](err)
		return code, e.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return http.StatusServiceUnavailable, "the room could not be reached in time"
	}
	return http.StatusInternalServerError, "internal error"
}

// ErrSlow and ErrClosed are what Conn.Write fails with.
var (
	ErrSlow   = errors.New("signal: client leaves too much unread")
	ErrClosed = errors.New("signal: socket is closed")
)

// ErrBadMessage and ErrTooBig are what Conn.Read fails with when it ended the socket
// because of what the client sent.
var (
	ErrBadMessage = errors.New("signal: frame holds no SignalRequest")
	ErrTooBig     = errors.New("signal: message is too big")
)

// Closed is what Conn.Read fails with after the client closed the socket.
type Closed struct {
	Code   int // 1005 if the client gave none
	Reason string
}

func (c *Closed) Error() string {
	return fmt.Sprintf("signal: closed by client with %d %q", c.Code, c.Reason)
}
