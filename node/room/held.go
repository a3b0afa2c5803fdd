package room

import (
	"maille/node/rtc"
	"maille/proto/livekit"
	"maille/relay"
	"maille/relay/track"
)

// Held is what a room holds on this node at one moment, for whoever counts. The
// counters of what it names are read outside the room's loop.
type Held struct {
	Participants int
	Published    []Published
	Relayed      []*track.Track
	Subscribed   []Subscribed
	// Clients are the connections of the room's clients, which carry their data.
	Clients []*rtc.Peer
}

// Published is a track of a client of this node.
type Published struct {
	Track *track.Track
	// Peer is the connection it comes by.
	Peer *rtc.Peer
}

// Subscribed is a track to a client of this node.
type Subscribed struct {
	*rtc.Subscriber
	Kind relay.Kind
}

// Held lists what the room holds.
func (r *Room) Held() Held {
	var h Held
	_ = r.call(func() {
		h.Participants = len(r.local)
		for _, p := range r.local {
			h.Clients = append(h.Clients, p.sub)
			if !p.single() {
				h.Clients = append(h.Clients, p.pub)
			}
			for _, pub := range p.published {
				h.Published = append(h.Published, Published{pub.track, p.pub})
			}
			for _, s := range p.subs {
				if s.sub != nil {
					h.Subscribed = append(h.Subscribed, Subscribed{s.sub, kindOf(s.info)})
				}
			}
		}
		for _, rel := range r.relayed {
			h.Relayed = append(h.Relayed, rel.track)
		}
	})
	return h
}

func kindOf(info *livekit.TrackInfo) relay.Kind {
	if info.Type == livekit.TrackType_AUDIO {
		return relay.Audio
	}
	return relay.Video
}
