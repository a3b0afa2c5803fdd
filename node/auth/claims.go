package auth

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"maille/proto/livekit"
)

// Claims is what a verified token says about its bearer.
type Claims struct {
	// Key is the API key that issued the token.
	Key string
	// ID is the token's own id (jti), often empty.
	ID string
	// Identity is unique in the room; Name is what others see.
	Identity string
	Name     string
	// Kind is standard (or empty), ingress, egress, sip, agent, connector or bridge.
	Kind        string
	KindDetails []string
	Metadata    string
	Attributes  map[string]string
	// Video is nil when the token has no video claim.
	Video *Grants
	// RoomConfig is protojson of livekit.RoomConfiguration, for rooms created by
	// joining.
	RoomConfig json.RawMessage
	RoomPreset string
	// SHA256 is the standard base64 of a webhook body's hash.
	SHA256 string
	// Session is what a token that this cluster renewed says of the session it belongs to;
	// nil in the token that a client joins with.
	Session *Session
	// NotBefore and Issued may be zero. Expires is never zero in a verified token.
	NotBefore time.Time
	Issued    time.Time
	Expires   time.Time
}

// Session lets another node go on with a participant whose own node is gone: the
// client proves by it what was its own.
type Session struct {
	// Room and Sid are those of the room instance and of the participant.
	Room string `json:"room"`
	Sid  string `json:"sid"`
	// Version is of the participant's info when the token was signed.
	Version uint32 `json:"version"`
	// Joined is when the participant came, in Unix milliseconds.
	Joined int64 `json:"joined"`
	// Tracks are the sids it publishes.
	Tracks []string `json:"tracks,omitempty"`
}

// Clone returns a copy that shares nothing that is ever changed.
func (c *Claims) Clone() *Claims {
	d := *c
	d.Attributes = maps.Clone(c.Attributes)
	if c.Video != nil {
		d.Video = new(*c.Video)
	}
	return &d
}

// ParticipantKind is Kind as clients see it; an unknown kind is standard.
func (c *Claims) ParticipantKind() livekit.ParticipantInfo_Kind {
	return livekit.ParticipantInfo_Kind(livekit.ParticipantInfo_Kind_value[strings.ToUpper(c.Kind)])
}

// ParticipantKindDetails is KindDetails as clients see them, unknown ones left out.
func (c *Claims) ParticipantKindDetails() []livekit.ParticipantInfo_KindDetail {
	var out []livekit.ParticipantInfo_KindDetail
	for _, d := range c.KindDetails {
		if v, ok := livekit.ParticipantInfo_KindDetail_value[strings.ToUpper(d)]; ok {
			out = append(out, livekit.ParticipantInfo_KindDetail(v))
		}
	}
	return out
}

// RoomConfiguration decodes RoomConfig; nil when the token has none.
func (c *Claims) RoomConfiguration() (*livekit.RoomConfiguration, error) {
	if len(c.RoomConfig) == 0 {
		return nil, nil
	}
	m := &livekit.RoomConfiguration{}
	o := protojson.UnmarshalOptions{DiscardUnknown: true}
	if err := o.Unmarshal(c.RoomConfig, m); err != nil {
		return nil, &Error{Kind: Malformed, Detail: "claim roomConfig is not a RoomConfiguration", Err: err}
	}
	return m, nil
}

// RequireJoin checks the grant of the signalling endpoints.
func (c *Claims) RequireJoin() error {
	return c.require("roomJoin", func(g *Grants) bool { return g.RoomJoin })
}

// RequireCreate checks the grant of CreateRoom and DeleteRoom.
func (c *Claims) RequireCreate() error {
	return c.require("roomCreate", func(g *Grants) bool { return g.RoomCreate })
}

// RequireList checks the grant of ListRooms.
func (c *Claims) RequireList() error {
	return c.require("roomList", func(g *Grants) bool { return g.RoomList })
}

// RequireRecord checks the grant of the Egress service.
func (c *Claims) RequireRecord() error {
	return c.require("roomRecord", func(g *Grants) bool { return g.RoomRecord })
}

// RequireAgent checks the grant of agent workers.
func (c *Claims) RequireAgent() error {
	return c.require("agent", func(g *Grants) bool { return g.Agent })
}

// RequireAdmin checks the grant of calls that act in the given room. An empty room
// is never administered.
func (c *Claims) RequireAdmin(room string) error {
	if err := c.require("roomAdmin", func(g *Grants) bool { return g.RoomAdmin }); err != nil {
		return err
	}
	if room == "" || c.Video.Room != room {
		return &Error{Kind: NoGrant, Detail: "it is bound to another room"}
	}
	return nil
}

func (c *Claims) require(grant string, has func(*Grants) bool) error {
	if c.Video == nil {
		return &Error{Kind: NoGrant, Detail: "it has no video claim"}
	}
	if !has(c.Video) {
		return &Error{Kind: NoGrant, Detail: fmt.Sprintf("it lacks the grant video.%s", grant)}
	}
	return nil
}
