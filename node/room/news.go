package room

import (
	"time"

	"google.golang.org/protobuf/proto"

	"maille/node/room/roster"
	"maille/proto/livekit"
)

// quietInterval gathers the comings and goings of people who publish nothing: a room
// that fills with listeners would otherwise cost each of them a message per newcomer.
// The first one is told at once.
const quietInterval = time.Second

// departedKept is how long the room remembers who left, for clients that were away
// meanwhile: they try to resume for less than a minute.
const departedKept = 2 * time.Minute

// identityProtocol is the first signal protocol whose clients know a participant by
// its identity: those before need to hear that the earlier sid left.
const identityProtocol = 12

// news is one participant's change on its way to clients.
type news struct {
	info   *livekit.ParticipantInfo
	hidden bool
	// before is the end of the session that info replaces; nil if there is none.
	before *livekit.ParticipantInfo
	// vanished is the end of someone who hides from now on, as the others see it; nil for
	// who was hidden before, or is not now.
	vanished *livekit.ParticipantInfo
}

// departure is who left, as clients are told.
type departure struct {
	news
	at time.Time
}

// newsOf puts a change into the words of the protocol.
func newsOf(c roster.Change) news {
	switch {
	case c.New == nil:
		return news{info: ended(c.Old, c.Reason), hidden: c.Old.Hidden}
	case c.Old != nil && c.Old.Info.Sid != c.New.Info.Sid:
		return news{
			info: c.New.Info, hidden: c.New.Hidden,
			before: ended(c.Old, livekit.DisconnectReason_DUPLICATE_IDENTITY),
		}
	case c.Old != nil && c.New.Hidden && !c.Old.Hidden:
		return news{info: c.New.Info, hidden: true, vanished: ended(c.Old, livekit.DisconnectReason_UNKNOWN_REASON)}
	}
	return news{info: c.New.Info, hidden: c.New.Hidden}
}

// ended is the last info of a participant.
func ended(m *roster.Member, why livekit.DisconnectReason) *livekit.ParticipantInfo {
	info := proto.Clone(m.Info).(*livekit.ParticipantInfo)
	info.State, info.DisconnectReason, info.Tracks, info.DataTracks = livekit.ParticipantInfo_DISCONNECTED, why, nil, nil
	info.Version++
	return info
}

// height is how far the versions have come by which clients know a session that a node
// took over.
type height struct {
	identity string
	told     uint32 // the last that clients may have heard
	lift     uint32 // how much more they are told than the session's node says
	at       time.Time
}

// rise notes what clients are told of a session. When they may have heard of a later
// version than its node says now, they are told later ones from here on, as they take no
// older: two nodes went on with the session, and the one that told that version let go.
func (r *Room) rise(info *livekit.ParticipantInfo, now time.Time) {
	h, high := r.heights[info.Sid]
	if !high && info.Version < versionStep {
		return // no node took it over
	}
	if info.Version+h.lift < h.told {
		h.lift = h.told + 1 - info.Version
	}
	r.heights[info.Sid] = height{info.Identity, info.Version + h.lift, h.lift, now}
}

// lifted is a participant's info with the version that clients here are told.
func (r *Room) lifted(info *livekit.ParticipantInfo) *livekit.ParticipantInfo {
	h := r.heights[info.Sid]
	if h.lift == 0 {
		return info
	}
	info = proto.Clone(info).(*livekit.ParticipantInfo)
	info.Version += h.lift
	return info
}

// quiet reports whether a change can wait: someone without tracks came or went.
func (r *Room) quiet(c roster.Change) bool {
	if c.Old != nil && publishing(c.Old.Info) || c.New != nil && publishing(c.New.Info) {
		return false
	}
	if c.Old == nil || c.New == nil {
		return true
	}
	_, untold := r.untold[c.New.Info.Identity]
	return untold
}

func publishing(info *livekit.ParticipantInfo) bool { return len(info.Tracks)+len(info.DataTracks) > 0 }

// spread tells the clients of changes: at once, or with others of their kind.
func (r *Room) spread(changes []roster.Change) {
	now := r.env.Now()
	var loud []news
	early := len(r.untold) == 0 && now.Sub(r.quietAt) >= quietInterval
	for _, c := range changes {
		n := newsOf(c)
		switch {
		case c.New == nil:
			r.departed[n.info.Identity] = departure{n, now}
		case n.vanished != nil:
			r.departed[n.info.Identity] = departure{news{info: n.vanished}, now}
		case !n.hidden:
			delete(r.departed, n.info.Identity)
		}
		if c.New != nil {
			r.rise(c.New.Info, now)
		}
		if !r.quiet(c) || early {
			if early {
				r.quietAt = now
			}
			delete(r.untold, n.info.Identity)
			loud = append(loud, n)
			continue
		}
		r.untold[n.info.Identity] = n
		if p := r.local[n.info.Identity]; p != nil {
			p.update([]news{n}) // of oneself one hears at once
		}
	}
	for _, p := range r.local {
		p.update(loud)
	}
}

// spreadQuiet tells what spread held back, once its time has come.
func (r *Room) spreadQuiet() {
	now := r.env.Now()
	for identity, d := range r.departed {
		if now.Sub(d.at) > departedKept {
			delete(r.departed, identity)
		}
	}
	for sid, h := range r.heights {
		if m := r.roster.Get(h.identity); now.Sub(h.at) > departedKept && (m == nil || m.Info.Sid != sid) {
			delete(r.heights, sid)
		}
	}
	if len(r.untold) == 0 || now.Sub(r.quietAt) < quietInterval {
		return
	}
	r.quietAt = now
	all := make([]news, 0, len(r.untold))
	for _, n := range r.untold {
		all = append(all, n)
	}
	clear(r.untold)
	for _, p := range r.local {
		p.update(all)
	}
}

// update sends participant infos to a client: all that it may see.
func (p *Participant) update(list []news) {
	var batch []*livekit.ParticipantInfo
	size := 0
	flush := func() {
		if len(batch) > 0 {
			p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_Update{Update: &livekit.ParticipantUpdate{Participants: batch}}})
			batch, size = nil, 0
		}
	}
	put := func(info *livekit.ParticipantInfo) {
		n := proto.Size(info)
		if size+n > maxUpdateBytes {
			flush()
		}
		batch, size = append(batch, info), size+n
	}
	for _, n := range list {
		if n.hidden && n.info.Identity != p.identity {
			if n.vanished != nil {
				put(n.vanished)
			}
			continue
		}
		if n.before != nil && p.join.Client.GetProtocol() < identityProtocol {
			put(n.before)
		}
		put(p.room.lifted(n.info))
	}
	flush()
}
