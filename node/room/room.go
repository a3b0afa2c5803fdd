package room

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"maille/node/auth"
	"maille/node/guard"
	"maille/node/room/delivery"
	"maille/node/room/quality"
	"maille/node/room/roster"
	"maille/node/room/speakers"
	"maille/node/rtc"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
	"maille/relay"
	"maille/relay/audio"
	"maille/relay/track"
)

// Env is what a room needs of its node.
type Env interface {
	Self() string
	Region() string
	// Send puts a message on a link's ordered channel; it never blocks.
	Send(node, channel string, msg []byte) error
	// Offer puts a message that may be lost on a link's channel; it never blocks, and
	// newer messages push out older ones.
	Offer(node, channel string, msg []byte) error
	// Linked reports whether there is a session to a node.
	Linked(node string) bool
	// RegionOf is where another node stands; "" if it is unknown.
	RegionOf(node string) string
	// Pull makes a track's source the link to a node; nil when there is no link.
	Pull(node, room string, into *track.Track) Upstream
	// Revoke ends what a link carries of a track towards a node.
	Revoke(node string, id relay.TrackID)
	// Engine makes peer connections.
	Engine() *rtc.Engine
	// Token signs a fresh token for a participant (LiveKit's refresh_token).
	Token(p *Participant) string
	// ICEServers are the STUN and TURN servers told to clients.
	ICEServers() []*livekit.ICEServer
	// Version is announced to clients as the server's.
	Version() string
	// Void makes the tokens void that the bearer of these claims may hold, everywhere;
	// Voided reports whether they are.
	Void(c *auth.Claims)
	Voided(c *auth.Claims) bool
	// Refuse counts something of a client that was turned away.
	Refuse(why guard.Reason)
	Now() time.Time
}

// Upstream is a track's source over a link.
type Upstream interface {
	relay.Source
	// Done is closed when nothing will come any more.
	Done() <-chan struct{}
	Close()
}

// ErrClosed is returned for a room that has ended on this node.
var ErrClosed = errors.New("room: closed")

// ErrFull is returned when max_participants is reached.
var ErrFull = errors.New("room: full")

const (
	// inboxSize bounds what waits for the loop; a full inbox slows the goroutines that
	// fill it, which are a client's own reader or a link's channel.
	inboxSize = 1024
	// digestInterval is how soon a lost delta is noticed.
	digestInterval = 5 * time.Second
	// tokenInterval is how often clients get a fresh token (signalling.md 2.5).
	tokenInterval = 5 * time.Minute
)

// Room is one meeting on this node. Create it with New; all fields below the inbox
// belong to its loop.
type Room struct {
	env   Env
	log   *slog.Logger
	name  string
	sid   string
	epoch uint64

	inbox chan func()
	done  chan struct{} // closed when the loop has ended
	stop  context.CancelFunc

	data    dataCounts
	tidings tidings

	record *meshpb.Room // as placement last said
	local  map[string]*Participant
	peers  map[string]*peer
	// met are the nodes that ever were peers, strangers those that say so and may not be.
	met, strangers map[string]bool
	roster         *roster.Roster
	relayed        map[relay.TrackID]*relayed
	speakers       *speakers.Union
	verdicts       *quality.Verdicts
	recent         *delivery.Recent
	dataSeen       bool // a data track was, so that those without pay nothing
	blobAsks       map[uint64]blobAsk
	lastBlob       uint64
	farData        atomic.Pointer[map[string]*dataTrack] // of other nodes, watched here; read without the loop
	voices         *audio.Ranking
	spoke          bool
	switched       map[string]switched // who is to connect otherwise than usual
	talking        map[string]bool     // identities of the last to speak
	counts         [2]int              // participants and publishers last told to clients
	recorded       bool                // what clients were last told of recording
	// untold are quiet changes that clients hear of later, since quietAt; departed are
	// those who left lately. Both are by identity.
	untold   map[string]news
	quietAt  time.Time
	departed map[string]departure
	// heights are by sid, of sessions that moved.
	heights map[string]height
	version uint64 // of this node's facts
	// emptySince is when the last local participant left; zero while there are some.
	emptySince time.Time
	visited    bool // someone has been attached here
	// parting is what those still here are told as the room closes; ended are all whom it
	// closed on. Both are Close's once the loop has ended.
	parting func(*Participant)
	ended   []*Participant

	mu sync.Mutex
	// +guarded by mu: tracks published here, and the nodes of peers, for links that ask
	// without the loop.
	origins map[relay.TrackID]origin
	serves  map[string]bool
}

// origin is a track published here.
type origin struct {
	track *track.Track
	// restricted is true while not everyone may subscribe to it.
	restricted bool
}

// New starts a room on this node under a placement record.
func New(env Env, record *meshpb.Room, log *slog.Logger) *Room {
	ctx, cancel := context.WithCancel(context.Background())
	now := env.Now()
	r := &Room{
		env: env, log: log.With("room", record.Name, "epoch", record.Epoch),
		name: record.Name, sid: record.Sid, epoch: record.Epoch,
		inbox: make(chan func(), inboxSize), done: make(chan struct{}), stop: cancel,
		local: make(map[string]*Participant), peers: make(map[string]*peer), met: make(map[string]bool), strangers: make(map[string]bool), serves: make(map[string]bool),
		roster: roster.New(), relayed: make(map[relay.TrackID]*relayed), speakers: speakers.NewUnion(speakersStale), verdicts: quality.NewVerdicts(),
		recent: delivery.NewRecent(resumeWindow), // as long as who has no connection is waited for
		voices: audio.NewRanking(loudest(record.Settings)),
		// A restarted node must outrank what it said before.
		version:    uint64(now.UnixNano()),
		emptySince: now,
		untold:     make(map[string]news), departed: make(map[string]departure), heights: make(map[string]height),
		switched: make(map[string]switched),
		origins:  make(map[relay.TrackID]origin),
	}
	r.tidings.init()
	r.place(record)
	if _, err := r.roster.Snapshot(env.Self(), &linkpb.Roster{Version: r.version}); err != nil {
		panic(err) // an empty snapshot cannot be refused
	}
	go r.loop(ctx)
	return r
}

// Name, Sid and Epoch identify the room instance.
func (r *Room) Name() string  { return r.name }
func (r *Room) Sid() string   { return r.sid }
func (r *Room) Epoch() uint64 { return r.epoch }

func (r *Room) loop(ctx context.Context) {
	defer close(r.done)
	speak := time.NewTicker(speakerInterval)
	defer speak.Stop()
	digest := time.NewTicker(digestInterval)
	defer digest.Stop()
	token := time.NewTicker(tokenInterval)
	defer token.Stop()
	for {
		select {
		case <-ctx.Done():
			r.shut()
			return
		case f := <-r.inbox:
			r.hearTidings() // what was told before f came, it knows
			f()
		case <-r.tidings.came:
			r.hearTidings()
		case <-speak.C:
			r.listen()
			r.tend()
			r.steerAll()
			r.catchUp()
			r.expire()
			r.spreadQuiet()
			r.tellFirstWatchers()
			for _, p := range r.local {
				p.freshen()
				r.noteStreams(p)
			}
		case <-digest.C:
			r.digests()
			r.countsChanged()
			r.tellMissing()
			r.repeatQuality()
			r.judge()
		case <-token.C:
			for _, p := range r.local {
				p.refreshToken()
			}
		}
	}
}

// post hands a closure to the loop; false when the room has ended.
func (r *Room) post(f func()) bool {
	select {
	case r.inbox <- f:
		return true
	case <-r.done:
		return false
	}
}

// call runs a closure in the loop and waits for it.
func (r *Room) call(f func()) error {
	ran := make(chan struct{})
	if !r.post(func() { f(); close(ran) }) {
		return ErrClosed
	}
	select {
	case <-ran:
		return nil
	case <-r.done:
		select {
		case <-ran:
			return nil
		default:
			return ErrClosed
		}
	}
}

// Receive takes a message from a peer node's room channel.
func (r *Room) Receive(node string, msg []byte) {
	m := new(linkpb.RoomMessage)
	if err := proto.Unmarshal(msg, m); err != nil {
		r.log.Warn("bad room message", "peer", node, "err", err)
		return
	}
	r.post(func() {
		defer func() {
			// A faulty peer costs its own message, not the room.
			if v := recover(); v != nil {
				r.log.Error("fault while reading a peer's facts", "peer", node, "panic", v, "stack", string(debug.Stack()))
			}
		}()
		r.receive(node, m)
	})
}

// forget drops all that a node said.
func (r *Room) forget(node string) {
	r.speakers.Forget(node)
	r.verdicts.Forget(node)
	r.apply(r.roster.Forget(node))
}

func (r *Room) place(record *meshpb.Room) {
	if record.Epoch != r.epoch {
		return
	}
	metadata := r.record != nil && r.record.GetSettings().GetMetadata() != record.GetSettings().GetMetadata()
	r.record = record
	r.voices.SetLimit(loudest(record.Settings))
	for _, p := range r.peers {
		p.placed = false
	}
	for _, list := range record.Serving {
		for _, node := range list.Nodes {
			if node == r.env.Self() {
				continue
			}
			p := r.meet(node)
			p.placed = true
			if !p.synced {
				r.greet(p)
			}
		}
	}
	if metadata {
		r.broadcast(r.roomUpdate())
	}
}

// Origin returns a track published on this node, or nil.
func (r *Room) Origin(id relay.TrackID) *track.Track {
	return r.originOf(id).track
}

func (r *Room) originOf(id relay.TrackID) origin {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.origins[id]
}

// Empty returns how many participants are attached here, for how long none has been,
// and whether one ever was.
func (r *Room) Empty() (participants int, empty time.Duration, visited bool) {
	_ = r.call(func() {
		participants, visited = len(r.local), r.visited
		if !r.emptySince.IsZero() {
			empty = r.env.Now().Sub(r.emptySince)
		}
	})
	return participants, empty, visited
}

// Close ends the room on this node: clients are told with the reason and action, and
// the peers hear goodbye. It returns when everything has stopped.
func (r *Room) Close(reason livekit.DisconnectReason, action livekit.LeaveRequest_Action) {
	_ = r.call(func() {
		r.parting = func(p *Participant) { r.remove(p, reason, action) }
		r.part()
		r.tellAll(func() *linkpb.RoomMessage {
			return &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Bye{Bye: &linkpb.Bye{}}}
		})
	})
	r.stop()
	<-r.done
	for _, p := range r.ended {
		p.wait()
	}
}

// part ends everybody.
func (r *Room) part() {
	for _, p := range slices.Collect(maps.Values(r.local)) {
		r.parting(p)
		r.ended = append(r.ended, p)
	}
}

// shut releases what the loop owns when it ends.
func (r *Room) shut() {
	r.part() // who was let in since Close began
	for _, rel := range r.relayed {
		rel.close()
	}
}

// broadcast sends a message to every local client.
func (r *Room) broadcast(m *livekit.SignalResponse) {
	for _, p := range r.local {
		p.write(m)
	}
}

// info is the room as clients see it.
func (r *Room) info() *livekit.Room {
	s := r.record.GetSettings()
	out := &livekit.Room{
		Sid: r.sid, Name: r.name, Metadata: s.GetMetadata(),
		EmptyTimeout: s.GetEmptyTimeoutS(), DepartureTimeout: s.GetDepartureTimeoutS(),
		MaxParticipants: s.GetMaxParticipants(), EnabledCodecs: allCodecs,
		CreationTime: r.record.CreatedMs / 1000, CreationTimeMs: r.record.CreatedMs,
	}
	out.ActiveRecording = r.recording()
	for _, m := range r.roster.Members() {
		if m.Hidden {
			continue
		}
		out.NumParticipants++
		if len(m.Info.Tracks) > 0 {
			out.NumPublishers++
		}
	}
	return out
}

func (r *Room) roomUpdate() *livekit.SignalResponse {
	return &livekit.SignalResponse{Message: &livekit.SignalResponse_RoomUpdate{RoomUpdate: &livekit.RoomUpdate{Room: r.info()}}}
}

// recordingChanged tells clients at once when a recorder came or went.
func (r *Room) recordingChanged() {
	if now := r.recording(); now != r.recorded {
		r.recorded = now
		r.broadcast(r.roomUpdate())
	}
}

func (r *Room) recording() bool {
	return slices.ContainsFunc(r.roster.Members(), func(m *roster.Member) bool {
		return m.Info.GetPermission().GetRecorder() || m.Info.Kind == livekit.ParticipantInfo_EGRESS
	})
}

// countsChanged tells clients of new participant counts, coalesced.
func (r *Room) countsChanged() {
	info := r.info()
	now := [2]int{int(info.NumParticipants), int(info.NumPublishers)}
	if now != r.counts {
		r.counts = now
		r.broadcast(r.roomUpdate())
	}
}
