package signal

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"maille/proto/livekit"
)

// sdks maps the sdk parameter; ios is what older Swift clients send.
var sdks = map[string]livekit.ClientInfo_SDK{
	"js": livekit.ClientInfo_JS, "ios": livekit.ClientInfo_SWIFT, "swift": livekit.ClientInfo_SWIFT,
	"android": livekit.ClientInfo_ANDROID, "flutter": livekit.ClientInfo_FLUTTER, "go": livekit.ClientInfo_GO,
	"unity": livekit.ClientInfo_UNITY, "reactnative": livekit.ClientInfo_REACT_NATIVE,
	"rust": livekit.ClientInfo_RUST, "python": livekit.ClientInfo_PYTHON, "cpp": livekit.ClientInfo_CPP,
	"unityweb": livekit.ClientInfo_UNITY_WEB, "node": livekit.ClientInfo_NODE,
	"unreal": livekit.ClientInfo_UNREAL, "esp32": livekit.ClientInfo_ESP32,
}

// decodeQuery reads the settings of /rtc (signal "v0") into the message that /rtc/v1
// carries. The room parameter that some clients send is ignored: the token names the
// room.
func decodeQuery(q url.Values) (*livekit.JoinRequest, error) {
	p := params{q: q}
	req := &livekit.JoinRequest{
		ClientInfo: &livekit.ClientInfo{
			Sdk:            sdks[q.Get("sdk")],
			Version:        q.Get("version"),
			Protocol:       p.number("protocol"),
			ClientProtocol: p.number("client_protocol"),
			Os:             q.Get("os"),
			OsVersion:      q.Get("os_version"),
			DeviceModel:    q.Get("device_model"),
			Browser:        q.Get("browser"),
			BrowserVersion: q.Get("browser_version"),
			Network:        q.Get("network"),
			Capabilities:   capabilities(q.Get("capabilities")),
		},
		ConnectionSettings: &livekit.ConnectionSettings{
			AutoSubscribe:          p.flag("auto_subscribe", true),
			AdaptiveStream:         p.flag("adaptive_stream", false),
			DisableIceLite:         p.flag("disable_ice_lite", false),
			SubscriberAllowPause:   p.optional("subscriber_allow_pause"),
			AutoSubscribeDataTrack: p.optional("auto_subscribe_data_track"),
		},
		ParticipantAttributes: p.attributes("attributes"),
		Reconnect:             p.flag("reconnect", false),
		ReconnectReason:       livekit.ReconnectReason(p.number("reconnect_reason")),
		ParticipantSid:        q.Get("sid"),
	}
	if q.Has("publish") {
		// It made a second participant out of one token; no client in use sends it.
		p.fail("publish", "is not supported")
	}
	return req, p.err
}

// params reads query parameters and keeps the first error.
type params struct {
	q   url.Values
	err error
}

func (p *params) fail(name, what string) {
	if p.err == nil {
		p.err = badRequest("parameter %s %s", name, what)
	}
}

func (p *params) number(name string) int32 {
	s := p.q.Get(name)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		p.fail(name, "is not a number")
		return 0
	}
	return int32(n)
}

func (p *params) flag(name string, absent bool) bool {
	switch p.q.Get(name) {
	case "":
		return absent
	case "1", "true":
		return true
	case "0", "false":
		return false
	default:
		p.fail(name, "must be 1 or 0")
		return absent
	}
}

func (p *params) optional(name string) *bool {
	if p.q.Get(name) == "" {
		return nil
	}
	return new(p.flag(name, false))
}

// attributes reads base64url of a JSON object of strings.
func (p *params) attributes(name string) map[string]string {
	s := strings.TrimRight(p.q.Get(name), "=")
	if s == "" {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		p.fail(name, "is not base64url")
		return nil
	}
	var out map[string]string
	if json.Unmarshal(raw, &out) != nil {
		p.fail(name, "is not a JSON object of texts")
		return nil
	}
	return out
}

// capabilities reads a comma-separated list; names this node does not know are left
// out, since peers could not rely on them either.
func capabilities(list string) []livekit.ClientInfo_Capability {
	var out []livekit.ClientInfo_Capability
	for name := range strings.SplitSeq(list, ",") {
		v, ok := livekit.ClientInfo_Capability_value[strings.ToUpper(strings.TrimSpace(name))]
		if ok && len(out) < len(livekit.ClientInfo_Capability_value) {
			out = append(out, livekit.ClientInfo_Capability(v))
		}
	}
	return out
}
