package room

import (
	"strings"

	"maille/node/room/quality"
	"maille/node/room/roster"
	"maille/node/room/trackinfo"
	"maille/node/rtc"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/audio"
)

// subscription is one track sent to one local participant.
type subscription struct {
	publisher string // identity
	node      string // where the track is published
	info      *livekit.TrackInfo
	// codec is the one it is sent in; nil when the client can decode none.
	codec *livekit.SimulcastCodecInfo
	sub   *rtc.Subscriber
	// held is true while it is held back for lack of bandwidth.
	held    bool
	counted quality.Counted // by the last judgement of its quality
}

// moved reports whether the track is another one than what is subscribed: its publisher
// went to another node, from this one or to it. Between two others the relayed track
// stays.
func (s *subscription) moved(to, self string) bool {
	return s.node != to && (s.node == self || to == self)
}

// reconcile makes a participant's subscriptions what they should be: the roster's
// tracks it wants and may have.
func (r *Room) reconcile(p *Participant) {
	if p.gone || p.arriving != nil && !p.arriving.told {
		return
	}
	want := make(map[relay.TrackID]bool)
	for _, m := range r.roster.Members() {
		if m.Info.Identity == p.identity || m.Hidden {
			continue
		}
		for _, info := range m.Info.Tracks {
			if m.Tracks[info.Sid] == nil || !p.wants(info) {
				continue
			}
			allowed := m.Permits(p.info, info.Sid)
			p.tellAllowed(m, info.Sid, allowed)
			if !allowed {
				continue
			}
			sid := relay.TrackID(info.Sid)
			want[sid] = true
			if s := p.subs[sid]; s != nil && s.moved(m.Node, r.env.Self()) {
				r.unsubscribe(p, sid)
			}
			if s := p.subs[sid]; s != nil {
				r.follow(p, s, m, info)
			} else {
				r.subscribe(p, m, info)
			}
		}
	}
	for sid := range p.subs {
		if !want[sid] {
			r.unsubscribe(p, sid)
		}
	}
}

// wants says whether the participant asked for a track and may subscribe at all.
func (p *Participant) wants(info *livekit.TrackInfo) bool {
	if !p.info.Permission.CanSubscribe {
		return false
	}
	if chosen, ok := p.choices[info.Sid]; ok {
		return chosen
	}
	return p.autoSubscribe
}

func (r *Room) subscribe(p *Participant, m *roster.Member, info *livekit.TrackInfo) {
	sid := relay.TrackID(info.Sid)
	s := &subscription{publisher: m.Info.Identity, node: m.Node, info: info}
	t, codec := r.decodable(p, m, info)
	if codec == nil {
		p.subs[sid] = s
		p.cannotDecode(info.Sid)
		return
	}
	if s.codec = codec; t == nil {
		return
	}
	p.subs[sid] = s
	settings := p.settings[info.Sid]
	down := rtc.Down{
		Sid: sid, Stream: r.streamID(p, m, info), Kind: t.Kind(), Mime: t.Mime(),
		Refused: func() { r.post(func() { r.refused(p, sid, s) }) },
		Paused:  settings.GetDisabled(), Stereo: info.Stereo,
		Class: r.classOf(m.Info.Identity, info), Keep: !p.mayHold(), Declared: trackinfo.Declared(info, codec),
	}
	if info.Encryption != livekit.Encryption_NONE {
		down.Trailer = sifTrailer(r.sid)
	}
	down.MaxSpatial, down.MaxTemporal = p.layersFor(info, codec, settings)
	if down.Kind == relay.Audio {
		down.MaxSpatial, down.MaxTemporal = 0, audio.Loud
		if p.hearsAll() {
			down.MaxTemporal = audio.Silent
		}
	}
	p.work.do(func() {
		sub, err := p.sub.Subscribe(down, t)
		r.post(func() { r.subscribed(p, sid, s, sub, err) })
	})
}

// syncProtocol is the first signal protocol whose clients find a track by more than its
// stream (signalling.md 4.9).
const syncProtocol = 10

// streamID names the stream that a track belongs to: one of its own, or with the room's
// sync_streams that of its publisher's camera or screen, which browsers keep in step.
func (r *Room) streamID(p *Participant, m *roster.Member, info *livekit.TrackInfo) string {
	if r.record.GetSettings().GetSyncStreams() && p.join.Client.GetProtocol() >= syncProtocol && info.Stream != "" {
		return m.Info.Sid + "|" + info.Stream
	}
	return m.Info.Sid + "|" + info.Sid
}

// follow notes what is newly said of a subscribed track: the layers of a further codec
// are told once its publisher sends it, and all may have to take it then.
func (r *Room) follow(p *Participant, s *subscription, m *roster.Member, info *livekit.TrackInfo) {
	s.info = info
	if s.codec == nil {
		return
	}
	old := len(s.codec.Layers)
	if c := trackinfo.CodecOf(info, s.codec.MimeType); c != nil {
		s.codec = c
	}
	_, c := p.codecFor(m, info)
	if c != nil && info.Type == livekit.TrackType_AUDIO {
		s.codec = c // RED or not, as after a move: both go out in any section
		return
	}
	if c != nil && s.sub != nil && !strings.EqualFold(c.MimeType, s.codec.MimeType) {
		r.recode(p, s, m, info)
		return
	}
	if len(s.codec.Layers) != old {
		p.applySettings(info.Sid)
	}
}

func (r *Room) subscribed(p *Participant, sid relay.TrackID, s *subscription, sub *rtc.Subscriber, err error) {
	if p.subs[sid] != s {
		return // its end was asked for right behind it, and what is there now is another
	}
	if err != nil {
		r.log.Warn("subscription failed", "identity", p.identity, "track", sid, "err", err)
		p.cannotDecode(string(sid))
		return
	}
	s.sub = sub
	if m, info := r.find(sid); m != nil {
		r.follow(p, s, m, info)
	}
	sub.Rank(r.classOf(s.publisher, s.info))
	p.applySettings(string(sid))
	if info := p.streamState(sid, s); p.moved && info != nil && s.info.Type == livekit.TrackType_VIDEO {
		p.tellStreams([]*livekit.StreamStateInfo{info}) // its former node may have held it back
	}
}

func (r *Room) unsubscribe(p *Participant, sid relay.TrackID) {
	delete(p.subs, sid)
	p.work.do(func() { p.sub.Unsubscribe(sid) })
}

func (p *Participant) applySettings(sid string) {
	set, s := p.settings[sid], p.subs[relay.TrackID(sid)]
	if set == nil || s == nil || s.sub == nil {
		return
	}
	spatial, temporal := p.layersFor(s.info, s.codec, set)
	sub, video := s.sub, s.info.Type == livekit.TrackType_VIDEO
	p.work.do(func() {
		sub.Pause(set.Disabled)
		if video {
			sub.Select(spatial, temporal)
		}
	})
}
