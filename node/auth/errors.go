package auth

import (
	"errors"
	"net/http"
)

// Kind classifies why a token was refused.
type Kind uint8

const (
	Missing Kind = iota + 1
	Malformed
	Expired
	NotYetValid
	WrongSignature
	UnknownKey
	NoGrant
	Withdrawn
)

// Error is a refused token. It never holds the token or a secret, so it may be
// logged and shown.
type Error struct {
	Kind Kind
	// Detail ends the sentence for the user; optional.
	Detail string
	// Err is the cause, for logs only.
	Err error
}

// Error is the plain sentence a client shows to its user.
func (e *Error) Error() string {
	s := sentences[e.Kind]
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

var sentences = map[Kind]string{
	Missing:        "no access token was given",
	Malformed:      "the access token is malformed",
	Expired:        "the access token has expired",
	NotYetValid:    "the access token is not valid yet",
	WrongSignature: "the access token has a wrong signature",
	UnknownKey:     "the access token was issued by an unknown API key",
	NoGrant:        "the access token does not allow this",
	Withdrawn:      "the access token counts no more: its bearer was removed from the room",
}

// KindOf returns the kind of a refusal, 0 for other errors.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return 0
}

// Status is the HTTP status of a refusal, 0 for errors that are none. It is 401 even
// for a missing grant: LiveKit clients and its server API tell no difference, and
// stop retrying on it.
func Status(err error) int {
	if KindOf(err) == 0 {
		return 0
	}
	return http.StatusUnauthorized
}
