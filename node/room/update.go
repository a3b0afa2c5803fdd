package room

import (
	"maps"

	"maille/node/guard"
	"maille/node/room/roster"
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
func (r *Room) apply(changes []roster.Change) {
	if len(changes) == 0 {
		return
	}
	for _, c := range changes {
		r.settle(c)
	}
	r.spread(changes)
	for _, p := range r.local {
		r.reconcile(p)
	}
	r.watchAllData()
	r.sweep()
	r.recordingChanged()
}

// settle handles one identity that moved: the earlier join ends, the session that goes
// on elsewhere is let go.
func (r *Room) settle(c roster.Change) {
	if c.New == nil || c.New.Node == r.env.Self() {
		return
	}
	p := r.local[c.New.Info.Identity]
	switch {
	case p == nil, c.New.LosesTo(p.member()): // the node it comes from still speaks for it
	case c.New.Info.Sid == p.info.Sid:
		r.release(p)
	default:
		r.remove(p, livekit.DisconnectReason_DUPLICATE_IDENTITY, livekit.LeaveRequest_DISCONNECT)
	}
}

// sweep closes relayed tracks that no other node publishes any more.
func (r *Room) sweep() {
	live := make(map[relay.TrackID]string)
	for _, m := range r.roster.Members() {
		for sid := range m.Tracks {
			live[relay.TrackID(sid)] = m.Node
		}
	}
	for sid, rel := range r.relayed {
		switch origin := live[sid]; origin {
		case rel.origin:
		case "", r.env.Self():
			delete(r.relayed, sid)
			rel.close()
		default:
			// Its publisher moved: the same track goes on from there.
			rel.origin = origin
			r.steer(rel)
			r.revoke(rel) // also where it is taken from as before
			rel.letGo()   // it counts anew there
		}
	}
}

// updateMetadata handles a client's own name, metadata and attributes.
func (r *Room) updateMetadata(p *Participant, u *livekit.UpdateParticipantMetadata) {
	answer := func(why livekit.RequestResponse_Reason, text string) {
		p.answer(&livekit.RequestResponse{
			RequestId: u.RequestId, Reason: why, Message: text,
			Request: &livekit.RequestResponse_UpdateMetadata{UpdateMetadata: u},
		})
	}
	if !p.info.Permission.CanUpdateMetadata {
		answer(livekit.RequestResponse_NOT_ALLOWED, "the token does not grant canUpdateOwnMetadata")
		return
	}
	if !p.describe(u.Name, u.Metadata, u.Attributes) {
		r.env.Refuse(guard.Name)
		answer(livekit.RequestResponse_LIMIT_EXCEEDED, "name, metadata or attributes are too long")
		return
	}
	r.changed(p)
	answer(livekit.RequestResponse_OK, "")
	p.refreshToken()
}

// describe changes what the participant says of itself: name and metadata unless
// empty, attributes one by one, "" deletes one. It changes nothing and reports false
// when the result would be too long.
func (p *Participant) describe(name, metadata string, changes map[string]string) bool {
	attributes := maps.Clone(p.info.Attributes)
	for k, v := range changes {
		if v == "" {
			delete(attributes, k)
			continue
		}
		attributes[k] = v
	}
	attributes[nodeAttribute] = p.room.env.Self()
	size := 0
	for k, v := range attributes {
		size += len(k) + len(v)
	}
	if len(metadata) > maxMetadata || len(name) > maxName || size > maxAttributes {
		return false
	}
	p.info.Attributes = attributes
	if metadata != "" {
		p.info.Metadata = metadata
	}
	if name != "" {
		p.info.Name = name
	}
	return true
}
