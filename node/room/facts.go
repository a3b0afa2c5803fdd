package room

import (
	"google.golang.org/protobuf/proto"

	"maille/node/room/roster"
	linkpb "maille/proto/link"
)

// channelPrefix names a room's ordered channel on the links: facts and data share it,
// so a data message never overtakes the news of its sender.
const channelPrefix = "room/"

// Channel is the link channel of a room.
func Channel(name string) string { return channelPrefix + name }

// ChannelRoom is the inverse of Channel.
func ChannelRoom(channel string) (name string, ok bool) {
	if len(channel) <= len(channelPrefix) || channel[:len(channelPrefix)] != channelPrefix {
		return "", false
	}
	return channel[len(channelPrefix):], true
}

// peer is another node that serves the room.
type peer struct {
	node string
	// synced is true once this node's snapshot went out on the current session; deltas
	// make sense only after it.
	synced bool
	// placed is true while placement lists the node; others announced themselves.
	placed     bool
	mail       mail
	dataAsked  []string        // data tracks of it that it was told are watched here
	dataWanted map[string]bool // data tracks of this node that it watches
}

// meet returns the peer of a node that serves the room as well, from now on if it is new.
func (r *Room) meet(node string) *peer {
	p := r.peers[node]
	if p == nil {
		p = &peer{node: node}
		r.peers[node], r.met[node] = p, true
		r.mu.Lock()
		r.serves[node] = true
		r.mu.Unlock()
	}
	return p
}

// parted forgets a node that serves the room no more.
func (r *Room) parted(node string) {
	delete(r.peers, node)
	r.mu.Lock()
	delete(r.serves, node)
	r.mu.Unlock()
}

// tell sends one message to one node. A failure unsyncs the peer: its next session
// starts with a snapshot.
func (r *Room) tell(p *peer, m *linkpb.RoomMessage) {
	m.RoomSid, m.Epoch = r.sid, r.epoch
	b, err := proto.Marshal(m)
	if err == nil {
		err = r.env.Send(p.node, Channel(r.name), b)
	}
	if err != nil {
		p.synced = false
		r.log.Debug("room facts not sent", "peer", p.node, "err", err)
	}
}

func (r *Room) tellAll(m func() *linkpb.RoomMessage) {
	for _, p := range r.peers {
		if p.synced {
			r.tell(p, m())
		}
	}
}

// greet starts (or restarts) the exchange with a node: here is what I say, tell me
// what you say. A greeting to a node that has not opened the room yet is lost; it will
// greet in turn.
func (r *Room) greet(p *peer) {
	r.inform(p)
	r.ask(p)
}

// inform sends a snapshot of what this node says; deltas follow from then on.
func (r *Room) inform(p *peer) {
	again := p.synced
	p.synced = true
	r.tell(p, &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Snapshot{Snapshot: r.ownFacts()}})
	if !again {
		r.anew(p)
	}
}

func (r *Room) ask(p *peer) {
	r.tell(p, &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Want{Want: &linkpb.SnapshotRequest{}}})
}

// ownFacts is everything this node says.
func (r *Room) ownFacts() *linkpb.Roster {
	out := &linkpb.Roster{Version: r.version}
	for _, p := range r.local {
		if p.arriving != nil {
			continue
		}
		if m, err := p.member().Encode(); err == nil {
			out.Members = append(out.Members, m)
		}
	}
	return out
}

// announce publishes a change of local participants: to the own roster, to the
// clients and to the peers, in one step.
func (r *Room) announce(changed []*Participant) {
	delta := new(linkpb.Roster)
	for _, p := range changed {
		if p.arriving != nil {
			r.arrive(p) // comes back here when it is time
			continue
		}
		p.version++
		p.info.Version = uint32(p.version)
		m, err := p.member().Encode()
		if err != nil {
			r.log.Error("participant facts", "identity", p.identity, "err", err)
			continue
		}
		delta.Members = append(delta.Members, m)
	}
	if len(delta.Members) > 0 {
		r.say(delta)
	}
}

// announceGone tells that a local participant left, and why.
func (r *Room) announceGone(p *Participant) {
	r.say(&linkpb.Roster{Gone: []string{p.identity}, GoneReasons: []int32{int32(p.info.DisconnectReason)}})
}

// say makes a delta of what this node says true, here and on the peers.
func (r *Room) say(delta *linkpb.Roster) {
	r.version++
	delta.Version = r.version
	changes, err := r.roster.Delta(r.env.Self(), delta)
	if err != nil {
		r.log.Error("own facts refused", "err", err)
		return
	}
	r.tellAll(func() *linkpb.RoomMessage {
		return &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Delta{Delta: delta}}
	})
	r.apply(changes)
}

// receive handles one message from a peer node.
func (r *Room) receive(node string, m *linkpb.RoomMessage) {
	if m.RoomSid != r.sid || m.Epoch != r.epoch {
		r.log.Warn("message for another instance of the room", "peer", node, "their_epoch", m.Epoch, "epoch", r.epoch)
		return
	}
	p := r.acquaint(node)
	if p == nil {
		return
	}
	switch b := m.Body.(type) {
	case *linkpb.RoomMessage_Snapshot:
		r.applyFacts(node, r.roster.Snapshot, b.Snapshot)
		if !p.synced {
			r.inform(p)
		}
	case *linkpb.RoomMessage_Delta:
		if !r.roster.Knows(node) {
			r.ask(p)
			return
		}
		r.applyFacts(node, r.roster.Delta, b.Delta)
	case *linkpb.RoomMessage_Digest:
		if !r.roster.Matches(node, b.Digest) {
			r.ask(p)
		}
	case *linkpb.RoomMessage_Want:
		// It may have just opened the room, and lost all it was sent before.
		p.synced = false
		r.inform(p)
	case *linkpb.RoomMessage_Parcel:
		r.took(p, b.Parcel)
	case *linkpb.RoomMessage_ParcelAck:
		r.acknowledged(p, b.ParcelAck)
	case *linkpb.RoomMessage_BlobRequest:
		r.blobAsked(p, b.BlobRequest)
	case *linkpb.RoomMessage_BlobAnswer:
		r.blobAnswered(b.BlobAnswer)
	case *linkpb.RoomMessage_DataDemand:
		r.dataDemanded(p, b.DataDemand)
	case *linkpb.RoomMessage_Forward:
		r.passOn(b.Forward, false)
	case *linkpb.RoomMessage_Levels:
		r.heard(node, b.Levels)
	case *linkpb.RoomMessage_Qualities:
		r.judged(node, b.Qualities)
	case *linkpb.RoomMessage_Order:
		r.obey(b.Order)
	case *linkpb.RoomMessage_Bye:
		r.parted(node)
		r.forget(node)
	}
}

func (r *Room) applyFacts(node string, reduce func(string, *linkpb.Roster) ([]roster.Change, error), facts *linkpb.Roster) {
	changes, err := reduce(node, facts)
	if err != nil {
		r.log.Warn("facts refused", "peer", node, "err", err)
		return
	}
	r.apply(changes)
	r.outrun(node)
}

// digests lets peers notice a lost delta.
func (r *Room) digests() {
	d := r.roster.Digest(r.env.Self())
	if d == nil {
		return
	}
	r.tellAll(func() *linkpb.RoomMessage {
		return &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Digest{Digest: d}}
	})
}
