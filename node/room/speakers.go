package room

import (
	"maps"
	"slices"
	"time"

	"maille/node/room/roster"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
	"maille/relay"
)

const (
	// speakerInterval is how often loudness is evaluated (LiveKit's 400 ms).
	speakerInterval = 400 * time.Millisecond
	// opusPacketsPerInterval is what a 20 ms Opus frame stream sends in one interval.
	opusPacketsPerInterval = int(speakerInterval / (20 * time.Millisecond))
)

// speakersStale is when what a node said of its speakers counts no more: while one of
// them speaks it says so every interval.
const speakersStale = 5 * speakerInterval

// listen evaluates the local microphones and tells peers and clients what changed.
func (r *Room) listen() {
	own := &linkpb.Levels{}
	for _, p := range r.local {
		var level float32
		for _, pub := range p.published {
			if pub.meter == nil || pub.info.Muted {
				continue
			}
			if l, speaking := pub.meter.Evaluate(opusPacketsPerInterval); speaking {
				level = max(level, l)
			}
		}
		if r.env.Now().Before(p.loudUntil) {
			level = simulatedLevel
		}
		if level > 0 {
			own.Levels = append(own.Levels, &linkpb.Levels_Level{ParticipantSid: p.info.Sid, Level: level, Active: true})
		}
	}
	if len(own.Levels) > 0 || r.spoke {
		r.tellAll(func() *linkpb.RoomMessage {
			return &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Levels{Levels: own}}
		})
	}
	r.spoke = len(own.Levels) > 0
	r.heard(r.env.Self(), own)
	r.tellNewcomers()
}

// tellNewcomers tells of those who spoke already when a client began to hear them: their
// level may not change for long.
func (r *Room) tellNewcomers() {
	if len(r.speakers.Said()) == 0 {
		return
	}
	now := slices.Collect(maps.Values(r.speakers.Said()))
	owners := r.owners(now)
	for _, p := range r.local {
		late := slices.DeleteFunc(slices.Clone(now), func(s *livekit.SpeakerInfo) bool { return p.speaking[s.Sid] })
		p.tellSpeakers(late, owners)
	}
}

// owners finds who the speakers are, by participant sid.
func (r *Room) owners(list []*livekit.SpeakerInfo) map[string]*roster.Member {
	owners := make(map[string]*roster.Member, len(list))
	for _, m := range r.roster.Members() {
		owners[m.Info.Sid] = m
	}
	return owners
}

// heard takes what a node says of its speakers. Clients are told at once, so that the
// answer is the same on every node but for the time a message takes between them.
func (r *Room) heard(node string, l *linkpb.Levels) {
	now := r.env.Now()
	r.speakers.Heard(node, l, now)
	delta := r.speakers.Changes(now)
	if len(delta) == 0 {
		return
	}
	owners := r.owners(delta)
	talking := make(map[string]bool)
	for sid := range r.speakers.Said() {
		if m := owners[sid]; m != nil {
			talking[m.Info.Identity] = true
		}
	}
	r.talked(talking)
	for _, p := range r.local {
		p.tellSpeakers(delta, owners)
	}
}

// tellSpeakers tells a client of those speakers that it can hear, and of itself. Who
// stops is told to all who were told that it spoke.
func (p *Participant) tellSpeakers(delta []*livekit.SpeakerInfo, owners map[string]*roster.Member) {
	var out []*livekit.SpeakerInfo
	for _, s := range delta {
		switch {
		case !s.Active && p.speaking[s.Sid]:
			delete(p.speaking, s.Sid)
			out = append(out, s)
		case s.Active && p.hears(owners[s.Sid]):
			p.speaking[s.Sid] = true
			out = append(out, s)
		}
	}
	p.writeSpeakers(out)
}

func (p *Participant) writeSpeakers(list []*livekit.SpeakerInfo) {
	if len(list) > 0 {
		p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_SpeakersChanged{
			SpeakersChanged: &livekit.SpeakersChanged{Speakers: list},
		}})
	}
}

// hears reports whether the client subscribes to sound of m, or is m.
func (p *Participant) hears(m *roster.Member) bool {
	if m == nil {
		return false
	}
	return m.Info.Identity == p.identity || slices.ContainsFunc(m.Info.Tracks, func(t *livekit.TrackInfo) bool {
		return t.Type == livekit.TrackType_AUDIO && p.subs[relay.TrackID(t.Sid)] != nil
	})
}
