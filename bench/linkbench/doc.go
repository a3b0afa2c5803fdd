// Package linkbench measures what the link between two nodes does to a meeting: the
// same seeded packets cross the same impaired path as `maille` (package link), as
// `quic` (one plain quic-go connection, a datagram per packet) and as `udp` (no repair).
// Delivery is measured in virtual time on bench/sim, processor time between processes
// on loopback sockets: there with packets offered in heaps, which quic-go too puts
// together, and read off a socket one by one, as a node gets them. `make bench-link` starts
// it; it reports and never fails, because the gates are the tests of relay/link.
package linkbench
