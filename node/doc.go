// Package node is one maille process: it opens the sockets, joins the mesh, and
// serves the people who land on it.
//
// New opens every port, so that a conflict is an error and not a log line; Run
// serves until its context ends; Close returns when nothing of the node is left.
// The package glues planes that do not know each other: gossip tells it who is
// there, placement which rooms it serves, links carry what rooms say and the tracks
// they relay, and sockets of clients become sessions here or, when placement says
// so, are proxied to the node that has their room's media.
package node
