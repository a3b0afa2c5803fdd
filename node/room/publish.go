package room

import (
	"google.golang.org/protobuf/proto"

	"maille/node/guard"
	"maille/node/room/quality"
	"maille/node/room/trackinfo"
	"maille/node/rtc"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/audio"
	"maille/relay/track"
)

// Limits of what one participant may announce.
const (
	// maxPending bounds tracks announced but not yet sent (LiveKit's own limit).
	maxPending = 20
	// maxTracks bounds tracks published at once by one participant: camera, screen and
	// their audio, with room for several screens.
	maxTracks = 32
	// maxTrackName bounds names that every client of the room receives.
	maxTrackName = 256
	// maxTrackBytes bounds all that is said of a track with AddTrack, layers and codecs
	// included, many times what honest clients say.
	maxTrackBytes = 8 << 10
)

// publication is one track of a local participant.
type publication struct {
	info  *livekit.TrackInfo
	cid   string
	order int // how many the participant published before it
	mime  string
	track *track.Track // nil until the m-line is negotiated
	want  relay.LayerSet
	// further are its codecs besides the first.
	further []*further
	// meter measures audio for the active speakers, voice ranks it, gate passes it; all
	// are nil for video, voice also for audio that is always heard.
	meter *audio.Meter
	voice *audio.Voice
	gate  *audio.Gate
	// watched is what the publisher was last told of who watches its video, and repeats
	// how often more it is told.
	watched *livekit.SubscribedQualityUpdate
	repeats int
	// resumed is true for a track taken over from another node.
	resumed bool
	// seen is true once the publisher was told that someone watches, ordered once it was
	// muted by another than its publisher, who has not said anything since.
	seen    bool
	ordered bool
	counted quality.Counted // by the last judgement of its quality
}

// qualityRepeats is how often a quality update is sent again, digestInterval apart:
// clients drop one that comes before they know the track as published.
const qualityRepeats = 2

// addTrack handles an AddTrackRequest: the track is expected in a next offer.
func (r *Room) addTrack(p *Participant, req *livekit.AddTrackRequest) {
	refuse := func(why livekit.RequestResponse_Reason, text string) {
		p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_RequestResponse{RequestResponse: &livekit.RequestResponse{
			Reason: why, Message: text, Request: &livekit.RequestResponse_AddTrack{AddTrack: req},
		}}})
	}
	switch {
	case proto.Size(req) > maxTrackBytes:
		r.env.Refuse(guard.Track)
		p.answer(&livekit.RequestResponse{Reason: livekit.RequestResponse_LIMIT_EXCEEDED, Message: "the track's description is too long"})
		return
	case req.Type != livekit.TrackType_AUDIO && req.Type != livekit.TrackType_VIDEO:
		refuse(livekit.RequestResponse_UNSUPPORTED_TYPE, "only audio and video tracks can be added")
		return
	case req.Cid == "" || len(req.Cid) > maxTrackName || len(req.Name) > maxTrackName:
		refuse(livekit.RequestResponse_INVALID_REQUEST, "a track needs a cid; cid and name are at most 256 bytes")
		return
	case !p.info.Permission.CanPublish || !p.claims.Video.CanPublishSource(req.Source):
		refuse(livekit.RequestResponse_NOT_ALLOWED, "not allowed to publish this source")
		return
	case req.Sid != "":
		if why, text := r.addCodec(p, req); why != livekit.RequestResponse_OK {
			refuse(why, text)
		}
		return
	}
	pub := p.pending[req.Cid]
	if pub == nil && r.queue(p, req) {
		return
	}
	if pub == nil {
		if len(p.pending) >= maxPending || len(p.published) >= maxTracks {
			r.env.Refuse(guard.Track)
			refuse(livekit.RequestResponse_LIMIT_EXCEEDED, "too many tracks")
			return
		}
		info := trackinfo.New(NewSid(trackPrefix(req.Type, req.Source)), req, publishable(p.join.Client))
		pub = &publication{info: info, cid: req.Cid, mime: info.MimeType}
		p.pending[req.Cid] = pub
		e := rtc.Expect{
			Sid: relay.TrackID(info.Sid), Cid: req.Cid, Kind: relay.Video, Mime: info.MimeType,
			Stereo: info.Stereo, NoDTX: info.DisableDtx,
		}
		if req.Type == livekit.TrackType_AUDIO {
			e.Kind = relay.Audio
			// Encrypted, the blocks of RED could not be told apart.
			if !req.DisableRed && req.Encryption == livekit.Encryption_NONE {
				e.Mime = rtc.MimeRED
			}
		}
		for _, c := range req.SimulcastCodecs {
			if c.Cid != "" {
				e.CodecCids = append(e.CodecCids, c.Cid)
			}
		}
		if err := p.pub.Expect(e); err != nil {
			delete(p.pending, req.Cid)
			refuse(livekit.RequestResponse_LIMIT_EXCEEDED, err.Error())
			return
		}
	}
	p.write(trackPublished(pub.cid, pub))
}

func trackPublished(cid string, pub *publication) *livekit.SignalResponse {
	return &livekit.SignalResponse{Message: &livekit.SignalResponse_TrackPublished{
		TrackPublished: &livekit.TrackPublishedResponse{Cid: cid, Track: pub.info},
	}}
}

// trackStarted announces a track whose m-line is negotiated.
func (r *Room) trackStarted(p *Participant, t rtc.Published) {
	if p.gone || r.codecStarted(p, t) {
		return
	}
	pub := p.pending[t.Cid]
	if pub == nil || relay.TrackID(pub.info.Sid) != t.Sid {
		return
	}
	delete(p.pending, t.Cid)
	pub.track, pub.mime = t.Track, t.Mime
	first := pub.info.Codecs[0]
	if first.MimeType != t.Mime && pub.info.Type == livekit.TrackType_VIDEO && t.Encodings > 1 {
		first.VideoLayerMode = livekit.VideoLayer_ONE_SPATIAL_LAYER_PER_STREAM
	} else if first.MimeType != t.Mime && pub.info.Type == livekit.TrackType_VIDEO {
		first.VideoLayerMode = trackinfo.LayerMode(t.Mime)
	}
	first.MimeType, first.Mid = t.Mime, t.Mid
	if t.SdpCid != t.Cid {
		first.SdpCid = t.SdpCid
	}
	trackinfo.Settle(pub.info)
	r.prepare(p, pub)
	pub.order, p.publications = p.publications, p.publications+1
	if pub.resumed {
		p.expectFurther(pub)
	}
	p.published[t.Sid] = pub
	p.info.IsPublisher = true
	if pub.info.Type == livekit.TrackType_AUDIO {
		pub.meter, pub.voice = new(audio.Meter), r.voiceOf(pub.info, p.identity, false)
		pub.gate = audio.NewGate(pub.voice, pub.meter)
		t.Track.SetClassifier(pub.gate)
	}
	pub.silence(pub.info.Muted)
	r.mu.Lock()
	r.origins[t.Sid] = origin{t.Track, p.member().Restricted()}
	r.mu.Unlock()
	r.changed(p)
	r.log.Info("track published", "identity", p.identity, "track", t.Sid, "mime", t.Mime, "encodings", t.Encodings)
}

func (r *Room) trackStopped(p *Participant, sid relay.TrackID) {
	pub := p.published[sid]
	if pub == nil {
		r.codecStopped(p, sid)
		return
	}
	delete(p.published, sid)
	r.retract(pub)
	if !p.gone {
		r.changed(p)
	}
	r.unqueue(p, pub.cid)
}

// retract takes a track out of the links' reach. Its sinks were closed with it.
func (r *Room) retract(pub *publication) {
	if pub.voice != nil {
		pub.voice.Leave()
	}
	r.mu.Lock()
	delete(r.origins, relay.TrackID(pub.info.Sid))
	for _, f := range pub.further {
		delete(r.origins, f.track.ID())
	}
	r.mu.Unlock()
	for _, f := range pub.further {
		f.track.Close()
	}
}

// mute reports whether the track is known.
func (r *Room) mute(p *Participant, sid string, muted bool) bool {
	pub := p.published[relay.TrackID(sid)]
	if pub == nil {
		for _, pending := range p.pending {
			if pending.info.Sid == sid {
				pending.info.Muted = muted
				return true
			}
		}
		return false
	}
	pub.ordered = false
	if pub.info.Muted != muted {
		pub.info.Muted = muted
		pub.silence(muted)
		if !muted && pub.watched != nil {
			p.tellQuality(pub) // a client may have let its encodings rest meanwhile
		}
		r.changed(p)
	}
	return true
}

// silence makes what the client goes on sending while it is muted pass no further.
func (pub *publication) silence(muted bool) {
	if pub.gate != nil {
		pub.gate.Mute(muted)
		return
	}
	pub.track.Mute(muted)
	for _, f := range pub.further {
		f.track.Mute(muted)
	}
}

// demanded notes which layers of a relay track anyone watches, and tells its publisher
// (dynacast). Of sound it is told nothing: LiveKit's subscribed_audio_codec_update is for
// publishers that send Opus and RED as two codecs, which no client does (livekit-client
// ignores it); here RED is taken apart for those who do not take it, at the last hop.
func (p *Participant) demanded(id relay.TrackID, want relay.LayerSet) {
	pub := p.published[relay.TrackID(sidOf(id))]
	if pub == nil || pub.info.Type != livekit.TrackType_VIDEO {
		return
	}
	if f := pub.furtherOf(id); f != nil {
		f.want = want
	} else {
		pub.want = want
	}
	now := pub.watch()
	if proto.Equal(now, pub.watched) {
		return
	}
	if pub.watched == nil {
		pub.repeats = qualityRepeats
	}
	pub.watched = now
	p.tellQuality(pub)
}

// watch says of each codec of a track which qualities anyone watches. Of a further codec
// that nobody needs all are off: a client starts to send what is on.
func (pub *publication) watch() *livekit.SubscribedQualityUpdate {
	out := &livekit.SubscribedQualityUpdate{TrackSid: pub.info.Sid}
	add := func(info *livekit.SimulcastCodecInfo, want relay.LayerSet) {
		out.SubscribedCodecs = append(out.SubscribedCodecs, &livekit.SubscribedCodec{
			Codec: trackinfo.Short(info.MimeType), Qualities: qualities(len(info.Layers), want),
		})
	}
	add(pub.info.Codecs[0], pub.want)
	out.SubscribedQualities = out.SubscribedCodecs[0].Qualities
	for _, f := range pub.further {
		add(f.info, f.want)
	}
	return out
}

// qualities says which of LOW, MEDIUM and HIGH are watched. Layers are cumulative: an
// encoding without rid counts as LOW for clients, so LOW stays on while anyone watches.
func qualities(layers int, want relay.LayerSet) (out []*livekit.SubscribedQuality) {
	top := -1
	for s := range relay.MaxSpatial {
		if want.HasSpatial(uint8(s)) {
			top = s
		}
	}
	for i, quality := range []livekit.VideoQuality{livekit.VideoQuality_LOW, livekit.VideoQuality_MEDIUM, livekit.VideoQuality_HIGH} {
		on := i <= top
		if layers <= 1 {
			on = top >= 0
		}
		out = append(out, &livekit.SubscribedQuality{Quality: quality, Enabled: on})
	}
	return out
}

func (p *Participant) tellQuality(pub *publication) {
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_SubscribedQualityUpdate{SubscribedQualityUpdate: pub.watched}})
}

// repeatQuality tells publishers of young tracks again who watches.
func (r *Room) repeatQuality() {
	for _, p := range r.local {
		for _, pub := range p.published {
			if pub.repeats > 0 {
				pub.repeats--
				p.tellQuality(pub)
			}
		}
	}
}
