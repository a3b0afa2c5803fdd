package room

import (
	"strings"

	"maille/node/room/trackinfo"
	"maille/node/rtc"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/track"
)

// A publication has one relay track for each of its codecs. The first has the track's sid
// for a name; those of further codecs (a backup codec) are named by sid and codec. They
// are there from the start, on the publisher's node and for every node to ask for, but
// the publisher is told to send them only while someone wants them: the demand that
// climbs the links is all that a subscriber's node needs to say.

// further is a codec of a publication besides its first.
type further struct {
	info  *livekit.SimulcastCodecInfo
	track *track.Track // closed with the publication
	into  *rtc.Further
	want  relay.LayerSet
}

// codecID names the relay track of a further codec.
func codecID(sid, mime string) relay.TrackID {
	return relay.TrackID(sid + ":" + trackinfo.Short(mime))
}

// sidOf is the sid of the publication that a relay track belongs to.
func sidOf(id relay.TrackID) string {
	sid, _, _ := strings.Cut(string(id), ":")
	return sid
}

// further prepares the further codecs that a publication lists, all but those that are
// no other than what is sent already.
func (r *Room) prepare(p *Participant, pub *publication) {
	kept := pub.info.Codecs[:1]
	for _, info := range pub.info.Codecs[1:] {
		if pub.info.Type == livekit.TrackType_VIDEO && !strings.EqualFold(info.MimeType, pub.mime) {
			kept = append(kept, info)
			r.addFurther(p, pub, info)
		}
	}
	pub.info.Codecs = kept
}

func (r *Room) addFurther(p *Participant, pub *publication, info *livekit.SimulcastCodecInfo) *further {
	f := &further{info: info, track: track.New(codecID(pub.info.Sid, info.MimeType), relay.Video, info.MimeType)}
	f.into = p.pub.Further(relay.TrackID(pub.info.Sid), f.track)
	f.track.Mute(pub.info.Muted)
	pub.further = append(pub.further, f)
	r.mu.Lock()
	r.origins[f.track.ID()] = origin{f.track, p.member().Restricted()}
	r.mu.Unlock()
	return f
}

// ids names the relay tracks of a publication.
func (pub *publication) ids() []relay.TrackID {
	out := []relay.TrackID{relay.TrackID(pub.info.Sid)}
	for _, f := range pub.further {
		out = append(out, f.track.ID())
	}
	return out
}

func (pub *publication) furtherOf(id relay.TrackID) *further {
	for _, f := range pub.further {
		if f.track.ID() == id {
			return f
		}
	}
	return nil
}

// addCodec handles an AddTrackRequest that names a track: one more codec of it follows.
func (r *Room) addCodec(p *Participant, req *livekit.AddTrackRequest) (why livekit.RequestResponse_Reason, text string) {
	pub := p.published[relay.TrackID(req.Sid)]
	if pub == nil || pub.info.Type != req.Type {
		return livekit.RequestResponse_NOT_FOUND, "no such track to add a codec to"
	}
	if req.Type != livekit.TrackType_VIDEO || len(req.SimulcastCodecs) == 0 {
		return livekit.RequestResponse_INVALID_REQUEST, "a further codec of a video track needs its name"
	}
	asked := req.SimulcastCodecs[0]
	mime := trackinfo.Enabled(publishable(p.join.Client), req.Type, asked.Codec)
	if strings.EqualFold(mime, pub.mime) {
		return livekit.RequestResponse_INVALID_REQUEST, "the track has that codec"
	}
	f := pub.furtherOf(codecID(req.Sid, mime))
	if f == nil {
		if len(pub.info.Codecs) >= trackinfo.MaxCodecs {
			return livekit.RequestResponse_LIMIT_EXCEEDED, "too many codecs"
		}
		info := &livekit.SimulcastCodecInfo{MimeType: mime, VideoLayerMode: trackinfo.LayerMode(mime)}
		pub.info.Codecs = append(pub.info.Codecs, info)
		f = r.addFurther(p, pub, info)
	}
	if f.info.Cid != req.Cid {
		if err := p.pub.Expect(rtc.Expect{
			Sid: relay.TrackID(req.Sid), Cid: req.Cid, Kind: relay.Video, Mime: mime, Into: f.into,
		}); err != nil {
			return livekit.RequestResponse_LIMIT_EXCEEDED, err.Error()
		}
		f.info.Cid, f.info.Layers = req.Cid, trackinfo.SortedLayers(req.Type, req.Layers)
		if len(asked.Layers) > 0 {
			f.info.Layers = trackinfo.SortedLayers(req.Type, asked.Layers)
		}
	}
	p.write(trackPublished(req.Cid, pub))
	r.changed(p)
	return livekit.RequestResponse_OK, ""
}

// codecStarted notes that the m-line of a further codec is negotiated.
func (r *Room) codecStarted(p *Participant, t rtc.Published) bool {
	pub := p.published[t.Sid]
	if pub == nil {
		return false
	}
	f := pub.furtherOf(t.Track.ID())
	if f == nil {
		return false
	}
	f.info.Mid = t.Mid
	if t.SdpCid != t.Cid {
		f.info.SdpCid = t.SdpCid
	}
	r.changed(p)
	r.log.Info("further codec published", "identity", p.identity, "track", t.Sid, "mime", t.Mime, "encodings", t.Encodings)
	return true
}

// codecStopped notes that a further codec's m-line is gone; the client may send it again.
func (r *Room) codecStopped(p *Participant, id relay.TrackID) {
	pub := p.published[relay.TrackID(sidOf(id))]
	if pub == nil {
		return
	}
	if f := pub.furtherOf(id); f != nil {
		f.info.Cid, f.info.SdpCid, f.info.Mid = "", "", ""
		r.changed(p)
	}
}

// facts lists what other nodes must know of a publication's relay tracks.
func (pub *publication) facts(self string, into map[string]*linkpb.TrackFacts) {
	add := func(id, mime string) {
		into[id] = &linkpb.TrackFacts{Sid: id, Mime: mime, Path: []string{self}}
	}
	add(pub.info.Sid, pub.mime)
	for _, f := range pub.further {
		add(string(f.track.ID()), f.track.Mime())
	}
}
