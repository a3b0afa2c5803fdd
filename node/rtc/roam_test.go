package rtc

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

func check(user string) []byte {
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{1, 2, 3, 4}},
		stun.NewUsername(user), stun.NewShortTermIntegrity("x"))
	if err != nil {
		panic(err)
	}
	return m.Raw
}

func TestRoaming(t *testing.T) {
	var r roaming
	now := time.Unix(1787000000, 0)
	from := func(port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.9"), uint16(port))
	}
	r.add("mine")
	mine := check("mine:theirs")
	for port := range maxCandidates {
		if !r.admits(mine, from(port), now) {
			t.Fatalf("address %d is refused", port)
		}
	}
	switch {
	case r.admits(mine, from(1000), now):
		t.Error("one too many is admitted")
	case !r.admits(mine, from(3), now):
		t.Error("a known one is refused")
	case !r.admits(check("other:theirs"), from(1000), now):
		t.Error("another session pays")
	case !r.admits([]byte{0x80, 1, 2}, from(1000), now):
		t.Error("media is refused")
	}
	now = now.Add(roamWindow + time.Second)
	if !r.admits(mine, from(1000), now) {
		t.Error("a new one is refused in the next window")
	}
	for port := range 2 * maxCandidates {
		r.admits(mine, from(2000+port), now)
	}
	if !r.admits(mine, from(3), now) {
		t.Error("one in use since the last window is refused")
	}
	r.remove("mine")
	if len(r.sessions) != 0 || !r.admits(mine, from(5000), now) {
		t.Error("a session is kept beyond its end")
	}
}

func FuzzCheckOf(f *testing.F) {
	f.Add(check("a:b"))
	f.Add(check("none"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		user, ok := checkOf(b)
		if ok && len(user) == 0 {
			t.Error("a check of nobody")
		}
		// Where both can read it, the mux takes the same session as this does.
		m := &stun.Message{Raw: b}
		var name stun.Username
		if ok && m.Decode() == nil && name.GetFrom(m) == nil && string(name[:len(user)]) != string(user) {
			t.Errorf("%q is of %q", name, user)
		}
	})
}
