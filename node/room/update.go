package room

import (
	"maps"

	"google.golang.org/protobuf/proto"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
	"maille/relay"
)

// Bounds on what a participant may say about itself: every other client receives it.
const (
	maxMetadata   = 64 << 10
	maxAttributes = 64 << 10
	maxName       = 256
)

// maxUpdateBytes splits participant updates, as LiveKit does, so that one message
// never blocks a slow client's socket for long.
const maxUpdateBytes = 128 << 10

// apply makes changed members true here: clients hear of them, subscriptions follow,
// and a participant whose identity joined elsewhere later is let go.
func (r *Room) apply(changes []Change) {
	if len(changes) == 0 {
		return
	}
	var infos []*livekit.ParticipantInfo
	hidden := make(map[string]bool)
	for _, c := range changes {
		switch {
		case c.New == nil:
			info := proto.Clone(c.Old.Info).(*livekit.ParticipantInfo)
			info.State, info.Tracks = livekit.ParticipantInfo_DISCONNECTED, nil
			info.Version++
			infos = append(infos, info)
			hidden[info.Identity] = c.Old.Hidden
		default:
			infos = append(infos, c.New.Info)
			hidden[c.New.Info.Identity] = c.New.Hidden
		}
		r.settle(c)
	}
	for _, p := range r.local {
		p.update(infos, hidden)
		r.reconcile(p)
	}
	r.sweep()
}

// settle handles one identity that moved: the earlier join ends.
func (r *Room) settle(c Change) {
	if c.New == nil || c.New.Node == r.env.Self() {
		return
	}
	if p := r.local[c.New.Info.Identity]; p != nil {
		r.remove(p, livekit.DisconnectReason_DUPLICATE_IDENTITY, livekit.LeaveRequest_DISCONNECT)
	}
}

// sweep closes relayed tracks that nobody publishes any more.
func (r *Room) sweep() {
	live := make(map[relay.TrackID]string)
	for _, m := range r.roster.Members() {
		for sid := range m.Tracks {
			live[relay.TrackID(sid)] = m.Node
		}
	}
	for sid, rel := range r.relayed {
		if live[sid] != rel.origin {
			delete(r.relayed, sid)
			rel.close()
		}
	}
}

// update sends participant infos to a client: all that it may see.
func (p *Participant) update(infos []*livekit.ParticipantInfo, hidden map[string]bool) {
	var batch []*livekit.ParticipantInfo
	size := 0
	flush := func() {
		if len(batch) > 0 {
			p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Update{Update: &livekit.ParticipantUpdate{Participants: batch}}})
			batch, size = nil, 0
		}
	}
	for _, info := range infos {
		if hidden[info.Identity] && info.Identity != p.identity {
			continue
		}
		n := proto.Size(info)
		if size+n > maxUpdateBytes {
			flush()
		}
		batch, size = append(batch, info), size+n
	}
	flush()
}

// updateMetadata handles a client's own name, metadata and attributes.
func (r *Room) updateMetadata(p *Participant, u *livekit.UpdateParticipantMetadata) {
	answer := func(why livekit.RequestResponse_Reason, text string) {
		p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_RequestResponse{RequestResponse: &livekit.RequestResponse{
			RequestId: u.RequestId, Reason: why, Message: text,
			Request: &livekit.RequestResponse_UpdateMetadata{UpdateMetadata: u},
		}}})
	}
	if !p.info.Permission.CanUpdateMetadata {
		answer(livekit.RequestResponse_NOT_ALLOWED, "the token does not grant canUpdateOwnMetadata")
		return
	}
	attributes := maps.Clone(p.info.Attributes)
	size := 0
	for k, v := range u.Attributes {
		if v == "" {
			delete(attributes, k)
			continue
		}
		attributes[k] = v
	}
	attributes[nodeAttribute] = r.env.Self()
	for k, v := range attributes {
		size += len(k) + len(v)
	}
	if len(u.Metadata) > maxMetadata || len(u.Name) > maxName || size > maxAttributes {
		answer(livekit.RequestResponse_LIMIT_EXCEEDED, "name, metadata or attributes are too long")
		return
	}
	p.info.Attributes = attributes
	if u.Metadata != "" {
		p.info.Metadata = u.Metadata
	}
	if u.Name != "" {
		p.info.Name = u.Name
	}
	r.announce([]*Participant{p})
	answer(livekit.RequestResponse_OK, "")
	p.refreshToken()
}

// obey follows an order of another node about a participant of ours.
func (r *Room) obey(o *linkpb.Order) {
	p := r.local[o.Identity]
	if p == nil {
		return
	}
	switch {
	case o.Remove:
		r.remove(p, livekit.DisconnectReason_PARTICIPANT_REMOVED, livekit.LeaveRequest_DISCONNECT)
	case len(o.Mute) > 0:
		m := new(livekit.MuteTrackRequest)
		if proto.Unmarshal(o.Mute, m) == nil {
			r.mute(p, m.Sid, m.Muted)
			p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Mute{Mute: m}})
		}
	}
}
