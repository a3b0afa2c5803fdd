package room

import (
	"google.golang.org/protobuf/proto"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
	"maille/relay"
)

// obey follows an order of another node about a participant of ours, or one that may be.
func (r *Room) obey(o *linkpb.Order) {
	if o.Protocol != nil {
		r.switchProtocol(o.Identity, livekit.CandidateProtocol(*o.Protocol))
		return
	}
	p := r.local[o.Identity]
	if p == nil {
		return
	}
	switch {
	case o.Remove:
		r.env.Void(p.claims)
		r.remove(p, livekit.DisconnectReason_PARTICIPANT_REMOVED, livekit.LeaveRequest_DISCONNECT)
	case len(o.Mute) > 0:
		m := new(livekit.MuteTrackRequest)
		if proto.Unmarshal(o.Mute, m) == nil && r.mute(p, m.Sid, m.Muted) {
			if pub := p.published[relay.TrackID(m.Sid)]; pub != nil {
				pub.ordered = true
			}
			p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Mute{Mute: m}})
		}
	case len(o.Update) > 0:
		u := new(livekit.UpdateParticipantRequest)
		if proto.Unmarshal(o.Update, u) == nil {
			r.updateParticipant(p, u)
		}
	case len(o.Subscriptions) > 0:
		u := new(livekit.UpdateSubscriptionsRequest)
		if proto.Unmarshal(o.Subscriptions, u) == nil {
			p.choose(&livekit.UpdateSubscription{TrackSids: u.TrackSids, Subscribe: u.Subscribe, ParticipantTracks: u.ParticipantTracks})
			r.reconcile(p)
		}
	}
}

// Order has a participant's node do something about it, whichever node that is. It
// reports whether anyone of that identity is in the room.
func (r *Room) Order(o *linkpb.Order) (found bool) {
	_ = r.call(func() {
		m := r.roster.Get(o.Identity)
		if m == nil {
			return
		}
		if m.Node == r.env.Self() {
			r.obey(o)
			found = true
			return
		}
		if peer := r.peers[m.Node]; peer != nil {
			r.tell(peer, &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Order{Order: o}})
			found = true
		}
	})
	return found
}

// Expel ends a participant whose tokens were made void, on whatever node. It does not
// wait: a room that voids them itself is told so by its node while it does.
func (r *Room) Expel(identity string) {
	go r.post(func() { // ends with the room at the latest
		if p := r.local[identity]; p != nil && r.env.Voided(p.claims) {
			r.remove(p, livekit.DisconnectReason_PARTICIPANT_REMOVED, livekit.LeaveRequest_DISCONNECT)
		}
	})
}

// updateParticipant does what the server API asks of a participant (LiveKit
// UpdateParticipant): what is empty stays as it is.
func (r *Room) updateParticipant(p *Participant, u *livekit.UpdateParticipantRequest) {
	if !p.describe(u.Name, u.Metadata, u.Attributes) {
		r.log.Warn("participant update refused: too long", "identity", p.identity)
		return
	}
	if u.Permission != nil {
		r.setPermission(p, u.Permission)
	}
	r.announce([]*Participant{p})
	p.refreshToken()
}
