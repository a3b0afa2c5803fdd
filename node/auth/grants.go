package auth

import (
	"slices"
	"strings"

	"maille/proto/livekit"
)

// Grants is the "video" claim. A nil pointer means absent, and absent does not
// mean false everywhere: ask the Get methods.
type Grants struct {
	RoomCreate            bool     `json:"roomCreate,omitempty"`
	RoomList              bool     `json:"roomList,omitempty"`
	RoomRecord            bool     `json:"roomRecord,omitempty"`
	RoomAdmin             bool     `json:"roomAdmin,omitempty"`
	RoomJoin              bool     `json:"roomJoin,omitempty"`
	Room                  string   `json:"room,omitempty"`
	CanPublish            *bool    `json:"canPublish,omitempty"`
	CanSubscribe          *bool    `json:"canSubscribe,omitempty"`
	CanPublishData        *bool    `json:"canPublishData,omitempty"`
	CanPublishSources     []string `json:"canPublishSources,omitempty"`
	CanUpdateOwnMetadata  *bool    `json:"canUpdateOwnMetadata,omitempty"`
	IngressAdmin          bool     `json:"ingressAdmin,omitempty"`
	Hidden                bool     `json:"hidden,omitempty"`
	Recorder              bool     `json:"recorder,omitempty"`
	Agent                 bool     `json:"agent,omitempty"`
	CanSubscribeMetrics   *bool    `json:"canSubscribeMetrics,omitempty"`
	CanManageAgentSession *bool    `json:"canManageAgentSession,omitempty"`
	DestinationRoom       string   `json:"destinationRoom,omitempty"`
}

func or(b *bool, absent bool) bool {
	if b == nil {
		return absent
	}
	return *b
}

// GetCanPublish reports whether tracks may be published; absent means yes.
func (g *Grants) GetCanPublish() bool { return or(g.CanPublish, true) }

// GetCanSubscribe reports whether tracks may be received; absent means yes.
func (g *Grants) GetCanSubscribe() bool { return or(g.CanSubscribe, true) }

// GetCanPublishData reports whether data may be sent; absent means as GetCanPublish.
func (g *Grants) GetCanPublishData() bool { return or(g.CanPublishData, g.GetCanPublish()) }

// GetCanUpdateOwnMetadata reports whether the participant may change its own name,
// metadata and attributes; absent means no.
func (g *Grants) GetCanUpdateOwnMetadata() bool { return or(g.CanUpdateOwnMetadata, false) }

// CanPublishSource reports whether a track of the given source may be published.
// No list means every source; GetCanPublish false wins over the list.
func (g *Grants) CanPublishSource(source livekit.TrackSource) bool {
	if !g.GetCanPublish() {
		return false
	}
	if len(g.CanPublishSources) == 0 {
		return true
	}
	name := source.String()
	return slices.ContainsFunc(g.CanPublishSources, func(s string) bool {
		return strings.EqualFold(s, name)
	})
}

// Permission is what the grants come to in ParticipantInfo.permission.
func (g *Grants) Permission() *livekit.ParticipantPermission {
	p := &livekit.ParticipantPermission{
		CanSubscribe:          g.GetCanSubscribe(),
		CanPublish:            g.GetCanPublish(),
		CanPublishData:        g.GetCanPublishData(),
		CanPublishSources:     g.Sources(),
		Hidden:                g.Hidden,
		Recorder:              g.Recorder, //nolint:staticcheck // still read by clients
		Agent:                 g.Agent,    //nolint:staticcheck // still read by clients
		CanUpdateMetadata:     g.GetCanUpdateOwnMetadata(),
		CanSubscribeMetrics:   or(g.CanSubscribeMetrics, false),
		CanManageAgentSession: or(g.CanManageAgentSession, false),
	}
	return p
}

// Sources is CanPublishSources as clients see them; empty means every source. A name
// we do not know becomes UNKNOWN: leaving it out could leave an empty list.
func (g *Grants) Sources() []livekit.TrackSource {
	var out []livekit.TrackSource
	for _, s := range g.CanPublishSources {
		out = append(out, livekit.TrackSource(livekit.TrackSource_value[strings.ToUpper(s)]))
	}
	return out
}

// SetPermission makes the grants say what p says, for the token a client gets after
// its permissions were changed.
func (g *Grants) SetPermission(p *livekit.ParticipantPermission) {
	g.CanSubscribe = new(p.CanSubscribe)
	g.CanPublish = new(p.CanPublish)
	g.CanPublishData = new(p.CanPublishData)
	g.CanUpdateOwnMetadata = new(p.CanUpdateMetadata)
	g.CanSubscribeMetrics = new(p.CanSubscribeMetrics)
	g.CanManageAgentSession = new(p.CanManageAgentSession)
	g.Hidden = p.Hidden
	g.CanPublishSources = nil
	for _, s := range p.CanPublishSources {
		g.CanPublishSources = append(g.CanPublishSources, strings.ToLower(s.String()))
	}
}
