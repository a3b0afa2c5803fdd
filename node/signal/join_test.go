package signal

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/node/auth"
	"maille/proto/livekit"
)

func prepare(t *testing.T, claims *auth.Claims, path, ua string, v1 bool) (*Join, error) {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Authorization", "Bearer "+token(t, claims))
	r.Header.Set("User-Agent", ua)
	return handler(checker{}).prepare(r, v1)
}

// The query of livekit-client 2.21 against signal v0, with a region in the base URL.
func TestQueryOfBrowser(t *testing.T) {
	const ua = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	claims := alice()
	claims.Video.CanUpdateOwnMetadata = new(true)
	claims.Attributes = map[string]string{"color": "red", "hand": "up"}
	attributes := base64.URLEncoding.EncodeToString([]byte(`{"hand":"","mood":"good"}`))
	j, err := prepare(t, claims, "/rtc?region=lyon&auto_subscribe=1&sdk=js&version=2.21.0&protocol=17&client_protocol=2"+
		"&adaptive_stream=1&reconnect=1&sid=PA_x&reconnect_reason=1&network=wifi&room=other"+
		"&capabilities=cap_compression_deflate_raw,CAP_NEWER&subscriber_allow_pause=0&attributes="+attributes, ua, false)
	if err != nil {
		t.Fatal(err)
	}
	want := &livekit.ClientInfo{
		Sdk: livekit.ClientInfo_JS, Version: "2.21.0", Protocol: 17, ClientProtocol: 2,
		Network: "wifi", Browser: "firefox", BrowserVersion: "140.0", Os: "linux", Address: "192.0.2.1",
		Capabilities: []livekit.ClientInfo_Capability{livekit.ClientInfo_CAP_COMPRESSION_DEFLATE_RAW},
	}
	if diff := cmp.Diff(want, j.Client, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"color": "red", "mood": "good"}, j.Claims.Attributes); diff != "" {
		t.Error(diff)
	}
	if j.Room != "r" || j.Identity != "alice" || j.Name != "Alice" || j.Region != "lyon" || j.RemoteAddr != "192.0.2.1" ||
		!j.AutoSubscribe || !j.AdaptiveStream || !j.Reconnect || j.ParticipantSid != "PA_x" || j.SinglePC ||
		j.ReconnectReason != livekit.ReconnectReason_RR_SIGNAL_DISCONNECTED || j.AllowPause == nil || *j.AllowPause {
		t.Errorf("%+v", j)
	}
}

// The Go SDK sends little; absent means what signalling.md 1.3 says.
func TestQueryDefaults(t *testing.T) {
	j, err := prepare(t, alice(), "/rtc?sdk=go", "", false)
	if err != nil {
		t.Fatal(err)
	}
	if !j.AutoSubscribe || j.AutoSubscribeData || j.AdaptiveStream || j.AllowPause != nil || j.Reconnect || j.Region != "" ||
		j.Client.Sdk != livekit.ClientInfo_GO {
		t.Errorf("%+v", j)
	}
	if j, err = prepare(t, alice(), "/rtc?auto_subscribe=0", "", false); err != nil || j.AutoSubscribe {
		t.Errorf("%+v, %v", j, err)
	}
}

func wrap(t testing.TB, req *livekit.JoinRequest, zip bool) []byte {
	t.Helper()
	inner, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	w := &livekit.WrappedJoinRequest{JoinRequest: inner}
	if zip {
		w.Compression, w.JoinRequest = livekit.WrappedJoinRequest_GZIP, gzipped(inner)
	}
	raw, err := proto.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	_, _ = z.Write(b)
	_ = z.Close()
	return buf.Bytes()
}

func TestJoinRequest(t *testing.T) {
	// The bytes are such that base64 needs + and / and padding.
	req := &livekit.JoinRequest{
		ClientInfo:         &livekit.ClientInfo{Sdk: livekit.ClientInfo_JS, Os: "\u07ff\u07fe?>"},
		ConnectionSettings: &livekit.ConnectionSettings{AdaptiveStream: true},
		PublisherOffer:     &livekit.SessionDescription{Type: "offer", Sdp: strings.Repeat("v=0 ", 500), Id: 3},
	}
	for name, enc := range map[string]*base64.Encoding{
		"url": base64.URLEncoding, "raw url": base64.RawURLEncoding,
		"std": base64.StdEncoding, "raw std": base64.RawStdEncoding,
	} {
		for _, zip := range []bool{false, true} {
			q := url.QueryEscape(enc.EncodeToString(wrap(t, req, zip)))
			j, err := prepare(t, alice(), "/rtc/v1?join_request="+q, "", true)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if j.AutoSubscribe || !j.AdaptiveStream || !j.SinglePC || j.AllowPause != nil {
				t.Errorf("%s: absent settings mean no on v1, but for a pause: %+v", name, j)
			}
			if diff := cmp.Diff(req.PublisherOffer, j.Offer, protocmp.Transform()); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// What one node understood, another makes the same Join of.
func TestRequestTravels(t *testing.T) {
	j, err := prepare(t, alice(), "/rtc?auto_subscribe=0&adaptive_stream=1&os=%ff&version=%00", "Firefox/1", false)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(j.Request)
	if err != nil {
		t.Fatal(err)
	}
	req := new(livekit.JoinRequest)
	if err := proto.Unmarshal(raw, req); err != nil {
		t.Fatal(err)
	}
	again, err := NewJoin(j.Token, j.Claims, req)
	if err != nil {
		t.Fatal(err)
	}
	again.Region, again.RemoteAddr, again.SinglePC = j.Region, j.RemoteAddr, j.SinglePC
	if diff := cmp.Diff(j, again, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestBadJoinRequests(t *testing.T) {
	b64 := base64.RawURLEncoding.EncodeToString
	raw := func(w *livekit.WrappedJoinRequest) string {
		b, err := proto.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		return b64(b)
	}
	const zip = livekit.WrappedJoinRequest_GZIP
	bomb := gzipped(make([]byte, 64<<20))
	cut := gzipped([]byte("hello, hello, hello"))
	for name, c := range map[string]struct{ in, want string }{
		"empty":             {"", "join_request is required"},
		"not base64":        {"!", "join_request is not base64"},
		"not protobuf":      {b64([]byte("\xff")), "join_request is not a WrappedJoinRequest"},
		"not gzip":          {raw(&livekit.WrappedJoinRequest{Compression: zip, JoinRequest: []byte("x")}), "join_request is not gzip"},
		"cut gzip":          {raw(&livekit.WrappedJoinRequest{Compression: zip, JoinRequest: cut[:len(cut)-4]}), "join_request is damaged gzip"},
		"gzip bomb":         {raw(&livekit.WrappedJoinRequest{Compression: zip, JoinRequest: bomb}), "join_request is longer than 1048576 bytes"},
		"dense gzip":        {raw(&livekit.WrappedJoinRequest{Compression: zip, JoinRequest: gzipped(make([]byte, 200<<10))}), "join_request is compressed more than 64 times"},
		"unknown algorithm": {raw(&livekit.WrappedJoinRequest{Compression: 9}), "join_request has an unknown compression"},
		"inner rubbish":     {raw(&livekit.WrappedJoinRequest{JoinRequest: []byte("\xff")}), "join_request holds no JoinRequest"},
	} {
		_, err := decodeJoinRequest(c.in)
		if code, text := status(err); code != 400 || text != c.want {
			t.Errorf("%s: %d %q, want %q", name, code, text, c.want)
		}
	}
}

func TestMetadataBounds(t *testing.T) {
	for name, c := range map[string]struct {
		req  *livekit.JoinRequest
		want string
	}{
		"metadata":   {&livekit.JoinRequest{Metadata: strings.Repeat("x", MaxMetadata+1)}, "metadata is longer than 65536 bytes"},
		"attributes": {&livekit.JoinRequest{ParticipantAttributes: map[string]string{"k": strings.Repeat("x", MaxAttributes)}}, "attributes are longer than 65536 bytes"},
		"sid":        {&livekit.JoinRequest{ParticipantSid: "PA_\xff"}, "the participant sid is not one"},
		"nothing":    {nil, ""},
	} {
		claims := alice()
		claims.Video.CanUpdateOwnMetadata = new(true)
		_, err := NewJoin("", claims, c.req)
		text := ""
		if err != nil {
			_, text = status(err)
		}
		if text != c.want {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
}

func TestClientAddr(t *testing.T) {
	for _, c := range []struct {
		header http.Header
		remote string
		want   string
	}{
		{http.Header{"Cf-Connecting-Ip": {"2001:db8::1"}, "X-Forwarded-For": {"192.0.2.7"}}, "10.0.0.1:5", "2001:db8::1"},
		{http.Header{"X-Forwarded-For": {"192.0.2.7, 10.0.0.2"}, "X-Real-Ip": {"192.0.2.8"}}, "10.0.0.1:5", "192.0.2.7"},
		{http.Header{"X-Forwarded-For": {"<script>"}, "X-Real-Ip": {"::ffff:192.0.2.8"}}, "10.0.0.1:5", "192.0.2.8"},
		{http.Header{}, "[2001:db8::2]:5", "2001:db8::2"},
		{http.Header{}, "@", ""},
	} {
		if got := clientAddr(&http.Request{Header: c.header, RemoteAddr: c.remote}); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.header, c.remote, got, c.want)
		}
	}
}

func TestUserAgents(t *testing.T) {
	for ua, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36":                          "chrome 139.0.0.0 windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 Edg/139.0.3405.86":        "edge 139.0.3405.86 windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15":                    "safari 18.5 mac os x",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/139.0.1 Mobile/15E148 Safari/604.1": "chrome 139.0.1 ios",
		"Mozilla/5.0 (Android 15; Mobile; rv:141.0) Gecko/141.0 Firefox/141.0":                                                                     "firefox 141.0 android",
		"Go-http-client/1.1": "  ",
		"":                   "  ",
	} {
		c := &livekit.ClientInfo{}
		fillFromUserAgent(c, ua)
		if got := c.Browser + " " + c.BrowserVersion + " " + c.Os; got != want {
			t.Errorf("%s: %q, want %q", ua, got, want)
		}
	}
}

func TestRegionHint(t *testing.T) {
	for in, want := range map[string]string{
		"lyon": "lyon", "eu-west-3": "eu-west-3", "": "", "Lyon": "", "../x": "", strings.Repeat("a", 64): "",
	} {
		if got := regionHint(url.Values{"region": {in}}); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
