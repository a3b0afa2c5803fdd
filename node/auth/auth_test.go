package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/proto/livekit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key    = "APIkey"
	secret = "0123456789abcdef0123456789abcdef"
)

var now = time.Date(2026, 8, 22, 12, 0, 0, 0, time.UTC)

func verifier() *Verifier {
	return &Verifier{
		Keys: map[string]string{key: secret, "other": strings.Repeat("x", 32), "empty": ""},
		Now:  func() time.Time { return now },
	}
}

// sign builds a token from raw header and payload, so that attacks need no library to
// agree with them.
func sign(header, body, secret string) string {
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(header)) + "." + enc([]byte(body))
	sig, err := jwt.SigningMethodHS256.Sign(text, []byte(secret))
	if err != nil {
		panic(err)
	}
	return text + "." + enc(sig)
}

const hs256 = `{"alg":"HS256","typ":"JWT"}`

// valid is a payload as Meet's backend writes it.
const valid = `{"iss":"APIkey","sub":"alice","nbf":1787000000,"exp":1787400000,"name":"Alice",` +
	`"video":{"room":"r","roomJoin":true,"canPublishSources":["camera","MICROPHONE"]},` +
	`"attributes":{"color":"red","room_role":null,"is_authenticated":""}}`

func TestVerify(t *testing.T) {
	got, err := verifier().Verify(sign(hs256, valid, secret))
	if err != nil {
		t.Fatal(err)
	}
	want := &Claims{
		Key: key, Identity: "alice", Name: "Alice",
		Attributes: map[string]string{"color": "red"},
		Video:      &Grants{Room: "r", RoomJoin: true, CanPublishSources: []string{"camera", "MICROPHONE"}},
		NotBefore:  time.Unix(1787000000, 0), Expires: time.Unix(1787400000, 0),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestIdentityFallsBackToTokenID(t *testing.T) {
	got, err := verifier().Verify(sign(hs256, `{"iss":"APIkey","jti":"bob","exp":1787400000}`, secret))
	if err != nil || got.Identity != "bob" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Every row is a way others were fooled; none may pass, and the message must help.
func TestAttacks(t *testing.T) {
	with := func(old, new string) string {
		if !strings.Contains(valid, old) {
			t.Fatalf("%q is not in the valid payload", old)
		}
		return strings.Replace(valid, old, new, 1)
	}
	good := sign(hs256, valid, secret)
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct {
		token string
		kind  Kind
		text  string
	}{
		"empty":                 {"", Missing, "no access token was given"},
		"not a token":           {"hello", Malformed, "the access token is malformed"},
		"1 MB of dots":          {strings.Repeat(".", 1<<20), Malformed, "longer than 16384 bytes"},
		"16 kB of dots":         {strings.Repeat(".", 16<<10), Malformed, "malformed"},
		"alg none":              {sign(`{"alg":"none"}`, valid, secret), WrongSignature, "wrong signature"},
		"alg None, no sig":      {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"None"}`)) + "." + parts[1] + ".", Malformed, "malformed"},
		"alg RS256, HMAC sig":   {sign(`{"alg":"RS256"}`, valid, secret), WrongSignature, "wrong signature"},
		"alg ES256, HMAC sig":   {sign(`{"alg":"ES256"}`, valid, secret), WrongSignature, "wrong signature"},
		"alg HS512, HS256 sig":  {sign(`{"alg":"HS512"}`, valid, secret), WrongSignature, "wrong signature"},
		"alg is a number":       {sign(`{"alg":256}`, valid, secret), Malformed, "malformed"},
		"signature cut":         {parts[0] + "." + parts[1] + ".", WrongSignature, "wrong signature"},
		"payload swapped":       {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(with("alice", "admin"))) + "." + parts[2], WrongSignature, "wrong signature"},
		"fourth part":           {good + ".x", Malformed, "malformed"},
		"crit header":           {sign(`{"alg":"HS256","crit":["b64"]}`, valid, secret), Malformed, "needs extensions"},
		"issuer other key":      {sign(hs256, with("APIkey", "other"), secret), WrongSignature, "wrong signature"},
		"issuer unknown":        {sign(hs256, with("APIkey", "nobody"), secret), UnknownKey, "unknown API key"},
		"issuer missing":        {sign(hs256, with(`"iss":"APIkey",`, ""), secret), UnknownKey, "unknown API key"},
		"key with empty secret": {sign(hs256, with("APIkey", "empty"), "x"), UnknownKey, "unknown API key"},
		"no exp":                {sign(hs256, with(`"exp":1787400000,`, ""), secret), Malformed, "never expires"},
		"exp null":              {sign(hs256, with("1787400000", "null"), secret), Malformed, "never expires"},
		"exp text":              {sign(hs256, with("1787400000", `"soon"`), secret), Malformed, "malformed"},
		"exp past":              {sign(hs256, with("1787400000", "1787399000"), secret), Expired, "has expired"},
		"exp year 9999":         {sign(hs256, with("1787400000", "253402300799"), secret), Malformed, "more than 400 days"},
		"exp 1e300":             {sign(hs256, with("1787400000", "1e300"), secret), 0, ""},
		"nbf future":            {sign(hs256, with("1787000000", "1787400000"), secret), NotYetValid, "not valid yet"},
		"aud":                   {sign(hs256, with(`"sub"`, `"aud":"mail","sub"`), secret), Malformed, "another audience"},
		"aud array":             {sign(hs256, with(`"sub"`, `"aud":["mail","x"],"sub"`), secret), Malformed, "another audience"},
		"room twice":            {sign(hs256, with(`"room":"r"`, `"room":"r","room":"s"`), secret), Malformed, "malformed"},
		"room twice by case":    {sign(hs256, with(`"room":"r"`, `"room":"r","ROOM":"s"`), secret), Malformed, "malformed"},
		"sub twice":             {sign(hs256, with(`"sub"`, `"sub":"root","sub"`), secret), Malformed, "malformed"},
		"video twice by case":   {sign(hs256, with(`"video"`, `"Video":{"roomAdmin":true},"video"`), secret), Malformed, "malformed"},
		"video is a list":       {sign(hs256, `{"iss":"APIkey","exp":1787400000,"video":[]}`, secret), Malformed, "malformed"},
		"payload is a list":     {sign(hs256, `[]`, secret), Malformed, "malformed"},
		"deep nesting":          {sign(hs256, strings.Repeat(`[`, 11000), secret), Malformed, "malformed"},
	} {
		v := verifier()
		// exp of 1787400000 is 2026-08-22 12:00:00 UTC; rows about exp stand around it.
		v.Now = func() time.Time { return time.Unix(1787400000, 0).Add(-70 * time.Second) }
		if c.text == "has expired" {
			v.Now = func() time.Time { return time.Unix(1787400000, 0) }
		}
		claims, err := v.Verify(c.token)
		if err == nil {
			t.Errorf("%s: accepted as %+v", name, claims)
			continue
		}
		if c.kind == 0 {
			continue
		}
		if KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: kind %d, %q; want %d, %q", name, KindOf(err), err, c.kind, c.text)
		}
		if Status(err) != 401 {
			t.Errorf("%s: status %d", name, Status(err))
		}
		if len(c.token) > 8 && strings.Contains(err.Error(), c.token) {
			t.Errorf("%s: the error holds the token", name)
		}
	}
}

func TestLeeway(t *testing.T) {
	v := verifier()
	for _, c := range []struct {
		at time.Time
		ok bool
	}{
		{time.Unix(1787400000, 0).Add(Leeway - time.Second), true},
		{time.Unix(1787400000, 0).Add(Leeway), false},
		{time.Unix(1787000000, 0).Add(-Leeway), true},
		{time.Unix(1787000000, 0).Add(-Leeway - time.Second), false},
	} {
		v.Now = func() time.Time { return c.at }
		if _, err := v.Verify(sign(hs256, valid, secret)); (err == nil) != c.ok {
			t.Errorf("at %v: %v, want ok %v", c.at, err, c.ok)
		}
	}
}

func TestFromRequest(t *testing.T) {
	for _, c := range []struct {
		header, url, want string
		kind              Kind
	}{
		{"Bearer abc", "/rtc?access_token=xyz", "abc", 0},
		{"", "/rtc?access_token=xyz", "xyz", 0},
		{"Basic abc", "/rtc?access_token=xyz", "", Malformed},
		{"bearer abc", "/rtc", "", Malformed},
		{"", "/rtc", "", Missing},
	} {
		r := httptest.NewRequest("GET", c.url, nil)
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		got, err := FromRequest(r)
		if got != c.want || KindOf(err) != c.kind {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestGrantDefaults(t *testing.T) {
	yes, no := new(true), new(false)
	for name, c := range map[string]struct {
		g    Grants
		want *livekit.ParticipantPermission
	}{
		"absent": {Grants{}, &livekit.ParticipantPermission{CanPublish: true, CanSubscribe: true, CanPublishData: true}},
		"data follows publish": {
			Grants{CanPublish: no},
			&livekit.ParticipantPermission{CanSubscribe: true},
		},
		"data on its own": {
			Grants{CanPublish: no, CanPublishData: yes, CanSubscribe: no},
			&livekit.ParticipantPermission{CanPublishData: true},
		},
		"an unknown source is no licence for all": {
			Grants{CanPublishSources: []string{"smell"}},
			&livekit.ParticipantPermission{
				CanPublish: true, CanSubscribe: true, CanPublishData: true,
				CanPublishSources: []livekit.TrackSource{livekit.TrackSource_UNKNOWN},
			},
		},
		"sources in any case": {
			Grants{CanPublishSources: []string{"Camera", "screen_share_audio"}, CanUpdateOwnMetadata: yes},
			&livekit.ParticipantPermission{
				CanPublish: true, CanSubscribe: true, CanPublishData: true, CanUpdateMetadata: true,
				CanPublishSources: []livekit.TrackSource{livekit.TrackSource_CAMERA, livekit.TrackSource_SCREEN_SHARE_AUDIO},
			},
		},
	} {
		got := c.g.Permission()
		if diff := cmp.Diff(c.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		var again Grants
		again.SetPermission(got)
		if diff := cmp.Diff(got, again.Permission(), protocmp.Transform()); diff != "" {
			t.Errorf("%s: permission does not survive the token: %s", name, diff)
		}
	}
}

func TestCanPublishSource(t *testing.T) {
	camera, screen := livekit.TrackSource_CAMERA, livekit.TrackSource_SCREEN_SHARE
	only := Grants{CanPublishSources: []string{"CAMERA"}}
	if !only.CanPublishSource(camera) || only.CanPublishSource(screen) {
		t.Error("list of one source is not respected")
	}
	if all := (&Grants{}); !all.CanPublishSource(screen) {
		t.Error("no list must mean every source")
	}
	only.CanPublish = new(false)
	if only.CanPublishSource(camera) {
		t.Error("canPublish false must win over the list")
	}
}

func TestRequire(t *testing.T) {
	c := &Claims{Video: &Grants{RoomJoin: true, RoomAdmin: true, Room: "r"}}
	if err := errors.Join(c.RequireJoin(), c.RequireAdmin("r")); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"other room":  c.RequireAdmin("s"),
		"star":        c.RequireAdmin("*"),
		"create":      c.RequireCreate(),
		"list":        c.RequireList(),
		"record":      c.RequireRecord(),
		"agent":       c.RequireAgent(),
		"no video":    (&Claims{}).RequireJoin(),
		"empty room":  (&Claims{Video: &Grants{RoomAdmin: true}}).RequireAdmin(""),
		"empty grant": (&Claims{Video: &Grants{}}).RequireJoin(),
	} {
		if KindOf(err) != NoGrant || Status(err) != 401 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := (&Claims{Video: &Grants{}}).RequireJoin().Error(); got != "the access token does not allow this: it lacks the grant video.roomJoin" {
		t.Error(got)
	}
}

func TestMintAndRefresh(t *testing.T) {
	v := verifier()
	in := &Claims{
		Identity: "EG_1", Name: "Recorder", Kind: "egress", Metadata: "null",
		Attributes: map[string]string{"a": "1", "A": "2"},
		Video:      &Grants{RoomJoin: true, Room: "r", Hidden: true, Recorder: true, CanPublish: new(false)},
		RoomConfig: json.RawMessage(`{"emptyTimeout":60,"someday":1}`),
	}
	token, err := v.Mint(key, in, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	want := in.Clone()
	want.Key, want.NotBefore, want.Expires = key, now.Local(), now.Add(time.Minute).Local()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.ParticipantKind() != livekit.ParticipantInfo_EGRESS {
		t.Error("kind", got.ParticipantKind())
	}
	room, err := got.RoomConfiguration()
	if err != nil || room.EmptyTimeout != 60 {
		t.Error(room, err)
	}

	lives := func(c *Claims) time.Duration {
		t.Helper()
		token, err := v.Refresh(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := v.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		return again.Expires.Sub(now)
	}
	if d := lives(got); d != 10*time.Minute {
		t.Error("a token about to expire is refreshed for", d)
	}
	got.Expires = now.Add(5 * time.Hour)
	if d := lives(got); d != 5*time.Hour {
		t.Error("a token with 5 h left is refreshed for", d)
	}

	got.Metadata = strings.Repeat("m", MaxTokenLen)
	lives(got)
	got.Attributes = map[string]string{"a": strings.Repeat("m", MaxTokenLen)}
	lives(got)
	if _, err := v.Mint(key, got, time.Hour); err == nil {
		t.Error("a token nobody would accept was minted")
	}
	got.Key = "gone"
	if _, err := v.Refresh(got); KindOf(err) != UnknownKey {
		t.Error(err)
	}
}

func TestCheckKeys(t *testing.T) {
	for name, c := range map[string]struct {
		keys map[string]string
		dev  bool
		want string
	}{
		"none":         {nil, true, "no API keys: configure at least one key and secret"},
		"good":         {map[string]string{key: secret}, false, ""},
		"dev allowed":  {map[string]string{DevKey: DevSecret}, true, ""},
		"dev":          {map[string]string{DevKey: DevSecret}, false, `API key "devkey" is the public development pair: it works in development on loopback only`},
		"short secret": {map[string]string{"k": "short"}, true, `the secret of API key "k" has 5 bytes, at least 32 are needed`},
		"empty key":    {map[string]string{"": secret}, false, "an API key is empty"},
	} {
		_, err := NewVerifier(c.keys, c.dev)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(hs256, valid)
	f.Add(`{"alg":"HS256","crit":null}`, `{"video":{"room":"a","Room":"b"}}`)
	f.Add(`{}`, `{"iss":"APIkey","exp":-1e308,"attributes":{"":null}}`)
	v := verifier()
	f.Fuzz(func(t *testing.T, header, body string) {
		c, err := v.Verify(sign(header, body, secret))
		if err != nil {
			if KindOf(err) == 0 {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if c.Expires.Before(now.Add(-Leeway)) {
			t.Fatalf("accepted after %v", c.Expires)
		}
		if _, err := v.Refresh(c); err != nil && !errors.Is(err, errTooLong) {
			t.Fatal(err)
		}
	})
}
