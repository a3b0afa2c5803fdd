package room

import (
	"maps"
	"time"

	"maille/proto/livekit"
)

// missingAfter is how long a track that someone asked for may be unknown: the news of
// it may still be on its way from its node.
const missingAfter = 5 * time.Second

// maxMissing bounds the tracks of one client that are looked out for.
const maxMissing = 100

// publishedSids is every track of the room.
func (r *Room) publishedSids() map[string]bool {
	out := make(map[string]bool)
	for _, m := range r.roster.Members() {
		for _, t := range m.Info.Tracks {
			out[t.Sid] = true
		}
	}
	return out
}

// tellMissing tells clients of tracks they asked for that nobody publishes.
func (r *Room) tellMissing() {
	now, known := r.env.Now(), r.publishedSids()
	for _, p := range r.local {
		maps.DeleteFunc(p.denied, func(sid string, _ bool) bool { return !known[sid] })
		for sid, asked := range p.missing {
			if !known[sid] && now.Sub(asked) < missingAfter {
				continue
			}
			delete(p.missing, sid)
			if !known[sid] {
				p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_SubscriptionResponse{
					SubscriptionResponse: &livekit.SubscriptionResponse{TrackSid: sid, Err: livekit.SubscriptionError_SE_TRACK_NOTFOUND},
				}})
			}
		}
	}
}
