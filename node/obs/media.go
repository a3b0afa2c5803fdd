package obs

const (
	in  = "in"
	out = "out"
)

func links(i *instruments, src func() []Link) func(reading) {
	up := i.level("link.up", "", "1 while there is a session to this member of the cluster, else 0.")
	rtt := i.level("link.rtt", "s", "Smoothed round trip of the link's own probes.")
	loss := i.level("link.loss", "1", "Share of sent datagrams lost lately, repairs not counted.")
	queue := i.level("link.queue.delay", "s", "Delay of the queue that stands on the path.")
	estimate := i.level("link.estimate", "By/s", "What the path is estimated to carry; absent without limit.")
	demand := i.level("link.demand", "By/s", "What the link is asked to carry; absent when not known.")
	lanes := i.level("link.lanes", "{lane}", "QUIC connections that carry media.")
	streams := i.level("link.streams", "{stream}", "Tracks on the link.")
	packets := i.count("link.packets", "{packet}", "Media packets, repairs included.")
	bytes := i.count("link.bytes", "By", "Datagram payloads, headers of QUIC and below excluded.")
	sent := i.count("link.datagrams", "{datagram}", "Datagrams sent, by what the peer reported of them.")
	asked := i.count("link.repairs.asked", "{packet}", "Missing packets this node asked the peer for.")
	unfilled := i.count("link.repairs.unfilled", "{packet}", "Packets the peer asked for that were no longer held.")
	late := i.count("link.repairs.late", "{packet}", "Missing packets that came after they were given up.")
	excess := i.count("link.repairs.excess", "{packet}", "Packets the peer asked for beyond what a peer may.")
	turned := i.count("link.tracks.refused", "{track}", "Tracks the peer asked for and did not get.")
	doubled := i.count("link.audio.doubled", "{packet}", "Audio packets sent twice ahead of loss.")
	return func(r reading) {
		for _, l := range src() {
			peer := []string{"peer", l.Peer}
			r.yes(up, l.Up, peer...)
			if !l.Up {
				continue
			}
			r.level(rtt, l.RTT.Seconds(), peer...)
			r.level(loss, l.Loss, peer...)
			r.level(queue, l.Queue.Seconds(), peer...)
			if l.Estimate > 0 {
				r.level(estimate, l.Estimate, peer...)
			}
			if l.Demand > 0 {
				r.level(demand, l.Demand, peer...)
			}
			r.level(lanes, float64(l.Lanes), peer...)
			r.level(streams, float64(l.StreamsIn), "peer", l.Peer, "direction", in)
			r.level(streams, float64(l.StreamsOut), "peer", l.Peer, "direction", out)
			r.count(packets, l.PacketsIn, "peer", l.Peer, "direction", in)
			r.count(packets, l.PacketsOut, "peer", l.Peer, "direction", out)
			r.count(bytes, l.BytesIn, "peer", l.Peer, "direction", in)
			r.count(bytes, l.BytesOut, "peer", l.Peer, "direction", out)
			r.count(sent, l.Datagrams, "peer", l.Peer, "outcome", "arrived")
			r.count(sent, l.DatagramsLost, "peer", l.Peer, "outcome", "lost")
			r.count(asked, l.RepairsAsked, peer...)
			r.count(unfilled, l.RepairsUnfilled, peer...)
			r.count(late, l.RepairsLate, peer...)
			r.count(excess, l.Excess, peer...)
			r.count(turned, l.RefusedTracks, peer...)
			r.count(doubled, l.Doubled, peer...)
		}
	}
}

func refused(i *instruments, src func() map[string]uint64) func(reading) {
	turned := i.count("link.refused", "{connection}", "Connections of would-be links that were turned away, by reason.")
	return func(r reading) {
		for why, n := range src() {
			r.count(turned, n, "reason", why)
		}
	}
}

func unsent(i *instruments, src func() map[string]uint64) func(reading) {
	packets := i.count("link.unsent", "{packet}", "Packets of links that the kernel did not take, by reason; as not_together, runs that left one by one.")
	return func(r reading) {
		for why, n := range src() {
			r.count(packets, n, "reason", why)
		}
	}
}

// totals reads what the ledger keeps.
func totals(i *instruments, src func() map[Key]Counts) func(reading) {
	packets := i.count("client.packets", "{packet}", "Media packets from and to clients, repairs excluded.")
	bytes := i.count("client.bytes", "By", "Media payload from and to clients.")
	lost := i.count("client.packets.lost", "{packet}", "Packets of clients that never came.")
	resent := i.count("client.packets.resent", "{packet}", "Packets sent to clients again.")
	asked := i.count("client.nacks", "{packet}", "Packets asked for again: of a client (out), by one (in).")
	keyframes := i.count("client.keyframe.requests", "{request}", "Keyframes that clients asked for.")
	gone := i.count("link.packets.lost", "{packet}", "Packets that came neither at first nor on request.")
	answered := i.count("link.repairs.answered", "{packet}", "Packets sent to the peer again.")
	filled := i.count("link.repairs.filled", "{packet}", "Packets the peer sent again that closed a gap.")
	dropped := i.count("packets.dropped", "{packet}", "Packets that did not go on, by where and why.")
	linkDropped := i.count("link.packets.dropped", "{packet}", "Of those, what did not go on at a link; reasons without any are left out.")
	return func(r reading) {
		drops := make(map[[2]string]uint64)
		for key, c := range src() {
			switch key.Where {
			case Publication:
				r.count(packets, c.Packets, "direction", in, "kind", key.Kind)
				r.count(bytes, c.Bytes, "direction", in, "kind", key.Kind)
				r.count(lost, c.Lost, "kind", key.Kind)
				r.count(asked, c.Asked, "direction", out, "kind", key.Kind)
			case Subscription:
				r.count(packets, c.Packets, "direction", out, "kind", key.Kind)
				r.count(bytes, c.Bytes, "direction", out, "kind", key.Kind)
				r.count(resent, c.Repaired, "kind", key.Kind)
				r.count(asked, c.Asked, "direction", in, "kind", key.Kind)
				r.count(keyframes, c.Keyframes, "kind", key.Kind)
			case LinkIn:
				r.count(gone, c.Lost, "peer", key.Peer)
				r.count(filled, c.Repaired, "peer", key.Peer)
			case LinkOut:
				r.count(answered, c.Repaired, "peer", key.Peer)
			}
			for why, n := range c.Drops {
				drops[[2]string{key.Where, why}] += n
				if key.Where == LinkSession && n > 0 {
					r.count(linkDropped, n, "peer", key.Peer, "reason", why)
				}
			}
		}
		for at, n := range drops {
			r.count(dropped, n, "where", at[0], "reason", at[1])
		}
	}
}
