package auth

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// MaxRevocations bounds a node's set: more removals than a cluster makes in the life of
// a token. Beyond it those that end first are forgotten first.
const MaxRevocations = 10000

// Revocation makes tokens void: those of an identity for a room that were issued up to
// IssuedUntil. Some backends do not write when they issued a token; of theirs, those
// that expire no later than ExpiresUntil, the expiry of the token that was in use, are
// void. Tokens issued later are good: whoever issues them readmits the participant.
type Revocation struct {
	Room, Identity string
	IssuedUntil    time.Time
	// ExpiresUntil is also when the revocation ends, but for Leeway.
	ExpiresUntil time.Time
}

// Revoke makes the tokens void that c's bearer may hold, at now: c itself, what was
// refreshed from it, and what was issued before.
func Revoke(c *Claims, now time.Time) Revocation {
	// Milliseconds are what nodes tell each other.
	now = time.UnixMilli(now.UnixMilli())
	v := Revocation{Identity: c.Identity, IssuedUntil: now, ExpiresUntil: c.Expires}
	if c.Video != nil {
		v.Room = c.Video.Room
	}
	// The backend's clock may be ahead of this one's.
	if at := c.issued(); at.After(v.IssuedUntil) {
		v.IssuedUntil = at
	}
	// As long as Refresh lets its tokens live.
	if least := now.Add(refreshMin); least.After(v.ExpiresUntil) {
		v.ExpiresUntil = least
	}
	return v
}

// issued is when the token says it was issued, zero if it does not. Several SDKs write
// a not-before of the Unix epoch.
func (c *Claims) issued() time.Time {
	at := c.NotBefore
	if c.Issued.After(at) {
		at = c.Issued
	}
	if at.Unix() <= 0 {
		return time.Time{}
	}
	return at
}

func (v *Revocation) over(now time.Time) bool { return now.After(v.ExpiresUntil.Add(Leeway)) }

func (v *Revocation) voids(c *Claims) bool {
	if at := c.issued(); !at.IsZero() {
		return !at.After(v.IssuedUntil)
	}
	return !c.Expires.After(v.ExpiresUntil)
}

type subject struct{ room, identity string }

// Revoked is a bounded set of revocations. The zero value is ready; it is safe for
// concurrent use. Time is an argument.
type Revoked struct {
	mu   sync.Mutex // guards all below
	held map[subject]Revocation
}

// Add takes a revocation, and reports whether it is news. One that ended, that is empty,
// or that claims to hold longer than any token may live is none.
func (r *Revoked) Add(v Revocation, now time.Time) bool {
	if v.Room == "" || v.Identity == "" || v.over(now) || v.ExpiresUntil.After(now.Add(MaxLifetime+Leeway)) ||
		v.IssuedUntil.After(now.Add(MaxLifetime)) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		r.held = make(map[subject]Revocation)
	}
	key := subject{v.Room, v.Identity}
	old, known := r.held[key]
	if known {
		v.IssuedUntil = later(v.IssuedUntil, old.IssuedUntil)
		v.ExpiresUntil = later(v.ExpiresUntil, old.ExpiresUntil)
		if v.IssuedUntil.Equal(old.IssuedUntil) && v.ExpiresUntil.Equal(old.ExpiresUntil) {
			return false
		}
	} else if len(r.held) >= MaxRevocations {
		r.forget(now)
	}
	r.held[key] = v
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// forget makes room for one: what is over goes, or else what ends first. The caller
// holds mu.
func (r *Revoked) forget(now time.Time) {
	maps.DeleteFunc(r.held, func(_ subject, v Revocation) bool { return v.over(now) })
	if len(r.held) < MaxRevocations {
		return
	}
	first := slices.MinFunc(slices.Collect(maps.Values(r.held)), func(a, b Revocation) int {
		return a.ExpiresUntil.Compare(b.ExpiresUntil)
	})
	delete(r.held, subject{first.Room, first.Identity})
}

// Void reports whether the token is of those that were revoked.
func (r *Revoked) Void(c *Claims, now time.Time) bool {
	if c.Video == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.held[subject{c.Video.Room, c.Identity}]
	return ok && !v.over(now) && v.voids(c)
}

// All lists what holds, and forgets what is over.
func (r *Revoked) All(now time.Time) []Revocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.held, func(_ subject, v Revocation) bool { return v.over(now) })
	return slices.SortedFunc(maps.Values(r.held), func(a, b Revocation) int {
		return cmp.Or(cmp.Compare(a.Room, b.Room), cmp.Compare(a.Identity, b.Identity))
	})
}
