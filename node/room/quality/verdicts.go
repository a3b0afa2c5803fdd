package quality

import (
	"maps"
	"slices"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// Verdicts is what each node said of its own, and what clients were told.
type Verdicts struct {
	nodes map[string]*linkpb.Qualities
	told  map[string]livekit.ConnectionQuality // by participant sid
}

// NewVerdicts returns those of a room in which nothing was said yet.
func NewVerdicts() *Verdicts {
	return &Verdicts{nodes: make(map[string]*linkpb.Qualities), told: make(map[string]livekit.ConnectionQuality)}
}

// Forget drops what a node said.
func (q *Verdicts) Forget(node string) { delete(q.nodes, node) }

// Said replaces what a node said and returns all that counts now, and what of it is new.
func (q *Verdicts) Said(node string, s *linkpb.Qualities) (all, fresh []*livekit.ConnectionQualityInfo) {
	q.nodes[node] = s
	told := make(map[string]livekit.ConnectionQuality)
	for _, name := range slices.Sorted(maps.Keys(q.nodes)) {
		for _, v := range q.nodes[name].Qualities {
			info := &livekit.ConnectionQualityInfo{
				ParticipantSid: v.ParticipantSid, Quality: livekit.ConnectionQuality(v.Quality), Score: v.Score,
			}
			all = append(all, info)
			if old, known := q.told[info.ParticipantSid]; !known || old != info.Quality {
				fresh = append(fresh, info)
			}
			told[info.ParticipantSid] = info.Quality
		}
	}
	q.told = told
	return all, fresh
}
