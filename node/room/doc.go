// Package room is one meeting on one node: the participants attached here, what
// they publish, and who receives it.
//
// Every node that serves a room runs one Room. Each speaks for its own
// participants only and tells the others in versioned facts (proto/link), so the
// roster any client sees is the union of what the nodes say (room/roster). All of a Room's state
// is owned by one goroutine, its loop; sockets, peer connections and links hand it
// closures. Media never passes the loop: it flows from a publisher's relay track to
// the tracks' sinks, local or far, without asking anyone here.
//
// Data messages do pass the loop, as they are few. Reliable ones go to the other nodes
// among the facts, numbered and kept until the node has them (room/delivery): a cut
// costs none and changes no sender's order, and while it lasts a third node passes them
// on. Lossy ones, and the packets of data tracks, which do not pass the loop, go by a
// channel that drops its oldest.
//
// What needs no loop, no connection and no link is in folders below, each pure and tested
// alone: who is there (roster), what is said of tracks (trackinfo), by which way a track
// comes (route), reliable data (delivery), clients' data as bytes (datapacket, datatrack),
// who speaks (speakers) and how well clients are connected (quality).
package room
