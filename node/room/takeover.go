package room

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"maille/node/auth"
	"maille/node/rtc"
	"maille/node/signal"
	"maille/proto/livekit"
	"maille/relay"
)

// A client may resume on another node than before: its own died, or sent it away. The
// new node goes on with the participant as the room knows it, or, if nobody remembers,
// as the token says that the client's node signed last. The client keeps its peer
// connections and learns a new DTLS fingerprint, its tracks keep their sids, and the
// others see nothing but a moment without packets.
//
// Until the new node has the client's tracks it says nothing of the participant, and
// the others go on with what the old node said; then its word, being the later, counts,
// and the old node lets go.

// arriveWithin is how long the client's tracks are waited for (LiveKit's migration
// wait).
const arriveWithin = 3 * time.Second

// versionStep separates the versions that different nodes give a participant's info:
// no node gives as many of its own, so that what a later one says is never older.
const versionStep = 1 << 20

// maxMoves bounds how often a participant is taken over: its version is a uint32.
const maxMoves = 1 << 12

// canMove reports whether a client can go on with another node's DTLS certificate.
// libwebrtc renews DTLS when the fingerprint changes; pion, under the Go SDK, and
// Firefox do not, and lose their media.
func canMove(c *livekit.ClientInfo) bool {
	switch c.GetSdk() {
	case livekit.ClientInfo_GO, livekit.ClientInfo_UNKNOWN:
		return false
	}
	return c.GetBrowser() != "firefox"
}

// past is what is known of a participant that comes from another node.
type past struct {
	info    *livekit.ParticipantInfo
	version uint64
	joined  int64           // its claim to the identity; 0 if only the token tells
	tracks  map[string]bool // sids that are its own
	known   map[string]*livekit.TrackInfo
	wants   *livekit.SubscriptionPermission
}

// past looks a participant up for its client's resume; nil if it is not the one that
// the client says, or nobody knows of it.
func (r *Room) past(j *signal.Join) *past {
	out := &past{tracks: make(map[string]bool), known: make(map[string]*livekit.TrackInfo)}
	s := j.Claims.Session
	if s != nil && (s.Room != r.sid || s.Sid == "" || j.ParticipantSid != "" && s.Sid != j.ParticipantSid) {
		s = nil
	}
	m := r.roster.Get(j.Identity)
	switch {
	case m == nil && s != nil && r.endedHere(j.Identity, s.Sid):
		return nil
	case m != nil && (m.Node == r.env.Self() || j.ParticipantSid == "" || m.Info.Sid != j.ParticipantSid):
		return nil
	case m != nil:
		out.info, out.version, out.joined, out.wants = m.Info, m.Version, m.JoinedNS, m.Permission
		for _, t := range m.Info.Tracks {
			out.tracks[t.Sid], out.known[t.Sid] = true, t
		}
	case s != nil:
		out.info = &livekit.ParticipantInfo{Sid: s.Sid, JoinedAt: s.Joined / 1000, JoinedAtMs: s.Joined}
		out.version = uint64(s.Version)
	default:
		return nil
	}
	if s != nil && s.Sid == out.info.Sid {
		out.version = max(out.version, uint64(s.Version))
		for _, sid := range s.Tracks {
			out.tracks[sid] = true
		}
	}
	if out.version/versionStep >= maxMoves-1 {
		return nil
	}
	return out
}

// endedHere reports whether this node ended the session lately, and its connections with
// it: a client that was told so by DTLS cannot go on with them.
func (r *Room) endedHere(identity, sid string) bool {
	d, ok := r.departed[identity]
	return ok && d.info.Sid == sid && d.info.Attributes[nodeAttribute] == r.env.Self()
}

// takeOver goes on with a participant of another node; nil if that cannot be.
func (s *Session) takeOver(c signal.Conn) *Participant {
	r := s.room
	possible := false
	if r.call(func() { possible = r.past(s.join) != nil }) != nil || !possible || !canMove(s.join.Client) {
		return nil
	}
	p, err := r.newPeers(s.join, true)
	if err != nil {
		r.log.Warn("take over", "identity", s.join.Identity, "err", err)
		return nil
	}
	taken := false
	if r.call(func() { r.guard(p, func() { taken = r.moveIn(p, c) }) }) != nil || !taken {
		p.work.finish(p.closePeers)
		return nil
	}
	return p
}

// moveIn makes a participant of another node one of this one, for now in silence.
func (r *Room) moveIn(p *Participant, c signal.Conn) bool {
	was := r.past(p.join)
	if was == nil || r.local[p.identity] != nil {
		return false
	}
	p.info.Sid, p.info.JoinedAt, p.info.JoinedAtMs = was.info.Sid, was.info.JoinedAt, was.info.JoinedAtMs
	if was.joined != 0 {
		p.info.Name, p.info.Metadata = was.info.Name, was.info.Metadata
		for k, v := range was.info.Attributes {
			if k != nodeAttribute {
				p.info.Attributes[k] = v
			}
		}
		p.permission = was.wants
		p.info.Permission = proto.Clone(was.info.Permission).(*livekit.ParticipantPermission)
		p.claims.Video.SetPermission(p.info.Permission)
	}
	p.version = (was.version/versionStep + 1) * versionStep
	p.info.Version = uint32(p.version)
	p.joinedNS = max(p.joinedNS, was.joined+1)
	p.arriving = &arrival{past: was, until: r.env.Now().Add(arriveWithin)}
	p.info.State = livekit.ParticipantInfo_JOINED
	p.conn, p.moved = c, true
	r.local[p.identity] = p
	r.emptySince, r.visited = time.Time{}, true
	r.welcomeBack(p)
	if p.join.SyncState != nil {
		r.rebuild(p, p.join.SyncState)
	}
	r.log.Info("participant taken over", "identity", p.identity, "sid", p.info.Sid, "reason", p.join.ReconnectReason)
	return true
}

// arrival is a participant on its way from another node to this one.
type arrival struct {
	*past
	until time.Time
	// told is true once the client has said what it had.
	told bool
}

// rebuild takes what a client that moved says of its connections and tracks, before its
// first offer comes.
func (r *Room) rebuild(p *Participant, s *livekit.SyncState) {
	a := p.arriving
	if a.told {
		return
	}
	a.told = true
	for _, t := range s.GetPublishTracks() {
		if !r.expectAgain(p, t) {
			r.log.Info("resumed here with a track that is not its own", "identity", p.identity, "track", t.GetTrack().GetSid())
			r.remove(p, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
			return
		}
	}
	p.resumePeers(s)
	p.restore(s)
	r.reconcile(p)
	r.arrive(p)
}

// expectAgain awaits a track of the client under the sid it had; false if the track is
// not the client's.
func (r *Room) expectAgain(p *Participant, t *livekit.TrackPublishedResponse) bool {
	a, said := p.arriving, t.GetTrack()
	if !a.tracks[said.GetSid()] || t.GetCid() == "" || len(t.Cid) > maxTrackName || len(p.pending) >= maxPending {
		return false
	}
	info := a.known[said.Sid]
	if info == nil {
		if m, _ := r.find(relay.TrackID(said.Sid)); m != nil || !plausible(said) {
			return false
		}
		info = said
	}
	info = proto.Clone(info).(*livekit.TrackInfo)
	info.Muted = said.Muted
	if !mayPublish(p.info.Permission, info.Source) {
		p.tellUnpublished(info.Sid)
		return true
	}
	pub := &publication{info: info, cid: t.Cid, mime: info.MimeType, resumed: true}
	e := rtc.Expect{
		Sid: relay.TrackID(info.Sid), Cid: t.Cid, Kind: kindOf(info), Mime: info.MimeType,
		Stereo: info.Stereo, NoDTX: info.DisableDtx,
	}
	if info.Codecs[0].SdpCid != "" {
		e.CodecCids = []string{info.Codecs[0].SdpCid}
	}
	if err := p.pub.Expect(e); err != nil {
		return false
	}
	p.labelStreams(info)
	p.pending[t.Cid] = pub
	return true
}

// expectFurther awaits the further codecs that a client who moved is sending already.
func (p *Participant) expectFurther(pub *publication) {
	for _, f := range pub.further {
		if f.info.Cid == "" {
			continue
		}
		err := p.pub.Expect(rtc.Expect{
			Sid: relay.TrackID(pub.info.Sid), Cid: f.info.Cid, Kind: relay.Video, Mime: f.info.MimeType, Into: f.into,
		})
		if err != nil {
			p.room.log.Debug("further codec of a track taken over", "track", pub.info.Sid, "err", err)
		}
	}
}

// plausible bounds a track as a client describes it; the room will be told of it.
func plausible(t *livekit.TrackInfo) bool {
	const maxLayers, maxCodecs = 3, 4
	if len(t.Name) > maxTrackName || len(t.Stream) > maxTrackName || len(t.MimeType) > maxTrackName ||
		len(t.Codecs) == 0 || len(t.Codecs) > maxCodecs || len(t.Layers) > maxLayers || len(t.AudioFeatures) > maxFeatures {
		return false
	}
	return !slices.ContainsFunc(t.Codecs, func(c *livekit.SimulcastCodecInfo) bool {
		return len(c.Layers) > maxLayers || len(c.Cid) > maxTrackName || len(c.SdpCid) > maxTrackName || len(c.MimeType) > maxTrackName
	})
}

// arrive lets the room know of a participant that moved, once its tracks are here or
// have been waited for long enough.
func (r *Room) arrive(p *Participant) {
	a := p.arriving
	late := a != nil && !r.env.Now().Before(a.until)
	switch {
	case a == nil, !late && (!a.told || len(p.pending) > 0):
		return
	case !a.told:
		r.remove(p, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
		return
	}
	p.arriving = nil
	r.announce([]*Participant{p})
	r.retellSpeakers(p) // what its former node told it, nobody here knows
	r.log.Info("participant arrived", "identity", p.identity, "sid", p.info.Sid, "tracks", len(p.published))
}

// outrun raises the versions of participants that another node goes on with as well,
// and that stay here: its clients may have heard of a later version there, and take no
// older one.
func (r *Room) outrun(node string) {
	var behind []*Participant
	for id, p := range r.local {
		m := r.roster.Claim(node, id)
		if m == nil || m.Info.Sid != p.info.Sid || m.Version < max(p.version, versionStep) || m.Version/versionStep >= maxMoves-1 {
			continue
		}
		p.version = (m.Version/versionStep + 1) * versionStep
		behind = append(behind, p)
	}
	r.announce(behind)
}

// session is what the participant's next token says of it.
func (p *Participant) session() *auth.Session {
	out := &auth.Session{Room: p.room.sid, Sid: p.info.Sid, Version: p.info.Version, Joined: p.info.JoinedAtMs}
	for sid := range p.published {
		out.Tracks = append(out.Tracks, string(sid))
	}
	for _, pub := range p.pending {
		out.Tracks = append(out.Tracks, pub.info.Sid)
	}
	slices.Sort(out.Tracks)
	return out
}

// freshen renews the client's token when its tracks are others than it says.
func (p *Participant) freshen() {
	if now := p.session().Tracks; p.conn != nil && !slices.Equal(now, p.vouched) {
		p.refreshToken()
	}
}

// migrate sends a participant to another node: it resumes at once, and is not taken
// here again.
func (r *Room) migrate(p *Participant) {
	if !canMove(p.join.Client) {
		r.remove(p, livekit.DisconnectReason_MIGRATION, livekit.LeaveRequest_RECONNECT)
		return
	}
	p.moving = true
	r.dismiss(p, livekit.DisconnectReason_MIGRATION)
}

// release lets a participant go that has moved to another node. Nobody is told: to the
// room it is still there.
func (r *Room) release(p *Participant) {
	if p.conn != nil {
		p.conn.Close(signal.CloseInterrupted, "moved to another node")
		p.conn = nil
	}
	r.remove(p, livekit.DisconnectReason_MIGRATION, livekit.LeaveRequest_DISCONNECT)
}
