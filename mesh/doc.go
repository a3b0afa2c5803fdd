// Package mesh is where a node touches the network: who is there, and how one node
// reaches another. Net is the one door to sockets, so that the same code runs on
// the kernel's network and on a simulated one.
//
// Below it, view holds the shared nouns, gossip says who is alive, identity says
// who may speak, and rpc carries gRPC and Raft between those who may.
package mesh
