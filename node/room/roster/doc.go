// Package roster is who is in a room, as its nodes say.
//
// Each node speaks for its own participants only, in versioned facts (proto/link): a
// snapshot, then deltas, and digests by which the others notice a lost one. A Roster is
// the union of what was heard, a pure reducer: the same facts give the same roster on
// every node, in whatever order the nodes are heard. When two nodes claim one identity
// the later join wins everywhere, so that nobody has to ask. Each fact heard gives the
// Changes that clients are to be told of.
package roster
