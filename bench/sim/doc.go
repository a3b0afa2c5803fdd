// Package sim is a seeded virtual network for tests in testing/synctest bubbles: hosts
// with datagram and stream sockets, paths with delay, jitter, loss, rate and MTU, and the
// faults of a WAN (cuts, isolated hosts, crashes, hosts that vanish).
//
// A Host is a mesh.Net, and through Pion a network for pion/webrtc, so that whole nodes
// and their clients run on it in virtual time. One goroutine delivers everything; it ends
// with Network.Close. Chance is drawn per pair of hosts from the seed, so two runs differ
// only where the Go scheduler orders sends of one instant differently.
package sim
