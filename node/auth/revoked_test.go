package auth

import (
	"fmt"
	"testing"
	"time"
)

func TestRevocation(t *testing.T) {
	now := time.Unix(1787000000, 0)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	claims := func(room, identity string, nbf, iat, exp time.Time) *Claims {
		return &Claims{Identity: identity, Video: &Grants{Room: room}, NotBefore: nbf, Issued: iat, Expires: exp}
	}
	epoch := time.Unix(0, 0)
	var r Revoked
	kicked := claims("r", "eve", epoch, time.Time{}, at(time.Hour))
	if !r.Add(Revoke(kicked, now), now) || r.Add(Revoke(kicked, now), now) {
		t.Error("a revocation is news once")
	}
	for name, c := range map[string]struct {
		token *Claims
		at    time.Time
		void  bool
	}{
		"the same":                     {kicked, at(time.Second), true},
		"shortly before it expires":    {kicked, at(59 * time.Minute), true},
		"over":                         {kicked, at(2 * time.Hour), false},
		"issued before":                {claims("r", "eve", at(-time.Hour), time.Time{}, at(5*time.Hour)), at(time.Second), true},
		"issued before, by iat":        {claims("r", "eve", epoch, at(-time.Hour), at(5*time.Hour)), at(time.Second), true},
		"refreshed before":             {claims("r", "eve", at(-time.Minute), time.Time{}, at(time.Hour)), at(time.Second), true},
		"issued after":                 {claims("r", "eve", at(time.Minute), time.Time{}, at(2*time.Hour)), at(time.Minute), false},
		"no time, expires earlier":     {claims("r", "eve", epoch, time.Time{}, at(30*time.Minute)), at(time.Second), true},
		"no time, expires later":       {claims("r", "eve", epoch, time.Time{}, at(90*time.Minute)), at(time.Second), false},
		"another room":                 {claims("s", "eve", epoch, time.Time{}, at(time.Hour)), at(time.Second), false},
		"another identity":             {claims("r", "ann", epoch, time.Time{}, at(time.Hour)), at(time.Second), false},
		"no video claim":               {&Claims{Identity: "eve"}, at(time.Second), false},
		"names that look alike joined": {claims("re", "ve", epoch, time.Time{}, at(time.Hour)), at(time.Second), false},
	} {
		if got := r.Void(c.token, c.at); got != c.void {
			t.Errorf("%s: void %v, want %v", name, got, c.void)
		}
	}
	if n := len(r.All(at(2 * time.Hour))); n != 0 {
		t.Errorf("%d revocations after their end", n)
	}
}

// A backend whose clock is ahead issues tokens in this node's future: the one in use is
// void all the same.
func TestRevocationOfFutureToken(t *testing.T) {
	now := time.Unix(1787000000, 0)
	c := &Claims{Identity: "eve", Video: &Grants{Room: "r"}, NotBefore: now.Add(30 * time.Second), Expires: now.Add(time.Hour)}
	var r Revoked
	r.Add(Revoke(c, now), now)
	if !r.Void(c, now) {
		t.Error("the token in use is good")
	}
}

// The set is bounded, and what lasts is kept.
func TestRevocationsAreBounded(t *testing.T) {
	now := time.Unix(1787000000, 0)
	var r Revoked
	long := Revocation{Room: "r", Identity: "eve", IssuedUntil: now, ExpiresUntil: now.Add(24 * time.Hour)}
	r.Add(long, now)
	for i := range MaxRevocations + 10 {
		r.Add(Revocation{Room: "r", Identity: fmt.Sprint(i), IssuedUntil: now, ExpiresUntil: now.Add(time.Hour)}, now)
	}
	if n := len(r.All(now)); n != MaxRevocations {
		t.Errorf("%d revocations, want %d", n, MaxRevocations)
	}
	if !r.Void(&Claims{Identity: "eve", Video: &Grants{Room: "r"}, Expires: now.Add(time.Hour)}, now) {
		t.Error("the longest was forgotten first")
	}
	for _, v := range []Revocation{
		{},
		{Room: "r"},
		{Room: "r", Identity: "x"},
		{Room: "r", Identity: "x", IssuedUntil: now, ExpiresUntil: now.Add(2 * MaxLifetime)},
		{Room: "r", Identity: "x", IssuedUntil: now.Add(2 * MaxLifetime), ExpiresUntil: now.Add(time.Hour)},
	} {
		if r.Add(v, now) {
			t.Errorf("%+v is taken", v)
		}
	}
}
