// Package route says by which way a node gets a track of another.
//
// There are three: from the node where it is published, its origin; from the gateway of
// the own region, so that a pair of regions is crossed once; or, while a path is cut,
// through a third node that has it from the origin, of the own region if that is the
// origin's. Each node decides alone, from what it sees of the others.
//
// Loops cannot form, whatever the nodes believe of links, of placement and of where the
// publisher is by now, as long as they know each other's regions, which never change: a
// node serves a track it relays to other regions only while it has it from the origin
// itself, and to its own region only while it has it from outside the region (MayServe).
// When that changes, those served before are let go.
package route
