// Package datatrack is what a node reads, writes and drops of the packets of data tracks.
//
// A data track is a stream of frames that a client publishes under a handle of its own and
// each subscriber knows by another; its packets are raw, and the node reads only their
// heads (signalling.md 4.8). It finds the track by the handle, writes each subscriber's in
// its place, and lets no more frames a second pass a Gate than the subscriber asked for,
// each whole or not at all. All of it is on the path of every packet, and allocates
// nothing.
package datatrack
