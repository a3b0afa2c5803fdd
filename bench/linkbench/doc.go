// Package linkbench measures what the link between two nodes does to a meeting: the
// same seeded packets cross the same impaired path as `maille` (package link), as
// `quic` (one plain quic-go connection, a datagram per packet) and as `udp` (no repair).
// Delivery is measured in virtual time on bench/sim, processor time between processes
// on loopback sockets: there with packets offered in heaps, which quic-go too puts
// together, and read off a socket one by one, as a node gets them. `make bench-link` starts
// it; it reports and never fails, because the gates are the tests of relay/link.
//
// Processor time of both ends together, maille against quic, as seen on two cores that
// others use too: audio from clients 0.4 to 0.6, video 0.7 to 1.0 and as it comes from
// clients 0.9 to 1.3. Audio in heaps takes 0.9 to 1.4, where half was hoped for: there
// quic-go by itself puts seven to ten datagrams into a packet, which leaves nothing to save,
// and a track's ring and chain come on top. Of what full packets cost plain quic-go at that
// rate it is as much at 10,000 a second and a third at 40,000.
package linkbench
