package roster

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// Member is one participant as its own node describes it.
type Member struct {
	Node     string
	Info     *livekit.ParticipantInfo
	Version  uint64
	JoinedNS int64
	Hidden   bool
	Tracks   map[string]*linkpb.TrackFacts // by track sid
	// Permission says who may subscribe; nil = everyone.
	Permission *livekit.SubscriptionPermission
}

// Restricted reports whether not everyone may subscribe to m's tracks.
func (m *Member) Restricted() bool { return m.Permission != nil && !m.Permission.AllParticipants }

// Permits applies m's permission to a viewer of one of its tracks, by the tracks' sid
// (LiveKit's SubscriptionPermission).
func (m *Member) Permits(viewer *livekit.ParticipantInfo, sid string) bool {
	if m.Permission == nil || m.Permission.AllParticipants {
		return true
	}
	for _, t := range m.Permission.TrackPermissions {
		if t.ParticipantIdentity != viewer.Identity && (t.ParticipantIdentity != "" || t.ParticipantSid != viewer.Sid) {
			continue
		}
		if t.AllTracks || slices.Contains(t.TrackSids, sid) {
			return true
		}
	}
	return false
}

// LosesTo reports whether m's claim to its identity loses to o's: the later join
// wins, ties by node name, the same answer on every node.
func (m *Member) LosesTo(o *Member) bool {
	if m.JoinedNS != o.JoinedNS {
		return m.JoinedNS < o.JoinedNS
	}
	return m.Node < o.Node
}

func decode(node string, m *linkpb.Member) (*Member, error) {
	info := new(livekit.ParticipantInfo)
	if err := proto.Unmarshal(m.Info, info); err != nil {
		return nil, fmt.Errorf("roster: member from %s: %w", node, err)
	}
	if info.Identity == "" || info.Sid == "" {
		return nil, fmt.Errorf("roster: member without identity or sid from %s", node)
	}
	out := &Member{
		Node: node, Info: info, Version: m.Version, JoinedNS: m.JoinedNs, Hidden: m.Hidden,
		Tracks: make(map[string]*linkpb.TrackFacts, len(m.Tracks)),
	}
	for _, t := range m.Tracks {
		out.Tracks[t.Sid] = t
	}
	if len(m.Permission) > 0 {
		out.Permission = new(livekit.SubscriptionPermission)
		if err := proto.Unmarshal(m.Permission, out.Permission); err != nil {
			return nil, fmt.Errorf("roster: permission from %s: %w", node, err)
		}
	}
	return out, nil
}

// Encode returns the member as its node tells the others.
func (m *Member) Encode() (*linkpb.Member, error) {
	info, err := proto.Marshal(m.Info)
	if err != nil {
		return nil, err
	}
	out := &linkpb.Member{Info: info, Version: m.Version, JoinedNs: m.JoinedNS, Hidden: m.Hidden}
	for _, sid := range slices.Sorted(maps.Keys(m.Tracks)) {
		out.Tracks = append(out.Tracks, m.Tracks[sid])
	}
	if m.Permission != nil {
		s := m.Permission
		if proto.Size(s) == 0 { // for nobody; no bytes would be for everyone
			s = &livekit.SubscriptionPermission{TrackPermissions: []*livekit.TrackPermission{{}}}
		}
		if out.Permission, err = proto.Marshal(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}
