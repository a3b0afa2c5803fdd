package room

import (
	"google.golang.org/protobuf/proto"

	"maille/proto/livekit"
)

// maxQueued bounds the requests that wait for one cid to be free again (LiveKit's own
// limit).
const maxQueued = 3

// queue keeps an AddTrackRequest whose cid names a track that is still published: the
// client took it back and offers it anew, and the offer that ends the old one has not
// come yet. It reports whether it answered the request.
func (r *Room) queue(p *Participant, req *livekit.AddTrackRequest) bool {
	if !p.publishesCid(req.Cid) {
		return false
	}
	why, text := livekit.RequestResponse_QUEUED, "the track before it has not ended"
	total := len(p.pending)
	for _, list := range p.queued {
		total += len(list)
	}
	if len(p.queued[req.Cid]) >= maxQueued || total >= maxPending {
		why, text = livekit.RequestResponse_LIMIT_EXCEEDED, "too many tracks of that cid"
	} else {
		p.queued[req.Cid] = append(p.queued[req.Cid], proto.Clone(req).(*livekit.AddTrackRequest))
	}
	p.answer(&livekit.RequestResponse{
		Reason: why, Message: text, Request: &livekit.RequestResponse_AddTrack{AddTrack: req},
	})
	return true
}

func (p *Participant) publishesCid(cid string) bool {
	for _, pub := range p.published {
		if pub.cid == cid {
			return true
		}
	}
	return false
}

// unqueue lets the next request for a cid have its turn.
func (r *Room) unqueue(p *Participant, cid string) {
	list := p.queued[cid]
	if p.gone || len(list) == 0 || p.publishesCid(cid) {
		return
	}
	if p.queued[cid] = list[1:]; len(list) == 1 {
		delete(p.queued, cid)
	}
	r.addTrack(p, list[0])
}
