package room

import (
	"errors"
	"strings"

	"maille/node/rtc"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/track"
)

// decodable chooses the codec that a participant gets a track in: the first, or the next
// that its client has not refused. codec is nil when there is none; the track is nil when
// it has ended already.
func (r *Room) decodable(p *Participant, m *Member, info *livekit.TrackInfo) (t *track.Track, codec *livekit.SimulcastCodecInfo) {
	id := relay.TrackID(info.Sid)
	for i, c := range info.Codecs {
		if i > 0 {
			id = codecID(info.Sid, c.MimeType)
		}
		facts := m.Tracks[string(id)]
		if facts == nil || p.refused[strings.ToLower(facts.Mime)] {
			continue
		}
		if m.Node == r.env.Self() {
			return r.Origin(id), c
		}
		return r.hold(m, info, id).track, c
	}
	return nil, nil
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
	t, codec := r.decodable(p, m, info)
	if s.codec = codec; codec == nil {
		p.cannotDecode(string(sid))
		return
	}
	if t == nil {
		return
	}
	r.log.Info("codec refused, going on with another", "identity", p.identity, "track", sid, "mime", codec.MimeType)
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
