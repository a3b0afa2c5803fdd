// Package rtc is where WebRTC meets the relay: the only package that knows
// pion/webrtc. An Engine owns the node's media sockets; each client has Peers on
// them. What a client publishes becomes a relay track whose Source is the peer;
// what a client watches is a Subscriber, a Sink of that track, which chooses a
// layer, renumbers and encrypts. Signalling text (SDP, candidates) goes in and out
// as strings, bounded and checked before pion sees it.
package rtc
