// Package client is a small LiveKit client on pion, for tests and for the bench: it
// joins a room, publishes synthetic media and counts what it receives.
//
// Its media is cheap to make and easy to check: packets carry their number and the
// time they were sent in the payload, so a receiver can tell loss, order and delay
// without decoding. It speaks both forms of the protocol, with two peer connections
// (/rtc) or one (/rtc/v1), over any network it is given, so it runs in a synctest bubble as well as on real sockets.
package client
