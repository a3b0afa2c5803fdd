package room

import (
	"errors"
	"strings"

	"maille/node/room/roster"
	"maille/node/room/trackinfo"
	"maille/node/rtc"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/track"
)

// decodable chooses the codec that a participant gets a track in. codec is nil when there
// is none; the track is nil when it has ended already.
func (r *Room) decodable(p *Participant, m *roster.Member, info *livekit.TrackInfo) (t *track.Track, codec *livekit.SimulcastCodecInfo) {
	id, codec := p.codecFor(m, info)
	switch {
	case codec == nil:
		return nil, nil
	case m.Node == r.env.Self():
		return r.Origin(id), codec
	}
	return r.hold(m, info, id).track, codec
}

// codecFor names the relay track of the first codec that the client has not refused and
// can make good use of. With the policies REGRESSION and PREFER_REGRESSION, which is the
// default of clients, everyone who can takes a further codec once someone needs it, so
// that the publisher encodes only that; with SIMULCAST it sends both meanwhile.
func (p *Participant) codecFor(m *roster.Member, info *livekit.TrackInfo) (id relay.TrackID, codec *livekit.SimulcastCodecInfo) {
	for i, c := range info.Codecs {
		if info.BackupCodecPolicy != livekit.BackupCodecPolicy_SIMULCAST && i > 0 && c.Mid != "" && !p.refused[strings.ToLower(c.MimeType)] {
			return codecID(info.Sid, c.MimeType), c
		}
	}
	for i, c := range info.Codecs {
		at := relay.TrackID(info.Sid)
		if i > 0 {
			at = codecID(info.Sid, c.MimeType)
		}
		facts := m.Tracks[string(at)]
		if facts == nil || p.refused[strings.ToLower(facts.Mime)] {
			continue
		}
		if !p.blindTo(c) {
			return at, c
		}
		if codec == nil {
			id, codec = at, c
		}
	}
	return id, codec
}

// blindTo reports whether the client can decode only the lowest layer of a codec: AV1
// tells its layers by dependency descriptor, which the WebRTC library of browsers and
// most SDKs offers to receive in no section of a single connection.
func (p *Participant) blindTo(c *livekit.SimulcastCodecInfo) bool {
	return strings.EqualFold(c.GetMimeType(), "video/AV1") && len(c.Layers) > 1 &&
		p.join.SinglePC && p.join.Client.GetSdk() != livekit.ClientInfo_GO
}

// layersFor is the highest layers to send to a participant of a track in a codec; set is
// what it asked for, nil for nothing yet.
func (p *Participant) layersFor(info *livekit.TrackInfo, codec *livekit.SimulcastCodecInfo, set *livekit.UpdateTrackSettings) (spatial, temporal uint8) {
	spatial, temporal = relay.MaxSpatial-1, relay.MaxTemporal-1
	switch {
	case set != nil:
		spatial, temporal = trackinfo.Spatial(info, codec.GetLayers(), set), trackinfo.Temporal(set.Fps)
	case p.join.AdaptiveStream:
		spatial = 0
	}
	if p.blindTo(codec) {
		spatial = 0
	}
	return spatial, temporal
}

// refused follows a client that does not take the codec it was offered: it gets the
// track in another, in the same section. What a client refuses once is not offered to it
// again.
func (r *Room) refused(p *Participant, sid relay.TrackID, s *subscription) {
	if p.gone || p.subs[sid] != s || s.codec == nil {
		return
	}
	p.refused[strings.ToLower(s.codec.MimeType)] = true
	m, info := r.find(sid)
	if m == nil {
		return
	}
	r.recode(p, s, m, info)
}

// recode goes on with the codec that is the right one by now.
func (r *Room) recode(p *Participant, s *subscription, m *roster.Member, info *livekit.TrackInfo) {
	sid := relay.TrackID(info.Sid)
	t, codec := r.decodable(p, m, info)
	if s.codec = codec; codec == nil {
		p.cannotDecode(string(sid))
		return
	}
	if t == nil {
		return
	}
	r.log.Info("going on with another codec", "identity", p.identity, "track", sid, "mime", codec.MimeType)
	p.work.do(func() {
		err := p.sub.Recode(sid, t.Mime(), t)
		r.post(func() {
			switch {
			case errors.Is(err, rtc.ErrCodec):
				r.refused(p, sid, s)
			case err != nil:
				r.log.Debug("codec not changed", "identity", p.identity, "track", sid, "err", err)
			default:
				p.applySettings(string(sid))
			}
		})
	})
}

// cannotDecode tells a client that it will not get a track.
func (p *Participant) cannotDecode(sid string) {
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_SubscriptionResponse{SubscriptionResponse: &livekit.SubscriptionResponse{
		TrackSid: sid, Err: livekit.SubscriptionError_SE_CODEC_UNSUPPORTED,
	}}})
}
