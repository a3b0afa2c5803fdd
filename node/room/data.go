package room

import (
	"errors"
	"slices"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"maille/node/guard"
	"maille/node/room/datapacket"
	"maille/node/room/roster"
	"maille/node/rtc"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// fullFanout is how many receivers a sender's rate is made for; a message to more of
// them counts for more.
const fullFanout = 32

// Why a well-formed packet goes no further.
var (
	errDataNobody = errors.New("room: data packet for nobody here")
	errDataResent = errors.New("room: data packet sent before")
)

// dataCounts says what became of the room's data; read outside the loop.
type dataCounts struct {
	resent    atomic.Uint64 // had before
	undone    atomic.Uint64 // for a node or participant that does not take it
	strangers atomic.Uint64 // lossy, from someone not known here yet
	expired   atomic.Uint64 // waited too long for a way to their node, or too many did
}

// DataDrops counts the data messages that went no further in the room on this node, by
// reason, since it began here.
func (r *Room) DataDrops() map[string]uint64 {
	c := &r.data
	return map[string]uint64{
		"resent": c.resent.Load(), "unreachable": c.undone.Load(), "unknown_sender": c.strangers.Load(), "expired": c.expired.Load(),
	}
}

// publishData routes one data packet of a local participant: stamped with its sender,
// to the local participants it is for and to the nodes that hold the others.
func (r *Room) publishData(p *Participant, reliable bool, raw []byte) {
	d, err := r.accept(p, reliable, raw)
	switch err {
	case nil:
	case errDataResent:
		r.data.resent.Add(1)
		return
	default:
		r.env.Refuse(guard.Data)
		r.log.Debug("data refused", "identity", p.identity, "err", err)
		return
	}
	ch := rtc.Lossy
	if reliable {
		ch = rtc.Reliable
	}
	p.charge(ch, r.route(d), len(raw))
}

// charge makes a message to many count for as many as it costs.
func (p *Participant) charge(ch rtc.Channel, receivers, bytes int) {
	if times := receivers/fullFanout - 1; times > 0 {
		p.pub.Charge(ch, times, bytes)
	}
}

// accept makes a client's packet what the others may get.
func (r *Room) accept(p *Participant, reliable bool, raw []byte) (*linkpb.Data, error) {
	if !p.canPublishData() {
		return nil, datapacket.ErrForbidden
	}
	s, err := datapacket.Stamp(raw, datapacket.Sender{
		Identity: p.identity, Sid: p.info.Sid, Hidden: p.hidden(), Agent: p.info.Kind == livekit.ParticipantInfo_AGENT,
	}, reliable)
	if err != nil {
		return nil, err
	}
	if s.Sequence != 0 {
		if s.Sequence <= p.lastSequence {
			return nil, errDataResent // a client sends again what it cannot know was received
		}
		p.lastSequence = s.Sequence
	}
	d := &linkpb.Data{
		Packet: s.Packet, Reliable: reliable, Sender: p.identity, SenderSid: p.info.Sid,
		Sequence: s.Sequence, Destinations: s.Identities, Metrics: s.Metrics,
	}
	for _, m := range r.bySid(s.Sids) {
		d.Destinations = append(d.Destinations, m.Info.Identity)
	}
	slices.Sort(d.Destinations)
	d.Destinations = slices.Compact(d.Destinations)
	if s.Addressed && len(d.Destinations) == 0 {
		return nil, errDataNobody
	}
	return d, nil
}

// bySid finds members by sid, as older clients address them.
func (r *Room) bySid(sids []string) (out []*roster.Member) {
	if len(sids) == 0 {
		return nil
	}
	for _, m := range r.roster.Members() {
		if slices.Contains(sids, m.Info.Sid) {
			out = append(out, m)
		}
	}
	return out
}

// Send brings a packet of the server itself to the participants it is for, none
// meaning everyone: clients see no sender.
func (r *Room) Send(u *livekit.UserPacket, reliable bool, identities, sids []string) error {
	packet := &livekit.DataPacket{DestinationIdentities: identities, Value: &livekit.DataPacket_User{User: u}}
	if !reliable {
		packet.Kind = livekit.DataPacket_LOSSY
	}
	b, err := proto.Marshal(packet)
	if err != nil {
		return err
	}
	if len(b) > datapacket.MaxBytes {
		return datapacket.ErrSize
	}
	d := &linkpb.Data{Packet: b, Reliable: reliable, Destinations: identities}
	return r.call(func() {
		for _, m := range r.bySid(sids) {
			d.Destinations = append(d.Destinations, m.Info.Identity)
		}
		if len(d.Destinations) > 0 || len(sids) == 0 {
			r.route(d)
		}
	})
}

// route delivers here and sends to every peer node that holds a destination. It returns
// how many receive it, about.
func (r *Room) route(d *linkpb.Data) (receivers int) {
	r.deliver(d)
	if len(d.Destinations) == 0 {
		receivers = len(r.local)
		for node, p := range r.peers {
			receivers += r.roster.Count(node)
			r.forward(p, d)
		}
		return receivers
	}
	nodes := make(map[string]bool)
	for _, id := range d.Destinations {
		if m := r.roster.Get(id); m != nil && m.Node != r.env.Self() {
			nodes[m.Node] = true
		}
	}
	for node := range nodes {
		if p := r.peers[node]; p != nil {
			r.forward(p, d)
		}
	}
	return len(d.Destinations)
}

// forward sends a packet to a peer node: reliable ones wait for a way there.
func (r *Room) forward(p *peer, d *linkpb.Data) {
	if d.Reliable {
		p.mail.box(r).Push(d, r.env.Now())
		r.flush(p)
		return
	}
	r.offer(p, &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Data{Data: d}})
}

// deliver hands a packet to the local participants it is for, never to its sender.
func (r *Room) deliver(d *linkpb.Data) {
	if d.Reliable && !r.recent.Add(d, r.env.Now()) {
		r.data.resent.Add(1)
		return
	}
	r.introduce(d.Sender)
	if len(d.Destinations) > 0 {
		for _, id := range d.Destinations {
			if p := r.local[id]; p != nil {
				p.receiveData(d)
			}
		}
		return
	}
	for _, p := range r.local {
		p.receiveData(d)
	}
}

// introduce tells the clients here of a participant that came quietly and now has
// something to say.
func (r *Room) introduce(identity string) {
	n, untold := r.untold[identity]
	if !untold {
		return
	}
	delete(r.untold, identity)
	for _, p := range r.local {
		p.update([]news{n})
	}
}

// receiveData sends a packet to the client, if it may see it. Reliable ones wait in its
// channel until that opens; what a slow reader loses is counted there.
func (p *Participant) receiveData(d *linkpb.Data) {
	if p.gone || p.identity == d.Sender || d.Metrics && !p.info.Permission.CanSubscribeMetrics {
		return
	}
	ch := rtc.Lossy
	if d.Reliable {
		ch = rtc.Reliable
	}
	if err := p.sub.SendData(ch, d.Packet); err != nil {
		p.room.data.undone.Add(1)
	}
}
