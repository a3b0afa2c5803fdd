package room

import (
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"maille/node/guard"
	"maille/node/room/datatrack"
	"maille/node/rtc"
	"maille/proto/livekit"
)

// DataTrackPrefix begins the sid of a data track.
const DataTrackPrefix = "DTR_"

const (
	// maxDataTracks bounds what one participant publishes: every client hears of each.
	maxDataTracks = 32
	// maxDataTrackInfo in bytes is what a data track may say of itself.
	maxDataTrackInfo = 1024
)

// publishDataTrack handles a client's wish to publish a data track under a handle of
// its choice, which its packets carry.
func (r *Room) publishDataTrack(p *Participant, req *livekit.PublishDataTrackRequest) {
	if why, text := p.mayPublishDataTrack(req); why != livekit.RequestResponse_OK {
		p.answer(&livekit.RequestResponse{
			Reason: why, Message: text, Request: &livekit.RequestResponse_PublishDataTrack{PublishDataTrack: req},
		})
		return
	}
	info := &livekit.DataTrackInfo{
		PubHandle: req.PubHandle, Sid: NewSid(DataTrackPrefix), Name: req.Name, Encryption: req.Encryption,
		FrameEncoding: req.FrameEncoding, Schema: req.Schema,
	}
	r.addDataTrack(p, info)
	r.changed(p)
}

func (p *Participant) mayPublishDataTrack(req *livekit.PublishDataTrackRequest) (livekit.RequestResponse_Reason, string) {
	switch {
	case !p.canPublishData():
		return livekit.RequestResponse_NOT_ALLOWED, "the permission lacks canPublishData"
	case req.PubHandle == 0 || req.PubHandle > math.MaxUint16:
		return livekit.RequestResponse_INVALID_HANDLE, "a handle is from 1 to 65535"
	case req.Name == "" || len(req.Name) > maxTrackName:
		return livekit.RequestResponse_INVALID_NAME, "a data track needs a name of at most 256 bytes"
	case proto.Size(req) > maxDataTrackInfo:
		return livekit.RequestResponse_INVALID_REQUEST, "encoding and schema are too long"
	case p.dataPubs[uint16(req.PubHandle)] != nil:
		return livekit.RequestResponse_DUPLICATE_HANDLE, "the handle is in use"
	case len(p.dataPubs) >= maxDataTracks:
		return livekit.RequestResponse_LIMIT_EXCEEDED, "too many data tracks"
	}
	for _, t := range p.dataPubs {
		if t.info.Name == req.Name {
			return livekit.RequestResponse_DUPLICATE_NAME, "the name is in use"
		}
	}
	return livekit.RequestResponse_OK, ""
}

// addDataTrack makes a data track one of p's; the caller announces it.
func (r *Room) addDataTrack(p *Participant, info *livekit.DataTrackInfo) {
	if p.dataPubs == nil {
		p.dataPubs = make(map[uint16]*dataTrack)
	}
	p.dataPubs[uint16(info.PubHandle)] = newDataTrack(r, info)
	p.exposeDataTracks()
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_PublishDataTrackResponse{
		PublishDataTrackResponse: &livekit.PublishDataTrackResponse{Info: info},
	}})
}

func (r *Room) unpublishDataTrack(p *Participant, req *livekit.UnpublishDataTrackRequest) {
	t := p.dataPubs[uint16(min(req.PubHandle, math.MaxUint16))]
	if t == nil {
		p.answer(&livekit.RequestResponse{
			Reason: livekit.RequestResponse_NOT_FOUND, Message: "no data track of that handle",
			Request: &livekit.RequestResponse_UnpublishDataTrack{UnpublishDataTrack: req},
		})
		return
	}
	p.removeDataTrack(t)
	r.changed(p)
}

func (p *Participant) removeDataTrack(t *dataTrack) {
	delete(p.dataPubs, uint16(t.info.PubHandle))
	t.out.Store(nil)
	p.exposeDataTracks()
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_UnpublishDataTrackResponse{
		UnpublishDataTrackResponse: &livekit.UnpublishDataTrackResponse{Info: t.info},
	}})
}

// withdrawData ends p's data tracks; the caller announces it.
func (p *Participant) withdrawData() {
	for _, t := range p.dataPubs {
		p.removeDataTrack(t)
	}
}

// republish takes the data tracks that a client says it publishes, after a resume. Those
// the room knows as its own keep their sids.
func (p *Participant) republish(list []*livekit.PublishDataTrackResponse) {
	changed := false
	known := make(map[string]uint32)
	if m := p.room.roster.Get(p.identity); m != nil && m.Info.Sid == p.info.Sid {
		for _, t := range m.Info.DataTracks {
			known[t.Sid] = t.PubHandle
		}
	}
	for _, l := range list {
		info := l.GetInfo()
		req := &livekit.PublishDataTrackRequest{
			PubHandle: info.GetPubHandle(), Name: info.GetName(), Encryption: info.GetEncryption(),
			FrameEncoding: info.GetFrameEncoding(), Schema: info.GetSchema(),
		}
		if why, _ := p.mayPublishDataTrack(req); why != livekit.RequestResponse_OK {
			continue
		}
		own := proto.Clone(info).(*livekit.DataTrackInfo)
		if known[own.Sid] != own.PubHandle {
			own.Sid = NewSid(DataTrackPrefix)
		}
		p.room.addDataTrack(p, own)
		changed = true
	}
	if changed {
		p.room.changed(p)
	}
}

// dataTrackInfos lists p's data tracks as others see them.
func (p *Participant) dataTrackInfos() []*livekit.DataTrackInfo {
	var out []*livekit.DataTrackInfo
	for _, handle := range slices.Sorted(maps.Keys(p.dataPubs)) {
		out = append(out, p.dataPubs[handle].info)
	}
	return out
}

// exposeDataTracks lets the goroutine that reads p's packets find their tracks.
func (p *Participant) exposeDataTracks() {
	now := maps.Clone(p.dataPubs)
	p.dataTracks.Store(&now)
}

// trackData takes a packet of one of p's data tracks, on its channel's goroutine. It
// may write to b.
func (p *Participant) trackData(b []byte) {
	h, ok := datatrack.ReadHead(b)
	tracks := p.dataTracks.Load()
	if !ok || tracks == nil || (*tracks)[h.Handle] == nil {
		p.room.env.Refuse(guard.Data)
		return
	}
	p.charge(rtc.DataTrack, (*tracks)[h.Handle].push(h, b), len(b))
}

func isDataTrack(sid string) bool { return strings.HasPrefix(sid, DataTrackPrefix) }
