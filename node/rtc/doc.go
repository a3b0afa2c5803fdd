// Package rtc is where WebRTC meets the relay: the only package that knows
// pion/webrtc. An Engine owns the node's media sockets; each client has Peers on
// them. What a client publishes becomes a relay track whose Source is the peer;
// what a client watches is a Subscriber, a Sink of that track, which chooses a
// layer, renumbers and encrypts. Signalling text (SDP, candidates) goes in and out
// as strings, bounded and checked before pion sees it (rtc/sdp).
//
// The protocol has two forms. In one, a client has two Peers: an Uplink, which the
// client offers, and a Downlink, which the node offers. In the other it has a Duplex,
// which the client offers: what it is to receive waits for a section of the client's
// (duplex.go), and the client is asked for its next offer when there is something to
// tell (asking.go).
//
// A Peer outlives its path: ICE that fails, or a client's TCP connection that ends, costs
// packets until ICE is restarted (tapconn.go). It ends, and its handler hears so, when the
// client ends its SCTP association or DTLS, when the DTLS handshake fails, when the client
// is over one of the bounds of a connection, and when the node cannot make an offer.
//
// What needs no peer connection is in folders below: descriptions as text (sdp) and
// packets that did not come (missing).
package rtc
