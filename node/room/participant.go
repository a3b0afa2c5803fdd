package room

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"maille/node/auth"
	"maille/node/room/roster"
	"maille/node/rtc"
	"maille/node/signal"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
	"maille/relay"
)

// nodeAttribute tells every client which node a participant is attached to; the
// region travels in ParticipantInfo.region.
const nodeAttribute = "maille.node"

// Participant is one client attached to this node. Its fields belong to the room's
// loop, but for the peers, which are set before the loop sees it.
type Participant struct {
	room     *Room
	identity string
	join     *signal.Join
	claims   *auth.Claims

	// pub and sub are one and the same for a client with a single connection.
	pub, sub *rtc.Peer
	work     *tasks

	conn      signal.Conn // the current socket; nil between sockets
	info      *livekit.ParticipantInfo
	joinedNS  int64
	version   uint64
	gone      bool
	described *rate.Limiter
	news      newsBudget
	unsaid    bool // it changed, and the room does not know yet
	// connected is true while the subscriber transport is up.
	connected bool
	// lostAt is when the socket or the media was last lost, since when it came; which of
	// the two is in conn and connected.
	lostAt, since time.Time
	// offerID is the last offer that it was sent, at offeredAt.
	offerID   uint32
	offeredAt time.Time
	// judged is true once the client was told how everyone is connected.
	judged bool
	// failing is true from the moment its transport failed until it resumes.
	failing bool
	// loudUntil ends a speaker update that the client simulates.
	loudUntil time.Time
	// arriving is set while the participant moves to this node, moving once it is to go to
	// another, and parted once it has closed its connections here: it has them there.
	arriving *arrival
	moving   bool
	parted   bool
	// moved is true for a participant that came from another node.
	moved bool
	// vouched are the tracks that its newest token names as its own.
	vouched []string
	// protocol is what its connections come by; other than UDP only if it asked for that.
	protocol livekit.CandidateProtocol
	// cut says how its next resume is to be interrupted, for a client that tests itself.
	cut cut

	pending   map[string]*publication               // by cid
	queued    map[string][]*livekit.AddTrackRequest // by cid, oldest first
	published map[relay.TrackID]*publication
	// publications counts all that were ever published.
	publications int
	permission   *livekit.SubscriptionPermission

	autoSubscribe bool
	choices       map[string]bool // explicit (un)subscriptions by track sid
	settings      map[string]*livekit.UpdateTrackSettings
	subs          map[relay.TrackID]*subscription
	denied        map[string]bool      // tracks it was told it may not have, and whether it still may not
	missing       map[string]time.Time // tracks it asked for that nobody publishes, since when
	speaking      map[string]bool      // speakers it was told of, by sid
	// refused are the codecs, as lower case mime types, that the client does not take.
	refused map[string]bool

	lastSequence uint32                                // of the reliable data received from the client
	dataPubs     map[uint16]*dataTrack                 // by the client's handle
	dataTracks   atomic.Pointer[map[uint16]*dataTrack] // dataPubs for the goroutine that reads packets
	dataSubs     map[string]*dataSub                   // by sid
	dataWishes   map[string]dataWish                   // by sid
	lastHandle   uint16
	blobs        blobs
}

func (p *Participant) active() bool         { return !p.gone && p.info.State == livekit.ParticipantInfo_ACTIVE }
func (p *Participant) canPublishData() bool { return p.info.Permission.CanPublishData }
func (p *Participant) hidden() bool         { return p.info.Permission.Hidden }
func (p *Participant) single() bool         { return p.pub == p.sub }
func (p *Participant) wait()                { <-p.work.done }

func newParticipant(r *Room, j *signal.Join) *Participant {
	now := r.env.Now()
	v := j.Claims.Video
	p := &Participant{
		room: r, identity: j.Identity, join: j, claims: j.Claims.Clone(), joinedNS: now.UnixNano(),
		work: newTasks(), described: rate.NewLimiter(describeRate, describeBurst),
		pending: make(map[string]*publication), queued: make(map[string][]*livekit.AddTrackRequest), published: make(map[relay.TrackID]*publication),
		autoSubscribe: j.AutoSubscribe, choices: make(map[string]bool),
		settings: make(map[string]*livekit.UpdateTrackSettings), subs: make(map[relay.TrackID]*subscription),
		denied: make(map[string]bool), missing: make(map[string]time.Time), speaking: make(map[string]bool), since: now,
		refused: make(map[string]bool),
	}
	attributes := maps.Clone(j.Claims.Attributes)
	if attributes == nil {
		attributes = make(map[string]string)
	}
	attributes[nodeAttribute] = r.env.Self()
	p.info = &livekit.ParticipantInfo{
		Sid: NewSid(ParticipantPrefix), Identity: j.Identity, Name: j.Name,
		State: livekit.ParticipantInfo_JOINING, Metadata: j.Claims.Metadata, Attributes: attributes,
		JoinedAt: now.Unix(), JoinedAtMs: now.UnixMilli(), Region: r.env.Region(),
		Kind:        j.Claims.ParticipantKind(),
		KindDetails: j.Claims.ParticipantKindDetails(), Permission: v.Permission(),
	}
	if c := j.Client; c != nil {
		p.info.ClientProtocol, p.info.Capabilities = c.ClientProtocol, c.Capabilities
	}
	return p
}

// Current is what a fresh token for the participant says: what it joined with, and
// what changed since.
func (p *Participant) Current() *auth.Claims {
	c := p.claims.Clone()
	c.Name, c.Metadata = p.info.Name, p.info.Metadata
	c.Attributes = maps.Clone(p.info.Attributes)
	delete(c.Attributes, nodeAttribute)
	c.Session = p.session()
	return c
}

// member is the participant as this node tells the others.
func (p *Participant) member() *roster.Member {
	m := &roster.Member{
		Node: p.room.env.Self(), Info: proto.Clone(p.info).(*livekit.ParticipantInfo), Version: p.version,
		JoinedNS: p.joinedNS, Hidden: p.hidden(), Permission: p.permission,
		Tracks: make(map[string]*linkpb.TrackFacts, len(p.published)),
	}
	m.Info.Tracks = nil
	all := slices.SortedFunc(maps.Values(p.published), func(a, b *publication) int { return a.order - b.order })
	for _, pub := range all {
		m.Info.Tracks = append(m.Info.Tracks, proto.Clone(pub.info).(*livekit.TrackInfo))
		pub.facts(m.Node, m.Tracks)
	}
	m.Info.DataTracks = p.dataTrackInfos()
	return m
}

// write sends a message to the client, if it has a socket.
func (p *Participant) write(m *livekit.SignalResponse) {
	if p.conn == nil {
		return
	}
	if err := p.conn.Write(m); err != nil {
		p.room.log.Debug("signal write", "identity", p.identity, "err", err)
	}
}

func (p *Participant) refreshToken() {
	p.vouched = p.session().Tracks
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_RefreshToken{RefreshToken: p.room.env.Token(p)}})
}

// resultProtocol is the first signal protocol whose clients hear also of requests that
// did not fail (signalling.md 4.9): those before take every answer for a failure.
const resultProtocol = 15

// answer tells what became of a request that has no answer of its own kind.
func (p *Participant) answer(a *livekit.RequestResponse) {
	fine := a.Reason == livekit.RequestResponse_OK || a.Reason == livekit.RequestResponse_QUEUED
	if fine && p.join.Client.GetProtocol() < resultProtocol {
		return
	}
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_RequestResponse{RequestResponse: a}})
}
