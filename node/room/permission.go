package room

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"maille/node/guard"
	"maille/node/room/roster"
	"maille/proto/livekit"
	"maille/relay"
)

// mayPublish reports whether p's permission lets it publish a source; no list of
// sources means every one.
func mayPublish(p *livekit.ParticipantPermission, source livekit.TrackSource) bool {
	return p.CanPublish && (len(p.CanPublishSources) == 0 || slices.Contains(p.CanPublishSources, source))
}

// setPermission changes what a participant may do, while it is in the room. The caller
// announces it. Tracks that it may not publish any more end at once: the client, who
// is told, may be slow or unwilling.
func (r *Room) setPermission(p *Participant, now *livekit.ParticipantPermission) {
	p.info.Permission = proto.Clone(now).(*livekit.ParticipantPermission)
	p.claims.Video.SetPermission(now)
	for sid, pub := range p.published {
		if !mayPublish(now, pub.info.Source) {
			p.pub.Unpublish(sid)
			delete(p.published, sid)
			r.retract(pub)
			p.tellUnpublished(string(sid))
		}
	}
	for cid, pub := range p.pending {
		if !mayPublish(now, pub.info.Source) {
			p.pub.Unpublish(relay.TrackID(pub.info.Sid))
			delete(p.pending, cid)
			p.tellUnpublished(pub.info.Sid)
		}
	}
	if !now.CanPublishData {
		p.withdrawData()
	}
	r.reconcile(p)
}

func (p *Participant) tellUnpublished(sid string) {
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_TrackUnpublished{
		TrackUnpublished: &livekit.TrackUnpublishedResponse{TrackSid: sid},
	}})
}

// Bounds on a SubscriptionPermission, in entries and bytes: every node of the room
// receives it.
const (
	maxPermissions     = 1000
	maxPermissionBytes = 64 << 10
)

// permit notes who may subscribe to p's tracks; nil means everyone.
func (r *Room) permit(p *Participant, s *livekit.SubscriptionPermission) {
	n := len(s.GetTrackPermissions())
	for _, t := range s.GetTrackPermissions() {
		n += len(t.GetTrackSids())
	}
	if n > maxPermissions || proto.Size(s) > maxPermissionBytes {
		r.env.Refuse(guard.Name)
		r.log.Debug("subscription permission refused: too long", "identity", p.identity, "entries", n)
		return
	}
	p.permission = s
	r.restrict(p)
	r.changed(p)
}

// restrict brings what links may carry of p's tracks in line with its permission, at
// once: a far node learns of the change later than this one acts on it.
func (r *Room) restrict(p *Participant) {
	m := p.member()
	r.mu.Lock()
	for _, pub := range p.published {
		for _, id := range pub.ids() {
			if o, ok := r.origins[id]; ok {
				o.restricted = m.Restricted()
				r.origins[id] = o
			}
		}
	}
	r.mu.Unlock()
	if !m.Restricted() {
		return
	}
	for sid, pub := range p.published {
		for node := range r.peers {
			if r.entitled(node, m, string(sid)) {
				continue
			}
			for _, id := range pub.ids() {
				r.env.Revoke(node, id)
			}
		}
	}
}

// entitled reports whether a node may have a track: someone is permitted to it there,
// or behind it. A node stands before those of its region, as their gateway, and before
// those that no link reaches from here, on the way around a cut.
func (r *Room) entitled(node string, m *roster.Member, sid string) bool {
	if !m.Restricted() {
		return true
	}
	region := r.env.RegionOf(node)
	return slices.ContainsFunc(r.roster.Members(), func(viewer *roster.Member) bool {
		behind := viewer.Node == node || r.env.RegionOf(viewer.Node) == region ||
			viewer.Node != r.env.Self() && !r.env.Linked(viewer.Node)
		return behind && viewer.Info.GetPermission().GetCanSubscribe() && m.Permits(viewer.Info, sid)
	})
}

// tellAllowed tells a subscriber when a track that it wants is denied it, and when it
// is allowed again.
func (p *Participant) tellAllowed(m *roster.Member, sid string, allowed bool) {
	if p.denied[sid] == !allowed {
		return
	}
	p.denied[sid] = !allowed
	p.writeAllowed(m, sid, allowed)
}

func (p *Participant) writeAllowed(m *roster.Member, sid string, allowed bool) {
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_SubscriptionPermissionUpdate{
		SubscriptionPermissionUpdate: &livekit.SubscriptionPermissionUpdate{
			ParticipantSid: m.Info.Sid, TrackSid: sid, Allowed: allowed,
		},
	}})
}
