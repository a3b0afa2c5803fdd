package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// DevKey and DevSecret are the pair every LiveKit tutorial uses.
	DevKey    = "devkey"
	DevSecret = "secret"

	// MinSecretLen is in bytes: as many as the output of the hash (RFC 7518, 3.2).
	MinSecretLen = 32

	// DefaultTTL is how long LiveKit SDKs let tokens live.
	DefaultTTL = 6 * time.Hour

	// refreshMin is the least a refreshed token lives, so that a client whose token is
	// about to expire still has two refreshes (every 5 minutes) to be late for.
	refreshMin = 10 * time.Minute
)

// CheckKeys refuses keys that anybody could guess: none at all, short secrets, and
// the development pair unless allowed.
func CheckKeys(keys map[string]string, allowDevKeys bool) error {
	if len(keys) == 0 {
		return errors.New("no API keys: configure at least one key and secret")
	}
	for key, secret := range keys {
		switch {
		case key == "":
			return errors.New("an API key is empty")
		case key == DevKey && secret == DevSecret:
			if !allowDevKeys {
				return fmt.Errorf("API key %q is the public development pair: it works in development on loopback only", key)
			}
		case len(secret) < MinSecretLen:
			return fmt.Errorf("the secret of API key %q has %d bytes, at least %d are needed", key, len(secret), MinSecretLen)
		}
	}
	return nil
}

// Mint signs a token for c that is valid from now for ttl; c.Key, NotBefore and
// Expires are ignored.
func Mint(key, secret string, c *Claims, ttl time.Duration) (string, error) {
	return mint(key, secret, c, time.Now(), ttl)
}

// Mint signs with one of the verifier's keys.
func (v *Verifier) Mint(key string, c *Claims, ttl time.Duration) (string, error) {
	secret, ok := v.Keys[key]
	if !ok {
		return "", &Error{Kind: UnknownKey}
	}
	return mint(key, secret, c, v.now(), ttl)
}

// Refresh signs c again with the key that issued it. The token lives as long as the
// original had left, but no less than 10 minutes, so that a meeting may outlive the
// token it was joined with (LiveKit refresh_token). Metadata, then attributes are left
// out of a token that would be too long to be accepted: a client that cannot come
// back is worse off than one that comes back without them.
func (v *Verifier) Refresh(c *Claims) (string, error) {
	ttl := max(refreshMin, c.Expires.Sub(v.now()))
	short := *c
	token, err := v.Mint(c.Key, &short, ttl)
	if errors.Is(err, errTooLong) {
		short.Metadata = ""
		token, err = v.Mint(c.Key, &short, ttl)
	}
	if errors.Is(err, errTooLong) {
		short.Attributes = nil
		token, err = v.Mint(c.Key, &short, ttl)
	}
	return token, err
}

var errTooLong = fmt.Errorf("longer than the %d bytes that are accepted", MaxTokenLen)

func mint(key, secret string, c *Claims, now time.Time, ttl time.Duration) (string, error) {
	p := &payload{
		Issuer: key, Subject: c.Identity, ID: c.ID,
		NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		Name: c.Name, Kind: c.Kind, KindDetails: c.KindDetails, Video: c.Video,
		RoomConfig: c.RoomConfig, RoomPreset: c.RoomPreset, SHA256: c.SHA256,
		Metadata: c.Metadata, Attributes: c.Attributes, Session: c.Session,
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, p).SignedString([]byte(secret))
	if err != nil {
		return "", fmt.Errorf("sign token for %q: %w", c.Identity, err)
	}
	if len(token) > MaxTokenLen {
		return "", fmt.Errorf("sign token for %q: %w", c.Identity, errTooLong)
	}
	return token, nil
}
