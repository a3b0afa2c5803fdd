package room

import (
	"slices"

	"google.golang.org/protobuf/proto"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// maxDataPacket is LiveKit's bound on one data packet; SCTP messages above it are
// refused by browsers anyway.
const maxDataPacket = 64000

// publishData routes one data packet of a local participant: stamped with its sender,
// to the local participants it is for and to the nodes that hold the others.
func (r *Room) publishData(p *Participant, reliable bool, raw []byte) {
	if len(raw) > maxDataPacket || !p.canPublishData() {
		r.refusedData.Add(1)
		return
	}
	packet := new(livekit.DataPacket)
	if err := proto.Unmarshal(raw, packet); err != nil {
		r.refusedData.Add(1)
		return
	}
	packet.ParticipantIdentity = p.identity
	packet.ParticipantSid = p.info.Sid
	kind := livekit.DataPacket_RELIABLE
	if !reliable {
		kind = livekit.DataPacket_LOSSY
		packet.Sequence = 0
	}
	packet.Kind = kind
	if user := packet.GetUser(); user != nil {
		user.ParticipantSid, user.ParticipantIdentity = p.info.Sid, p.identity
		if len(packet.DestinationIdentities) == 0 {
			packet.DestinationIdentities = r.legacyDestinations(user)
		}
	}
	stamped, err := proto.Marshal(packet)
	if err != nil {
		return
	}
	r.route(&linkpb.Data{
		Packet: stamped, Reliable: reliable, Sender: p.identity, Destinations: packet.DestinationIdentities,
	})
}

// legacyDestinations reads the fields older clients address with.
func (r *Room) legacyDestinations(user *livekit.UserPacket) []string {
	out := slices.Clone(user.DestinationIdentities)
	for _, sid := range user.DestinationSids {
		for _, m := range r.roster.Members() {
			if m.Info.Sid == sid {
				out = append(out, m.Info.Identity)
			}
		}
	}
	return out
}

// route delivers here and sends to every peer node that holds a destination.
func (r *Room) route(d *linkpb.Data) {
	r.deliver(r.env.Self(), d)
	nodes := make(map[string]bool)
	if len(d.Destinations) == 0 {
		for node := range r.peers {
			nodes[node] = true
		}
	}
	for _, id := range d.Destinations {
		if m := r.roster.Get(id); m != nil && m.Node != r.env.Self() {
			nodes[m.Node] = true
		}
	}
	for node := range nodes {
		if p := r.peers[node]; p != nil && p.synced {
			r.tell(p, &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Data{Data: d}})
		}
	}
}

// deliver hands a packet to the local participants it is for, never to its sender.
func (r *Room) deliver(_ string, d *linkpb.Data) {
	for _, p := range r.local {
		if p.identity == d.Sender || !p.active() {
			continue
		}
		if len(d.Destinations) > 0 && !slices.Contains(d.Destinations, p.identity) {
			continue
		}
		p.sendData(d.Reliable, d.Packet)
	}
}
