// Package wire is the codec of the datagrams that nodes send each other on a link.
//
// A media datagram is a bundle: three bytes, then frames. A frame is one RTP packet
// (or half of one that is too large) whose header of 11 to 26 bytes stands in for the
// RTP header and the extensions that end at a hop. Reports, repair requests and
// probes travel in datagrams of their own. Everything here is pure: bytes in, values
// out, nothing allocated, nothing kept except by the Joiner of halves.
package wire

import "errors"

// MaxDatagram is the largest datagram payload a link sends. Behind QUIC, UDP and
// IPv6 headers it makes 1,276 bytes, within IPv6's minimum MTU; larger packets
// vanish on some tunnelled paths.
const MaxDatagram = 1200

// Type is the first byte of every datagram.
type Type uint8

const (
	TypeMedia  Type = 1 // a bundle of frames
	TypeReport Type = 2 // arrivals, from receiver to sender
	TypeAsk    Type = 3 // sequence numbers the receiver misses
	TypeProbe  Type = 4 // liveness, answered at once by TypeEcho
	TypeEcho   Type = 5
	TypePadded Type = 6 // a bundle, then bytes to ignore and their number, u16
)

// Errors of the decoders. They carry no context: a caller counts them.
var (
	ErrShort   = errors.New("wire: datagram ends early")
	ErrInvalid = errors.New("wire: field out of range")
)

// TypeOf returns the type of a datagram, 0 for an empty one.
func TypeOf(b []byte) Type {
	if len(b) == 0 {
		return 0
	}
	return Type(b[0])
}
