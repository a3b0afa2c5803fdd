package rtc

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// roamWindow is how long an address from which a client proved itself counts.
const roamWindow = 10 * time.Minute

// roaming bounds the addresses that one ICE session is heard from: pion makes a
// candidate of each that proves the session's password, keeps it to the session's end,
// and looks through all of them. A session may have maxCandidates in a roamWindow,
// however many it names.
type roaming struct {
	mu       sync.Mutex // guards all below
	sessions map[string]*roamer
}

// roamer is one session's addresses, those of this window and those of the one before.
type roamer struct {
	now, before []netip.AddrPort
	since       time.Time
}

// add begins a session.
func (r *roaming) add(ufrag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions == nil {
		r.sessions = make(map[string]*roamer)
	}
	if r.sessions[ufrag] == nil {
		r.sessions[ufrag] = new(roamer)
	}
}

func (r *roaming) remove(ufrag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, ufrag)
}

// admits reports whether a datagram may go on: all may but connectivity checks of a
// session that has been heard from enough other addresses.
func (r *roaming) admits(b []byte, from netip.AddrPort, now time.Time) bool {
	user, ok := checkOf(b)
	if !ok {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sessions[string(user)]
	if s == nil {
		return true // nobody's: the mux drops it
	}
	if now.Sub(s.since) > roamWindow {
		s.before, s.now, s.since = s.now, nil, now
	}
	switch {
	case slices.Contains(s.now, from):
		return true
	case len(s.now) >= maxCandidates && !slices.Contains(s.before, from):
		return false
	}
	if len(s.now) < maxCandidates {
		s.now = append(s.now, from)
	}
	return true
}

// STUN (RFC 8489 sections 5 and 14).
const (
	stunHeader   = 20
	stunCookie   = 0x2112A442
	stunBinding  = 0x0001
	stunUsername = 0x0006
)

// checkOf returns whom a connectivity check is for: the part of its username before the
// colon (RFC 8445 section 7.2.2). It is false for all other datagrams.
func checkOf(b []byte) (ufrag []byte, ok bool) {
	if len(b) < stunHeader || binary.BigEndian.Uint16(b) != stunBinding || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return nil, false
	}
	for b = b[stunHeader:]; len(b) >= 4; {
		kind, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; size > len(b) {
			return nil, false
		}
		if kind == stunUsername {
			if i := slices.Index(b[:size], ':'); i > 0 {
				return b[:i], true
			}
			return nil, false
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil, false
}
