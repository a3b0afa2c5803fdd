package room

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// A participant may leave small things for others to fetch, such as the schemas of its
// data tracks. They stay on its node and go with it.
const (
	maxBlobs     = 64
	maxBlobKey   = 1 << 10
	maxBlob      = 32 << 10
	maxBlobBytes = 256 << 10 // of one participant, keys and contents
	// maxBlobAsks bounds what one participant waits for from other nodes at once.
	maxBlobAsks = 16
	// blobWithin is how long another node has to answer.
	blobWithin = 5 * time.Second
)

// blobs are what one participant left.
type blobs struct {
	contents map[string][]byte // by the key, encoded
	bytes    int
}

// put stores contents under a key; false when there is no room.
func (b *blobs) put(key string, contents []byte) bool {
	old, known := b.contents[key]
	size := b.bytes - len(old) + len(contents)
	if !known {
		size += len(key)
	}
	if len(key) > maxBlobKey || len(contents) > maxBlob || size > maxBlobBytes || !known && len(b.contents) >= maxBlobs {
		return false
	}
	if b.contents == nil {
		b.contents = make(map[string][]byte)
	}
	b.contents[key] = slices.Clone(contents)
	b.bytes = size
	return true
}

// blobAsk is a participant's request that another node is to answer.
type blobAsk struct {
	p   *Participant
	req *livekit.GetDataBlobRequest
	at  time.Time
}

func blobKey(k *livekit.DataBlobKey) (string, bool) {
	if k.GetKey() == nil {
		return "", false
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(k)
	return string(b), err == nil
}

func (p *Participant) blobRefused(id uint32, why livekit.RequestResponse_Reason, text string) {
	p.answer(&livekit.RequestResponse{RequestId: id, Reason: why, Message: text})
}

func (r *Room) storeBlob(p *Participant, req *livekit.StoreDataBlobRequest) {
	key, ok := blobKey(req.GetBlob().GetKey())
	switch {
	case !ok:
		p.blobRefused(req.RequestId, livekit.RequestResponse_INVALID_REQUEST, "a blob needs a key")
	case !p.canPublishData():
		p.blobRefused(req.RequestId, livekit.RequestResponse_NOT_ALLOWED, "the permission lacks canPublishData")
	case !p.blobs.put(key, req.Blob.Contents):
		p.blobRefused(req.RequestId, livekit.RequestResponse_LIMIT_EXCEEDED, "blobs are at most 32 kB, 64 and 256 kB together")
	default:
		p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_StoreDataBlobResponse{
			StoreDataBlobResponse: &livekit.StoreDataBlobResponse{RequestId: req.RequestId, Key: req.Blob.Key},
		}})
	}
}

// getBlob answers from here, or asks the node of the participant that left the blob.
func (r *Room) getBlob(p *Participant, req *livekit.GetDataBlobRequest) {
	key, ok := blobKey(req.GetKey())
	m := r.roster.Get(req.GetParticipantIdentity())
	switch {
	case !ok || len(key) > maxBlobKey:
		p.blobRefused(req.RequestId, livekit.RequestResponse_INVALID_REQUEST, "a blob has a key")
		return
	case m == nil || m.Hidden || !p.info.Permission.CanSubscribe:
		p.blobRefused(req.RequestId, livekit.RequestResponse_NOT_FOUND, "no such participant")
		return
	}
	if owner := r.local[m.Info.Identity]; owner != nil {
		contents, found := owner.blobs.contents[key]
		p.blobCame(req, contents, found)
		return
	}
	far := r.peers[m.Node]
	n := 0
	for _, a := range r.blobAsks {
		if a.p == p {
			n++
		}
	}
	if far == nil || n >= maxBlobAsks {
		p.blobRefused(req.RequestId, livekit.RequestResponse_LIMIT_EXCEEDED, "too many requests at once")
		return
	}
	if r.blobAsks == nil {
		r.blobAsks = make(map[uint64]blobAsk)
	}
	r.lastBlob++
	r.blobAsks[r.lastBlob] = blobAsk{p, req, r.env.Now()}
	r.mailTo(far, r.way(far), &linkpb.RoomMessage{Body: &linkpb.RoomMessage_BlobRequest{BlobRequest: &linkpb.BlobRequest{
		Id: r.lastBlob, Identity: m.Info.Identity, Key: []byte(key),
	}}})
}

func (p *Participant) blobCame(req *livekit.GetDataBlobRequest, contents []byte, found bool) {
	if !found {
		p.blobRefused(req.RequestId, livekit.RequestResponse_NOT_FOUND, "no such blob")
		return
	}
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_GetDataBlobResponse{
		GetDataBlobResponse: &livekit.GetDataBlobResponse{RequestId: req.RequestId, Blob: &livekit.DataBlob{Key: req.Key, Contents: contents}},
	}})
}

// blobAsked answers another node for a participant of this one.
func (r *Room) blobAsked(from *peer, q *linkpb.BlobRequest) {
	a := &linkpb.BlobAnswer{Id: q.Id}
	if owner := r.local[q.Identity]; owner != nil && !owner.hidden() {
		a.Contents, a.Found = owner.blobs.contents[string(q.Key)]
	}
	r.mailTo(from, r.way(from), &linkpb.RoomMessage{Body: &linkpb.RoomMessage_BlobAnswer{BlobAnswer: a}})
}

func (r *Room) blobAnswered(a *linkpb.BlobAnswer) {
	ask, ok := r.blobAsks[a.Id]
	if !ok {
		return
	}
	delete(r.blobAsks, a.Id)
	ask.p.blobCame(ask.req, a.Contents, a.Found)
}

// expireBlobs answers for nodes that did not.
func (r *Room) expireBlobs(now time.Time) {
	for id, a := range r.blobAsks {
		if now.Sub(a.at) > blobWithin {
			delete(r.blobAsks, id)
			a.p.blobCame(a.req, nil, false)
		}
	}
}
