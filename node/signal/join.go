package signal

import (
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"

	"maille/node/auth"
	"maille/proto/livekit"
)

// NewJoin checks what a client asks for against its token and puts it together. req is
// the client's own join_request, what decodeQuery made of its URL, or the Request of a
// Join made on another node. Region, RemoteAddr and SinglePC are the caller's to set.
// Errors are *Error or *auth.Error.
func NewJoin(token string, claims *auth.Claims, req *livekit.JoinRequest) (*Join, error) {
	if err := claims.RequireJoin(); err != nil {
		return nil, err
	}
	room := claims.Video.Room
	for _, n := range []struct{ what, value string }{{"room", room}, {"identity", claims.Identity}} {
		if n.value == "" {
			return nil, badRequest("the token names no %s", n.what)
		}
	}
	for _, n := range []struct{ what, value string }{{"room", room}, {"identity", claims.Identity}, {"name", claims.Name}} {
		if len(n.value) > MaxName {
			return nil, badRequest("the %s is longer than %d bytes", n.what, MaxName)
		}
	}
	claims, err := mergeMetadata(claims, req)
	if err != nil {
		return nil, err
	}
	settings := req.GetConnectionSettings()
	client := req.GetClientInfo()
	if client == nil {
		client = &livekit.ClientInfo{}
	}
	trimClient(client)
	if len(req.GetParticipantSid()) > maxClientField || !utf8.ValidString(req.GetParticipantSid()) {
		return nil, badRequest("the participant sid is not one")
	}
	return &Join{
		Room: room, Identity: claims.Identity, Name: claims.Name,
		Token: token, Claims: claims, Client: client,
		AutoSubscribe:     settings.GetAutoSubscribe(),
		AutoSubscribeData: settings.GetAutoSubscribeDataTrack(),
		AdaptiveStream:    settings.GetAdaptiveStream(),
		DisableICELite:    settings.GetDisableIceLite(),
		AllowPause:        allowPause(settings),
		Reconnect:         req.GetReconnect(),
		ReconnectReason:   req.GetReconnectReason(),
		ParticipantSid:    req.GetParticipantSid(),
		Offer:             req.GetPublisherOffer(),
		Tracks:            req.GetAddTrackRequests(),
		SyncState:         req.GetSyncState(),
		Request:           req,
	}, nil
}

func allowPause(s *livekit.ConnectionSettings) *bool {
	if s == nil {
		return nil
	}
	return s.SubscriberAllowPause
}

// mergeMetadata puts metadata and attributes of the request over those of the token.
func mergeMetadata(c *auth.Claims, req *livekit.JoinRequest) (*auth.Claims, error) {
	if req.GetMetadata() != "" || len(req.GetParticipantAttributes()) > 0 {
		if !c.Video.GetCanUpdateOwnMetadata() {
			return nil, &auth.Error{Kind: auth.NoGrant, Detail: "it lacks the grant video.canUpdateOwnMetadata"}
		}
		c = c.Clone()
		if m := req.GetMetadata(); m != "" {
			c.Metadata = m
		}
		if c.Attributes == nil {
			c.Attributes = make(map[string]string)
		}
		maps.Copy(c.Attributes, req.GetParticipantAttributes())
		maps.DeleteFunc(c.Attributes, func(_, value string) bool { return value == "" })
	}
	if len(c.Metadata) > MaxMetadata {
		return nil, badRequest("metadata is longer than %d bytes", MaxMetadata)
	}
	size := 0
	for k, v := range c.Attributes {
		size += len(k) + len(v)
	}
	if size > MaxAttributes {
		return nil, badRequest("attributes are longer than %d bytes", MaxAttributes)
	}
	return c, nil
}

// trimClient bounds texts that travel on to other nodes and to logs. URLs may hold any
// bytes, protobuf only UTF-8.
func trimClient(c *livekit.ClientInfo) {
	for _, s := range []*string{
		&c.Version, &c.Os, &c.OsVersion, &c.DeviceModel, &c.Browser,
		&c.BrowserVersion, &c.Address, &c.Network, &c.OtherSdks,
	} {
		*s = strings.ToValidUTF8((*s)[:min(len(*s), maxClientField)], "")
	}
}

// regionHint reads the region parameter. A name that cannot be one is dropped: a bad
// hint must not keep anybody out of a meeting.
func regionHint(q url.Values) string {
	s := q.Get("region")
	if len(s) > 63 || strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	}) {
		return ""
	}
	return s
}

// clientAddr is the client's IP address: what the proxies in front say, in LiveKit's
// order, else the socket's. Nothing trusts it; who forges it gets a worse region.
func clientAddr(r *http.Request) string {
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
	for _, s := range []string{r.Header.Get("CF-Connecting-IP"), forwarded, r.Header.Get("X-Real-IP")} {
		if a, err := netip.ParseAddr(strings.TrimSpace(s)); err == nil {
			return a.Unmap().WithZone("").String()
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}
