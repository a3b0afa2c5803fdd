package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// MaxTokenLen bounds a token in bytes before anything looks inside. Metadata and
	// attributes travel in tokens, yet proxies seldom pass longer header lines.
	MaxTokenLen = 16 << 10

	// Leeway is how far the clocks of issuer and node may differ.
	Leeway = time.Minute

	// MaxLifetime bounds how far ahead a token may expire: a leaked token that never
	// dies cannot be revoked but by changing the key. Integrators do mint tokens for a
	// year.
	MaxLifetime = 400 * 24 * time.Hour
)

// Verifier checks tokens against API keys. It may be used by any number of
// goroutines as long as nobody changes its fields.
type Verifier struct {
	// Keys maps an API key to its secret.
	Keys map[string]string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// NewVerifier checks the keys first; see CheckKeys.
func NewVerifier(keys map[string]string, allowDevKeys bool) (*Verifier, error) {
	if err := CheckKeys(keys, allowDevKeys); err != nil {
		return nil, err
	}
	return &Verifier{Keys: keys}, nil
}

func (v *Verifier) now() time.Time {
	if v.Now != nil {
		return v.Now()
	}
	return time.Now()
}

// FromRequest finds the token of a request: the Authorization header if there is
// one, else the query parameter access_token.
func FromRequest(r *http.Request) (string, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		token, ok := strings.CutPrefix(h, "Bearer ")
		if !ok {
			return "", &Error{Kind: Malformed, Detail: `the Authorization header must begin with "Bearer "`}
		}
		return token, nil
	}
	token := r.URL.Query().Get("access_token")
	if token == "" {
		return "", &Error{Kind: Missing}
	}
	return token, nil
}

// Verify checks signature and validity and returns the claims. Grants are the
// caller's to check, with the Require methods. Every error is an *Error.
func (v *Verifier) Verify(token string) (*Claims, error) {
	if token == "" {
		return nil, &Error{Kind: Missing}
	}
	if len(token) > MaxTokenLen {
		return nil, &Error{Kind: Malformed, Detail: fmt.Sprintf("it is longer than %d bytes", MaxTokenLen)}
	}
	now := v.now()
	var p payload
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"HS256"}),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(Leeway),
		jwt.WithTimeFunc(func() time.Time { return now }),
	)
	_, err := parser.ParseWithClaims(token, &p, func(t *jwt.Token) (any, error) {
		// RFC 7515, 4.1.11: extensions that are not understood invalidate the token.
		if _, ok := t.Header["crit"]; ok {
			return nil, &Error{Kind: Malformed, Detail: "its header needs extensions"}
		}
		secret, ok := v.Keys[p.Issuer]
		if !ok || secret == "" {
			return nil, &Error{Kind: UnknownKey}
		}
		return []byte(secret), nil
	})
	if err != nil {
		return nil, classify(err)
	}
	if p.ExpiresAt.After(now.Add(MaxLifetime)) {
		return nil, &Error{Kind: Malformed, Detail: "it is valid for more than 400 days"}
	}
	return p.claims(), nil
}

func classify(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return &Error{Kind: Malformed, Detail: "it never expires, claim exp is required", Err: err}
	case errors.Is(err, jwt.ErrTokenExpired):
		return &Error{Kind: Expired, Err: err}
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return &Error{Kind: NotYetValid, Err: err}
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return &Error{Kind: WrongSignature, Err: err}
	default:
		return &Error{Kind: Malformed, Err: err}
	}
}

// payload is the JSON of a token.
type payload struct {
	Issuer      string            `json:"iss,omitempty"`
	Subject     string            `json:"sub,omitempty"`
	ID          string            `json:"jti,omitempty"`
	Audience    jwt.ClaimStrings  `json:"aud,omitempty"`
	NotBefore   *jwt.NumericDate  `json:"nbf,omitempty"`
	ExpiresAt   *jwt.NumericDate  `json:"exp,omitempty"`
	IssuedAt    *jwt.NumericDate  `json:"iat,omitempty"`
	Name        string            `json:"name,omitempty"`
	Kind        string            `json:"kind,omitempty"`
	KindDetails []string          `json:"kindDetails,omitempty"`
	Video       *Grants           `json:"video,omitempty"`
	RoomConfig  json.RawMessage   `json:"roomConfig,omitempty"`
	RoomPreset  string            `json:"roomPreset,omitempty"`
	SHA256      string            `json:"sha256,omitempty"`
	Metadata    string            `json:"metadata,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Session     *Session          `json:"mailleSession,omitempty"`
}

// UnmarshalJSON refuses a name that appears twice in one object: which of two rooms
// a token is for must not depend on who reads it (RFC 8725, 2.6).
func (p *payload) UnmarshalJSON(b []byte) error {
	if err := uniqueNames(json.NewDecoder(bytes.NewReader(b)), true); err != nil {
		return err
	}
	type plain payload
	return json.Unmarshal(b, (*plain)(p))
}

// The five methods of jwt.Claims.

func (p *payload) GetExpirationTime() (*jwt.NumericDate, error) { return p.ExpiresAt, nil }
func (p *payload) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (p *payload) GetNotBefore() (*jwt.NumericDate, error)      { return p.NotBefore, nil }
func (p *payload) GetIssuer() (string, error)                   { return p.Issuer, nil }
func (p *payload) GetSubject() (string, error)                  { return p.Subject, nil }
func (p *payload) GetAudience() (jwt.ClaimStrings, error)       { return p.Audience, nil }

// Validate refuses tokens meant for somebody else: LiveKit tokens have no audience,
// and RFC 7519, 4.1.3 has a reader refuse one that does not name it.
func (p *payload) Validate() error {
	if len(p.Audience) > 0 {
		return &Error{Kind: Malformed, Detail: "it is meant for another audience"}
	}
	return nil
}

func (p *payload) claims() *Claims {
	c := &Claims{
		Key: p.Issuer, ID: p.ID, Identity: p.Subject, Name: p.Name,
		Kind: p.Kind, KindDetails: p.KindDetails, Metadata: p.Metadata,
		Video: p.Video, RoomConfig: p.RoomConfig, RoomPreset: p.RoomPreset,
		SHA256: p.SHA256, Session: p.Session, Expires: p.ExpiresAt.Time,
	}
	if p.NotBefore != nil {
		c.NotBefore = p.NotBefore.Time
	}
	if p.IssuedAt != nil {
		c.Issued = p.IssuedAt.Time
	}
	if c.Identity == "" {
		c.Identity = p.ID
	}
	for k, value := range p.Attributes {
		// Some backends write JSON null for "not set", which decodes to "".
		if value == "" {
			continue
		}
		if c.Attributes == nil {
			c.Attributes = make(map[string]string, len(p.Attributes))
		}
		c.Attributes[k] = value
	}
	return c
}

// uniqueNames reads one JSON value and fails on an object with two equal names. With
// fold, names that differ in case only are equal too, since encoding/json takes both
// for the same field; attributes and the like tell them apart. Recursion is bounded by
// encoding/json, which has accepted b before.
func uniqueNames(d *json.Decoder, fold bool) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	inner := false
	for d.More() {
		if open == '{' {
			t, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := t.(string)
			if fold {
				name = strings.ToLower(name)
			}
			if seen[name] {
				return fmt.Errorf("name %q appears twice", name)
			}
			seen[name] = true
			inner = fold && name == "video"
		}
		if err := uniqueNames(d, inner); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
