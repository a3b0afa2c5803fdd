package room

import (
	"time"

	"google.golang.org/protobuf/proto"

	"maille/node/room/delivery"
	linkpb "maille/proto/link"
)

// lossyPrefix names the channel of a room's lossy data on the links.
const lossyPrefix = "lossy/"

// LossyChannel is the link channel of a room's lossy data.
func LossyChannel(name string) string { return lossyPrefix + name }

// LossyRoom is the inverse of LossyChannel.
func LossyRoom(channel string) (name string, ok bool) {
	if len(channel) <= len(lossyPrefix) || channel[:len(lossyPrefix)] != lossyPrefix {
		return "", false
	}
	return channel[len(lossyPrefix):], true
}

// resendAfter is when parcels that went through a third node and were not acknowledged
// go another way: that node may have no link to the receiver either.
const resendAfter = 2 * time.Second

// sendersKept is how many senders that are gone are remembered by their sequences: they
// may come back on another node.
const sendersKept = 256

// mail is the data exchange with a peer node.
type mail struct {
	out *delivery.Outbox
	in  delivery.Inbox
	// via is the node the parcels go through now: the peer itself, a third, or "" for
	// no way, or one that is not what it was.
	via   string
	moved time.Time            // when via was chosen or an acknowledgement came
	avoid map[string]time.Time // thirds that did not bring parcels there, until when
}

func (m *mail) box(r *Room) *delivery.Outbox {
	if m.out == nil {
		m.out = delivery.NewOutbox(uint64(r.env.Now().UnixNano()), &r.data.expired)
	}
	return m.out
}

// way names the node to send data for a peer to: the peer, a third node that serves the
// room while the path there is cut, or "".
func (r *Room) way(p *peer) string {
	if p.synced && r.env.Linked(p.node) {
		return p.node
	}
	best := ""
	for node, q := range r.peers {
		if q != p && q.synced && r.env.Linked(node) && !p.mail.avoid[node].After(r.env.Now()) && (best == "" || node < best) {
			best = node
		}
	}
	return best
}

// flush sends a peer the parcels that may go now.
func (r *Room) flush(p *peer) {
	if p.mail.out == nil {
		return
	}
	if via := r.way(p); via != p.mail.via {
		p.mail.via, p.mail.moved = via, r.env.Now()
		p.mail.out.Rewind()
	}
	for p.mail.via != "" {
		parcel := p.mail.out.Next()
		if parcel == nil {
			return
		}
		if !r.mailTo(p, p.mail.via, &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Parcel{Parcel: parcel}}) {
			p.mail.via = ""
		}
	}
}

// anew sends a peer its parcels and wishes again, as the session to it is another.
func (r *Room) anew(p *peer) {
	p.mail.via = ""
	p.dataAsked = nil
	r.flush(p)
	r.routeData()
}

// mailTo sends a message to a peer through a node, on the ordered channels.
func (r *Room) mailTo(p *peer, via string, m *linkpb.RoomMessage) bool {
	q := r.peers[via]
	if q == nil {
		return false
	}
	if q != p {
		f := r.wrap(p.node, m)
		if f == nil {
			return false
		}
		m = f
	}
	r.tell(q, m)
	return q.synced
}

// wrap makes a message one that a third node passes on.
func (r *Room) wrap(to string, m *linkpb.RoomMessage) *linkpb.RoomMessage {
	m.RoomSid, m.Epoch = r.sid, r.epoch
	b, err := proto.Marshal(m)
	if err != nil {
		return nil
	}
	return &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Forward{Forward: &linkpb.Forward{From: r.env.Self(), To: to, Message: b}}}
}

// offer sends a peer what may be lost.
func (r *Room) offer(p *peer, m *linkpb.RoomMessage) {
	via := r.way(p)
	if via == "" {
		r.data.undone.Add(1)
		return
	}
	r.offerVia(p.node, via, m)
}

// offerVia sends a node what may be lost, by itself or through a third. It does not need
// the room's loop.
func (r *Room) offerVia(to, via string, m *linkpb.RoomMessage) {
	if via != to {
		if m = r.wrap(to, m); m == nil {
			return
		}
	}
	m.RoomSid, m.Epoch = r.sid, r.epoch
	b, err := proto.Marshal(m)
	if err == nil {
		err = r.env.Offer(via, LossyChannel(r.name), b)
	}
	if err != nil {
		r.data.undone.Add(1)
	}
}

// took handles a parcel of a peer.
func (r *Room) took(p *peer, parcel *linkpb.Parcel) {
	if parcel.Data == nil {
		return
	}
	if p.mail.in.Take(parcel, len(parcel.Data.Packet)) {
		r.deliver(parcel.Data)
	}
	if p.mail.in.Due() {
		r.acknowledge(p)
	}
}

func (r *Room) acknowledge(p *peer) {
	ack := p.mail.in.Ack()
	if ack == nil {
		return
	}
	if via := r.way(p); via != "" {
		r.mailTo(p, via, &linkpb.RoomMessage{Body: &linkpb.RoomMessage_ParcelAck{ParcelAck: ack}})
	}
}

// acknowledged handles what a peer says it has.
func (r *Room) acknowledged(p *peer, ack *linkpb.ParcelAck) {
	if p.mail.out == nil {
		return
	}
	p.mail.out.Ack(ack)
	p.mail.moved = r.env.Now()
	r.flush(p)
}

// passOn handles a message for or from a node without a link to the other end.
func (r *Room) passOn(f *linkpb.Forward, lossy bool) {
	if f.To != r.env.Self() {
		q := r.peers[f.To]
		switch {
		case q == nil || !q.synced || !r.env.Linked(f.To):
			r.data.undone.Add(1)
		case lossy:
			r.offer(q, &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Forward{Forward: f}})
		default:
			r.tell(q, &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Forward{Forward: f}})
		}
		return
	}
	m := new(linkpb.RoomMessage)
	p := r.peers[f.From]
	if p == nil || proto.Unmarshal(f.Message, m) != nil || m.RoomSid != r.sid || m.Epoch != r.epoch {
		r.data.undone.Add(1)
		return
	}
	// Only data is passed on: each node speaks for its own participants.
	switch b := m.Body.(type) {
	case *linkpb.RoomMessage_Parcel:
		r.took(p, b.Parcel)
	case *linkpb.RoomMessage_ParcelAck:
		r.acknowledged(p, b.ParcelAck)
	case *linkpb.RoomMessage_BlobRequest:
		r.blobAsked(p, b.BlobRequest)
	case *linkpb.RoomMessage_BlobAnswer:
		r.blobAnswered(b.BlobAnswer)
	case *linkpb.RoomMessage_Data:
		r.deliverLossy(b.Data)
	case *linkpb.RoomMessage_TrackData:
		r.receiveTrack(b.TrackData)
	}
}

// ReceiveLossy takes a message from a peer node's lossy channel. What the loop has no
// room for is lost.
func (r *Room) ReceiveLossy(node string, msg []byte) {
	m := new(linkpb.RoomMessage)
	if err := proto.Unmarshal(msg, m); err != nil {
		r.log.Warn("bad lossy message", "peer", node, "err", err)
		return
	}
	if !r.isPeer(node) {
		r.data.strangers.Add(1)
		return
	}
	if b := m.GetTrackData(); b != nil {
		if m.RoomSid == r.sid && m.Epoch == r.epoch {
			r.receiveTrack(b)
		}
		return
	}
	select {
	case r.inbox <- func() { r.receiveLossy(m) }:
	default:
		r.data.undone.Add(1)
	}
}

// isPeer tells whether a node serves the room. Any goroutine may ask.
func (r *Room) isPeer(node string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.serves[node]
}

func (r *Room) receiveLossy(m *linkpb.RoomMessage) {
	if m.RoomSid != r.sid || m.Epoch != r.epoch {
		return
	}
	switch b := m.Body.(type) {
	case *linkpb.RoomMessage_Data:
		r.deliverLossy(b.Data)
	case *linkpb.RoomMessage_Forward:
		r.passOn(b.Forward, true)
	}
}

// deliverLossy delivers what may have overtaken the news of its sender; then clients
// would not know whom it is from.
func (r *Room) deliverLossy(d *linkpb.Data) {
	if d.Reliable || d.Sender != "" && r.roster.Get(d.Sender) == nil {
		r.data.strangers.Add(1)
		return
	}
	r.deliver(d)
}

// tend keeps the exchange of data going: late acknowledgements, packets that wait too
// long, ways that lead nowhere.
func (r *Room) tend() {
	now := r.env.Now()
	r.recent.Expire(now)
	if r.recent.Senders() > r.roster.Size()+sendersKept {
		known := make(map[string]bool)
		for _, m := range r.roster.Members() {
			known[m.Info.Sid] = true
		}
		r.recent.Forget(func(sid string) bool { return !known[sid] })
	}
	r.expireBlobs(now)
	r.admitStrangers()
	for node, p := range r.peers {
		if !p.placed && !p.synced && !r.env.Linked(node) && !r.roster.Knows(node) {
			r.parted(node) // gone, and not expected back
			continue
		}
		r.acknowledge(p)
		if p.mail.out == nil {
			continue
		}
		p.mail.out.Expire(now)
		if via := p.mail.via; via != p.node && via != "" && p.mail.out.Sent() > 0 && now.Sub(p.mail.moved) > resendAfter {
			if p.mail.avoid == nil {
				p.mail.avoid = make(map[string]time.Time)
			}
			p.mail.avoid[via] = now.Add(2 * resendAfter)
			p.mail.via = ""
		}
		r.flush(p)
	}
}
