package speakers

import (
	"cmp"
	"maps"
	"slices"
	"time"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// Union is who speaks in a room, as its nodes say.
type Union struct {
	stale time.Duration
	nodes map[string]spoken
	said  map[string]*livekit.SpeakerInfo // last told to clients
}

// spoken is what one node said.
type spoken struct {
	levels map[string]*livekit.SpeakerInfo // by participant sid
	at     time.Time
}

// NewUnion returns one in which nobody speaks. What a node said counts no more when it is
// stale.
func NewUnion(stale time.Duration) *Union {
	return &Union{stale: stale, nodes: make(map[string]spoken), said: make(map[string]*livekit.SpeakerInfo)}
}

// Heard replaces what a node said.
func (s *Union) Heard(node string, l *linkpb.Levels, at time.Time) {
	now := make(map[string]*livekit.SpeakerInfo, len(l.Levels))
	for _, v := range l.Levels {
		if v.Active {
			now[v.ParticipantSid] = &livekit.SpeakerInfo{Sid: v.ParticipantSid, Level: v.Level, Active: true}
		}
	}
	s.nodes[node] = spoken{levels: now, at: at}
}

// Forget drops what a node said.
func (s *Union) Forget(node string) { delete(s.nodes, node) }

// Changes returns the delta since the last call, loudest first; a participant that
// stopped is listed once with level 0.
func (s *Union) Changes(at time.Time) []*livekit.SpeakerInfo {
	now := make(map[string]*livekit.SpeakerInfo)
	for _, said := range s.nodes {
		if at.Sub(said.at) < s.stale {
			maps.Copy(now, said.levels)
		}
	}
	var out []*livekit.SpeakerInfo
	for sid, info := range now {
		if old := s.said[sid]; old == nil || old.Level != info.Level {
			out = append(out, info)
		}
	}
	for sid := range s.said {
		if now[sid] == nil {
			out = append(out, &livekit.SpeakerInfo{Sid: sid})
		}
	}
	s.said = now
	slices.SortFunc(out, Louder)
	return out
}

// Louder orders speakers, the loudest first, and of equal loudness by sid: the order is
// the same on every node.
func Louder(a, b *livekit.SpeakerInfo) int {
	return cmp.Or(cmp.Compare(b.Level, a.Level), cmp.Compare(a.Sid, b.Sid))
}

// Said is who speaks, by participant sid, as last told to clients; it is not to be changed.
func (s *Union) Said() map[string]*livekit.SpeakerInfo { return s.said }
