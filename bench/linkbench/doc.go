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
// clients 0.9 to 1.4. Audio in heaps takes 0.9 to 1.4, where half was hoped for: there
// quic-go by itself puts seven to ten datagrams into a packet, which leaves nothing to save,
// and a track's ring and chain come on top. Of what full packets cost plain quic-go at that
// rate it is as much at 10,000 a second and a third at 40,000.
//
// What `make bench-link` showed last, seed 1, 24 Mbit/s and 150 packets of audio a second at
// 100 ms, losses uniform. In time is within path + 1.5 round trips + 20 ms; bytes are UDP
// payload forward over RTP bytes sent, without RTP bytes sent again. Which lanes hold at
// 20 % is by lot: of 18 runs, bytes were 1.028 to 1.041 in 17 and 1.082 in one.
//
//	loss     maille video, audio    bytes   quic video, audio    udp video, audio
//	0 %      100.00 %  100.00 %     1.012   100.00 %  100.00 %   100.00 %  100.00 %
//	0.1 %    100.00 %  100.00 %     1.013     0.00 %    0.00 %    99.93 %   99.87 %
//	1 %      100.00 %  100.00 %     1.013     0.00 %    0.00 %    98.97 %   98.60 %
//	5 %       99.96 %  100.00 %     1.017     0.00 %    0.00 %    94.81 %   95.47 %
//	20 %      26.62 %   99.93 %     1.033     0.00 %    0.00 %    80.14 %   77.80 %
//
// Video of maille in time over other round trips, uniform losses; audio was never under
// 99.1 %. At 10 and 30 ms a repair has little time to come; at 300 ms 64 lanes at their
// smallest windows are too few.
//
//	loss      10 ms      30 ms     100 ms     300 ms
//	0.1 %   99.98 %    99.97 %   100.00 %   100.00 %
//	1 %     99.84 %    99.76 %   100.00 %   100.00 %
//	2 %     99.47 %    99.50 %   100.00 %    85.77 %
//	5 %     98.67 %    98.76 %    99.94 %    47.00 %
//	20 %    89.91 %    59.84 %    31.15 %    18.11 %
//
// Through a bottleneck of 10 Mbit/s for 20 s: no audio lost, 97.80 % of it in time, queue
// p95 36 ms, upper layers back 7.4 s after its end; with a queue of 100 ms: no audio lost,
// 32 ms, 6.8 s. In virtual time one pair carried the most that was offered at 0 %, 386 Mbit/s.
package linkbench
