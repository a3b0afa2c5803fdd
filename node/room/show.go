package room

import (
	"fmt"
	"slices"
	"strings"

	"maille/node/room/roster"
	adminpb "maille/proto/admin"
	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
	"maille/relay"
	"maille/relay/audio"
	"maille/relay/track"
)

// Show describes the room as this node holds it, for operators.
func (r *Room) Show() *adminpb.NodeRoom {
	out := &adminpb.NodeRoom{Node: r.env.Self(), Region: r.env.Region()}
	const bits = 8
	_ = r.call(func() {
		watchers := make(map[relay.TrackID]uint32)
		for _, p := range r.local {
			path := p.sub.Bandwidth()
			out.Participants = append(out.Participants, &adminpb.ParticipantStatus{
				EstimateBps: path.Estimate * bits, Short: path.Short,
				Identity: p.identity, Sid: p.info.Sid, Name: p.info.Name, State: strings.ToLower(p.info.State.String()),
				Published: uint32(len(p.published)), Subscribed: uint32(len(p.subs)),
			})
			for sid := range p.subs {
				watchers[sid]++
			}
		}
		for _, m := range r.roster.Members() {
			for _, info := range m.Info.Tracks {
				if t := r.showTrack(m, info); t != nil {
					t.Subscribers = watchers[relay.TrackID(info.Sid)]
					out.Tracks = append(out.Tracks, t)
				}
			}
		}
	})
	slices.SortFunc(out.Participants, func(a, b *adminpb.ParticipantStatus) int { return strings.Compare(a.Identity, b.Identity) })
	return out
}

// Heard is how many voices a room's settings let be heard at once, 0 for all.
func Heard(s *meshpb.RoomSettings) int { return loudest(s) }

// showTrack describes a track that this node holds; nil for one it does not receive.
func (r *Room) showTrack(m *roster.Member, info *livekit.TrackInfo) *adminpb.TrackStatus {
	sid := relay.TrackID(info.Sid)
	out := &adminpb.TrackStatus{
		Sid: info.Sid, Identity: m.Info.Identity, Kind: strings.ToLower(info.Type.String()),
		Source: strings.ToLower(info.Source.String()), Mime: info.MimeType, Origin: m.Node,
	}
	var t *track.Track
	if m.Node == r.env.Self() {
		t = r.Origin(sid)
	} else if rel := r.relayed[sid]; rel != nil {
		t, out.Upstream = rel.track, rel.via
	}
	if t == nil {
		return nil
	}
	s := t.Stats()
	out.Demand, out.Drops = Layers(t.Kind(), t.Demand()), s.Drops
	for i, e := range s.Encodings {
		if e.Packets == 0 {
			continue
		}
		out.Layers = append(out.Layers, &adminpb.LayerStatus{
			Spatial: uint32(i), Packets: e.Packets, Bytes: e.Bytes, Lost: e.Lost, Keyframes: e.Keyframes,
		})
	}
	return out
}

// Layers writes a layer set for people. Of video "0,1" is all of layers 0 and 1, "2t1"
// layer 2 up to temporal layer 1; of audio "loud" is what is among the loudest of the
// room, "all" the rest too. "none" is nothing of either.
func Layers(kind relay.Kind, set relay.LayerSet) string {
	if kind == relay.Audio && set != relay.NoLayers {
		if set.Has(0, audio.Silent) {
			return "all"
		}
		return "loud"
	}
	var out []string
	for s := range uint8(relay.MaxSpatial) {
		top := -1
		for t := range uint8(relay.MaxTemporal) {
			if set.Has(s, t) {
				top = int(t)
			}
		}
		switch {
		case top == relay.MaxTemporal-1:
			out = append(out, fmt.Sprint(s))
		case top >= 0:
			out = append(out, fmt.Sprintf("%dt%d", s, top))
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ",")
}

// People counts everyone in the meeting that clients can see, on any node.
func (r *Room) People() (n int) {
	_ = r.call(func() { n = int(r.info().NumParticipants) })
	return n
}
