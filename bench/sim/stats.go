package sim

// Stats counts what passed one direction between two places, or was dropped and why.
// Bytes are UDP and TCP payload, without headers.
type Stats struct {
	Sent, SentBytes           uint64 // datagrams handed to the path
	Delivered, DeliveredBytes uint64 // datagrams that reached a socket
	StreamBytes               uint64 // written to streams

	Lost     uint64 // by Path.Loss
	Queue    uint64 // bottleneck full
	TooBig   uint64 // over the MTU
	Cut      uint64 // path cut, or a host down or isolated
	Dropped  uint64 // by the Network.Drop function
	NoSocket uint64 // nobody listens there
	Overflow uint64 // the receiving socket's buffer was full
}

func (s *Stats) add(o Stats) {
	s.Sent += o.Sent
	s.SentBytes += o.SentBytes
	s.Delivered += o.Delivered
	s.DeliveredBytes += o.DeliveredBytes
	s.StreamBytes += o.StreamBytes
	s.Lost += o.Lost
	s.Queue += o.Queue
	s.TooBig += o.TooBig
	s.Cut += o.Cut
	s.Dropped += o.Dropped
	s.NoSocket += o.NoSocket
	s.Overflow += o.Overflow
}

// Stats sums one direction between two places (host or region names; "" is everywhere,
// a host's traffic with itself left out).
func (n *Network) Stats(from, to string) Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	var sum Stats
	for _, h := range n.hosts {
		if from != "" && h.name != from && h.region != from {
			continue
		}
		for peer, l := range h.links {
			if (to == "" && peer != h) || peer.name == to || (peer.region == to && peer != h) {
				sum.add(l.stats)
			}
		}
	}
	return sum
}
