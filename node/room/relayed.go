package room

import (
	"errors"
	"slices"
	"time"

	"maille/node/room/roster"
	"maille/node/room/route"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/audio"
	"maille/relay/track"
)

const (
	// relayLinger is how long a track that nobody watches stays open, without packets:
	// someone who looks again sees it without a new request.
	relayLinger = 5 * time.Second
	// avoidFor is how long a node that refused a track is not asked for it again. For others
	// than the origin, which nobody need do without, it doubles up to avoidMost with every
	// refusal, until the track came from there for a while.
	avoidFor, avoidMost = 2 * time.Second, 32 * time.Second
	// handoverFor is how long a track is still taken from where it came from before, once
	// there is a better way: longer than the first packet takes to come by that. What
	// comes twice meanwhile stops at the track.
	handoverFor = time.Second
)

// Refusals of Serve; the peer tries another way.
var (
	ErrUnknownTrack = errors.New("room: no such track here")
	ErrNotFromHere  = errors.New("room: this node has the track from elsewhere")
	ErrNotServing   = errors.New("room: the node that asks does not serve the room")
)

// relayed is a track of another node that someone behind this one watches: received
// once, fanned out by its relay track to clients and to links alike.
type relayed struct {
	track  *track.Track
	voice  *audio.Voice // nil for what is not ranked
	origin string
	via    string // node it is taken from; "" while there is no way
	up     Upstream
	former Upstream  // nil, or what up replaces, until
	before string    // the node it comes from
	until  time.Time // then it is closed
	avoid  map[string]avoided
	served map[string]bool // peers that have been served from here
	idle   time.Time       // since when nothing is attached; zero while something is
}

// avoided is a node that refused a track.
type avoided struct {
	until time.Time
	wait  time.Duration
}

func newRelayed(t *track.Track, origin string) *relayed {
	return &relayed{track: t, origin: origin, avoid: make(map[string]avoided), served: make(map[string]bool)}
}

// shun makes a node avoided, a way round the origin for longer than the last time.
func (rel *relayed) shun(node string, now time.Time) {
	wait := avoidFor
	if node != rel.origin {
		wait = max(min(2*rel.avoid[node].wait, avoidMost), avoidFor)
	}
	rel.avoid[node] = avoided{now.Add(wait), wait}
}

func (rel *relayed) close() {
	if rel.up != nil {
		rel.up.Close()
	}
	rel.letGo()
	rel.track.Close()
	if rel.voice != nil {
		rel.voice.Leave()
	}
}

// letGo closes the former upstream, if any.
func (rel *relayed) letGo() {
	if rel.former != nil {
		rel.former.Close()
		rel.former, rel.before = nil, ""
	}
}

// over reports whether the upstream has ended by itself.
func (rel *relayed) over() bool {
	return spent(rel.up)
}

func spent(up Upstream) bool {
	if up == nil {
		return true
	}
	select {
	case <-up.Done():
		return true
	default:
		return false
	}
}

// hold returns the relayed track (the id of one of the codecs of info) of a far member,
// taking it in if it is not here yet.
func (r *Room) hold(m *roster.Member, info *livekit.TrackInfo, id relay.TrackID) *relayed {
	if rel := r.relayed[id]; rel != nil {
		rel.idle = time.Time{}
		return rel
	}
	kind := relay.Video
	if info.Type == livekit.TrackType_AUDIO {
		kind = relay.Audio
	}
	rel := newRelayed(track.New(id, kind, m.Tracks[string(id)].Mime), m.Node)
	if rel.voice = r.voiceOf(info, m.Info.Identity, true); rel.voice != nil {
		rel.track.SetClassifier(audio.NewGate(rel.voice, nil))
	}
	r.relayed[id] = rel
	r.steer(rel)
	return rel
}

// steer makes the upstream what it should be now.
func (r *Room) steer(rel *relayed) {
	now := r.env.Now()
	over := rel.over()
	if rel.up != nil && over && rel.via != "" {
		if r.env.Linked(rel.via) {
			rel.shun(rel.via, now) // it refused, or the track ended there
		}
		rel.via = ""
	}
	w := &route.Ways{
		Self: r.env.Self(), Region: r.env.Region(), Origin: rel.origin, Serving: r.serving(),
		Linked: r.env.Linked, Avoid: func(node string) bool { return rel.avoid[node].until.After(now) },
	}
	via := w.Upstream()
	if via == rel.via {
		return
	}
	if via != "" && via == rel.before && !spent(rel.former) {
		r.goBack(rel)
		return
	}
	old, from := rel.up, rel.via
	rel.via, rel.up = via, nil
	if via != "" {
		rel.up = r.env.Pull(via, r.name, rel.track)
	}
	rel.letGo()
	switch {
	case rel.up == nil:
		rel.via = ""
		rel.track.SetSource(nil)
	default:
		r.watch(rel, rel.up)
		if !over {
			rel.former, rel.before, rel.until, old = old, from, now.Add(handoverFor), nil
		}
	}
	if old != nil {
		old.Close()
	}
	r.revoke(rel)
	r.log.Debug("track taken from", "track", rel.track.ID(), "origin", rel.origin, "via", rel.via)
}

// goBack takes a track from where it came from before, when the way that seemed better has
// come to nothing.
func (r *Room) goBack(rel *relayed) {
	failed := rel.up
	rel.via, rel.up = rel.before, rel.former
	rel.former, rel.before = nil, ""
	rel.track.SetSource(rel.up)
	if failed != nil {
		failed.Close()
	}
	r.revoke(rel)
}

// watch looks for another way as soon as an upstream ends by itself: it was refused or
// revoked, or its link is down.
func (r *Room) watch(rel *relayed, up Upstream) {
	go func() { // ends with the upstream, which closes with the room at the latest
		<-up.Done()
		r.post(func() {
			if rel.up == up && r.relayed[rel.track.ID()] == rel {
				r.steer(rel)
			}
		})
	}()
}

// revoke ends what may not be served from here any more: whoever was served while the
// track came from its origin might by now be where it comes from.
func (r *Room) revoke(rel *relayed) {
	for peer := range rel.served {
		if rel.via == "" || !route.MayServe(rel.origin, rel.via, r.near(peer), r.near(rel.via)) {
			delete(rel.served, peer)
			r.env.Revoke(peer, rel.track.ID())
		}
	}
}

func (r *Room) near(node string) bool { return r.env.RegionOf(node) == r.env.Region() }

// steerAll follows links that came, went or refused, and closes what nobody watches.
func (r *Room) steerAll() {
	now := r.env.Now()
	for sid, rel := range r.relayed {
		if rel.former != nil && !now.Before(rel.until) {
			rel.letGo()
			delete(rel.avoid, rel.via) // it brings the track
		}
		if rel.track.Stats().Sinks == 0 {
			if rel.idle.IsZero() {
				rel.idle = now
			} else if now.Sub(rel.idle) >= relayLinger {
				delete(r.relayed, sid)
				rel.close()
				continue
			}
		} else {
			rel.idle = time.Time{}
		}
		r.steer(rel)
	}
}

// serving lists the room's nodes by region: as placement recorded them, and peers that
// announced themselves before it did.
func (r *Room) serving() map[string][]string {
	out := make(map[string][]string)
	known := make(map[string]bool)
	for region, list := range r.record.GetServing() {
		out[region] = list.Nodes
		for _, node := range list.Nodes {
			known[node] = true
		}
	}
	for node := range r.peers {
		if region := r.env.RegionOf(node); !known[node] && region != "" {
			out[region] = append(slices.Clone(out[region]), node)
		}
	}
	return out
}

// Serve returns a track for a peer node that asks for it: published here, or relayed
// as its region's gateway or on the way around a cut. Only nodes that serve the room may
// ask: those placed here, and those that take part in its exchange.
func (r *Room) Serve(peer string, id relay.TrackID) (*track.Track, error) {
	r.mu.Lock()
	o, serves := r.origins[id], r.serves[peer]
	r.mu.Unlock()
	if !serves {
		return nil, ErrNotServing
	}
	if o.track != nil && !o.restricted {
		return o.track, nil
	}
	var t *track.Track
	err := r.call(func() {
		m, info := r.find(id)
		if m == nil || m.Node == peer || !r.entitled(peer, m, info.Sid) {
			return
		}
		if m.Node == r.env.Self() {
			t = r.Origin(id)
			return
		}
		rel := r.hold(m, info, id)
		if rel.via != "" && route.MayServe(rel.origin, rel.via, r.near(peer), r.near(rel.via)) {
			rel.served[peer] = true
			t = rel.track
		}
	})
	if err == nil && t == nil {
		err = ErrNotFromHere
	}
	return t, err
}

// find looks a track up in the roster.
func (r *Room) find(id relay.TrackID) (*roster.Member, *livekit.TrackInfo) {
	for _, m := range r.roster.Members() {
		for _, info := range m.Info.Tracks {
			if info.Sid == sidOf(id) && m.Tracks[string(id)] != nil {
				return m, info
			}
		}
	}
	return nil, nil
}
